# SPDX-License-Identifier: GPL-3.0-or-later
"""What /proc tells of a process of the sandbox: argv, ancestors, and dpkg's marks in its environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from aptguard.rehearsal.attribution import ProcessSeen

_MAX_ARGV = 4096  # bytes; a command line may be as long as the script likes
_MAX_ENVIRONMENT = 65536
_MAX_ANCESTORS = 16
_PACKAGE = b"DPKG_MAINTSCRIPT_PACKAGE="
_SCRIPT = b"DPKG_MAINTSCRIPT_NAME="


def _read(path: str, limit: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, limit)
    finally:
        os.close(fd)


def parse_stat(stat: bytes) -> tuple[int, int]:
    """Return parent pid and start time (clock ticks) from /proc/PID/stat (proc(5)); ValueError if malformed.

    The second field, the name, may itself hold blanks and parentheses: only what follows the last one counts.
    """
    fields = stat.rpartition(b")")[2].split()
    if len(fields) < 20:
        raise ValueError("a /proc/PID/stat line is too short")
    return int(fields[1]), int(fields[19])


def split_argv(cmdline: bytes) -> tuple[bytes, ...]:
    """Return the arguments of a /proc/PID/cmdline; one that the bound of reading cut off is dropped."""
    words = cmdline.split(b"\0")
    return tuple(words[:-1]) if len(words) > 1 else tuple(words if cmdline else ())


def marks(environment: bytes) -> tuple[bytes, bytes] | None:
    """Return package and script that dpkg has put into the environment of a maintainer script."""
    package = script = None
    for entry in environment.split(b"\0"):
        if entry.startswith(_PACKAGE):
            package = entry[len(_PACKAGE) :]
        elif entry.startswith(_SCRIPT):
            script = entry[len(_SCRIPT) :]
    return (package, script) if package and script else None


def start_time(pid: int) -> int | None:
    """Return when ``pid`` started, in clock ticks since boot; None when it has ended."""
    try:
        return parse_stat(_read(f"/proc/{pid}/stat", 1024))[1]
    except (OSError, ValueError):
        return None


def look_at(pid: int, owned: Callable[[int], bool | None]) -> tuple[ProcessSeen, int | None]:
    """Return what can be seen of ``pid`` and its start time; bare facts and None when it has ended.

    ``owned`` says of a pid whether it belongs to a maintainer script, None if it is not known: the search
    among the ancestors ends at the first known one, and the environment is read only if that is no script's.
    """
    argv: tuple[bytes, ...] = ()
    found: tuple[bytes, bytes] | None = None
    ancestors: list[int] = []
    started: int | None = None
    settled: bool | None = None
    with contextlib.suppress(OSError, ValueError):
        argv = split_argv(_read(f"/proc/{pid}/cmdline", _MAX_ARGV))
        parent, started = parse_stat(_read(f"/proc/{pid}/stat", 1024))
        while parent > 1 and parent != os.getpid() and len(ancestors) < _MAX_ANCESTORS:
            ancestors.append(parent)
            settled = owned(parent)
            if settled is not None:
                break
            parent, _ = parse_stat(_read(f"/proc/{parent}/stat", 1024))
    if not settled:
        with contextlib.suppress(OSError):
            found = marks(_read(f"/proc/{pid}/environ", _MAX_ENVIRONMENT))
    return ProcessSeen(pid, tuple(ancestors), argv, found), started
