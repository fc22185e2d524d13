# SPDX-License-Identifier: GPL-3.0-or-later
"""When dpkg ran the scripts of a package, by its log (/var/log/dpkg.log, dpkg(1) on --log).

A line begins with the local date and time in whole seconds. A script runs between the line of the action
(``configure PACKAGE:ARCHITECTURE OLD NEW``) and the next ``status`` line of a state in which it has ended.
"""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections.abc import Collection, Iterator

from aptguard.host.dpkg_database import DpkgDatabase

Interval = tuple[float, float]

_LOG = b"/var/log/dpkg.log"
_KEPT_ROTATIONS = 12  # as Debian's logrotate.d/dpkg has it
_LARGEST = 32 << 20  # bytes of one file, unpacked
# "configure" is followed at once by "status unpacked", which the package was before.
_UNPACKED = frozenset({b"unpacked"})
_CONFIGURED = frozenset({b"installed", b"triggers-awaited", b"triggers-pending"})
_ENDS = {b"install": _UNPACKED, b"upgrade": _UNPACKED, b"configure": _CONFIGURED, b"trigproc": _CONFIGURED}
# The time of a file comes from the clock tick before (ktime_get_coarse_real_ts64), up to 10 ms earlier.
_TICK = 0.01


def script_runs(database: DpkgDatabase, packages: Collection[str]) -> dict[str, tuple[Interval, ...]]:
    """Return when the scripts of ``packages`` (without architecture) ran at installation and configuration.

    Seconds since the epoch, the whole of the last second included. What the log does not tell any more, or
    what cannot be read, is absent.
    """
    wanted = {name.encode("utf-8", "surrogateescape"): name for name in packages}
    found: dict[str, list[Interval]] = {}
    begun: dict[bytes, tuple[float, frozenset[bytes]]] = {}
    for line in _lines(database.path_below_root(_LOG)):
        words = line.split(b" ", 5)
        if len(words) < 5:
            continue
        is_status = words[2] == b"status"
        package = words[4 if is_status else 3].partition(b":")[0]
        if package not in wanted:
            continue
        if is_status:
            start, ends = begun.get(package, (0.0, frozenset()))
            end = _seconds(words[0], words[1]) if words[3] in ends else None
            if end is not None:
                del begun[package]
                found.setdefault(wanted[package], []).append((start - _TICK, end + 1.0))
        elif words[2] in _ENDS:
            beginning = _seconds(words[0], words[1])
            if beginning is not None:
                begun[package] = (beginning, _ENDS[words[2]])
    return {package: tuple(runs) for package, runs in found.items()}


def _seconds(day: bytes, clock: bytes) -> float | None:
    try:
        read = time.strptime(f"{day.decode('ascii')} {clock.decode('ascii')}", "%Y-%m-%d %H:%M:%S")
        return time.mktime(read)
    except (ValueError, OverflowError):
        return None


def _lines(log: bytes) -> Iterator[bytes]:
    for number in range(_KEPT_ROTATIONS, 1, -1):
        yield from _content(log + b".%d.gz" % number).split(b"\n")
    for name in (log + b".1", log):
        yield from _content(name).split(b"\n")


def _content(path: bytes) -> bytes:
    if not os.path.exists(path):
        return b""
    try:
        if path.endswith(b".gz"):
            with gzip.open(path) as packed:
                return packed.read(_LARGEST)
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except (OSError, EOFError, zlib.error):
        return b""
