# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages wait for their triggers to be processed, by dpkg's own files; standard library only.

A call with ``--no-triggers`` leaves them in two places: in the field Triggers-Pending of dpkg's status, and,
where dpkg-trigger(1) or a script was the one to activate, in ``triggers/Unincorp``, which the next dpkg reads
first (dpkg's trigger documentation, doc/triggers.txt). Who is interested stands in ``triggers/File`` and in a
file for each explicit trigger.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from aptguard.rehearsal.model import Step

DATABASE = b"/var/lib/dpkg"
# In any other state the package is not done, and its configuration includes what its triggers would do.
_READY = frozenset({b"installed", b"triggers-pending", b"triggers-awaited"})


def with_waiting(step: Step, database: bytes = DATABASE) -> tuple[Step | None, tuple[bytes, ...]]:
    """Return the step as it has to be called, None for not at all, and the packages that were left out.

    Raises OSError when dpkg's status cannot be read.
    """
    if not step.left_out:
        return step, ()
    wanted: list[bytes] = []
    left_out: list[bytes] = []
    for name in waiting_packages(database):
        package = name.partition(b":")[0]
        known = package not in step.brought and any(fnmatchcase(package, each) for each in step.left_out)
        (left_out if known else wanted).append(name)
    if not wanted:
        return None, tuple(left_out)
    return replace(step, argv=(*step.argv, *wanted)), tuple(left_out)


def waiting_packages(database: bytes = DATABASE) -> tuple[bytes, ...]:
    """Return the packages that have pending triggers, as dpkg takes their names, sorted."""
    interested = frozenset(_interested(database, _unincorporated(database)))
    found = set()
    for stanza in _read(database + b"/status").split(b"\n\n"):
        pending = b"\nTriggers-Pending:" in stanza
        if not pending and not interested:
            continue
        package = _field(stanza, b"Package")
        architecture = _field(stanza, b"Architecture")
        qualified = package if architecture in (b"all", b"") else package + b":" + architecture
        concerned = pending or not interested.isdisjoint((package, qualified))
        if concerned and _field(stanza, b"Status").rpartition(b" ")[2] in _READY:
            found.add(qualified)
    return tuple(sorted(found))


def _field(stanza: bytes, name: bytes) -> bytes:
    for line in stanza.split(b"\n"):
        if line.startswith(name + b":"):
            return line[len(name) + 1 :].strip()
    return b""


def _unincorporated(database: bytes) -> frozenset[bytes]:
    """Return the triggers that were activated and not yet given to anybody."""
    return frozenset(line.split()[0] for line in _lines(database + b"/triggers/Unincorp") if line.split())


def _interested(database: bytes, triggers: Iterable[bytes]) -> Iterator[bytes]:
    files = frozenset(name for name in triggers if name.startswith(b"/"))
    if files:
        for line in _lines(database + b"/triggers/File"):
            path, _, package = line.rpartition(b" ")
            if path in files:
                yield package.partition(b"/")[0]
    for name in triggers:
        if name not in files and os.path.basename(name) == name:
            for line in _lines(database + b"/triggers/" + name):
                yield line.strip().partition(b"/")[0]


def _lines(path: bytes) -> list[bytes]:
    try:
        return _read(path).splitlines()
    except FileNotFoundError:
        return []


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()
