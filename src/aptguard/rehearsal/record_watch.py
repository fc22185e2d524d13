# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the records that stand-ins keep inside are whole: told by the kernel, outside of a script's reach.

A record is a file that any script can write to, as the stand-ins run with the scripts' own rights. So the
kernel is asked to report (fanotify(7)) each start of a stand-in and each writing to a record, with the
process that did it. Only a process that was a stand-in may have written, and of a program that records every
call there must be as many records as executions. Nobody waits for the answers: they are read at the end.

Not seen is a call that a stand-in's own process makes another one of, on purpose and in the same number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from aptguard.rehearsal import fanotify as fan
from aptguard.rehearsal.linux import openat_in_root

_FLAGS = fan.FAN_NONBLOCK | fan.FAN_UNLIMITED_QUEUE | fan.FAN_UNLIMITED_MARKS
_AT_ONCE = 1 << 16


class Watched(NamedTuple):
    """How often the counted programs were executed (None: not seen); which records are spoilt, and how."""

    executions: int | None = None
    spoilt: Mapping[bytes, str] = MappingProxyType({})


class RecordWatch:
    """The kernel's reports about the records of one rehearsal; does nothing before ``attach``."""

    def __init__(self) -> None:
        # A truncation is reported only by a group that asks for handles, and for those the overlay, in which
        # the programs are, may have none.
        self._starts = self._writings = -1
        self._finished = False
        self._made: dict[bytes, tuple[int, int]] = {}
        self._handles: dict[bytes, bytes] = {}

    def attach(
        self, merged: int, records: Iterable[bytes], counted: Iterable[bytes], others: Iterable[bytes]
    ) -> tuple[str, ...]:
        """Begin; before the first script runs. Return a sentence where the kernel does not report.

        All are absolute paths below the directory ``merged``. The programs ``counted`` write to a record with
        each execution; ``others``, programs or modules of an interpreter, may when they have been opened.
        """
        try:
            self._starts = fan.init(_FLAGS)
            self._writings = fan.init(_FLAGS | fan.FAN_REPORT_FID)
            for path in records:
                fd = openat_in_root(merged, path, os.O_PATH | os.O_NOFOLLOW)
                try:
                    self._made[path] = _identity(fd)
                    self._handles[fan.handle_of(fd)] = path
                finally:
                    os.close(fd)
                _mark(self._writings, fan.FAN_MODIFY, merged, path)
            for path in counted:
                _mark(self._starts, fan.FAN_OPEN_EXEC, merged, path)
            for path in others:
                _mark(self._starts, fan.FAN_OPEN, merged, path)
        except OSError as error:
            self.close()
            return (f"whether a script changes the record of its calls is not seen ({error.strerror})",)
        return ()

    def watch_further(self, program: int, counted: bool) -> None:
        """Take the program open at ``program`` for another stand-in; ``counted`` as in ``attach``."""
        if self._starts >= 0:
            fan.mark(self._starts, fan.FAN_MARK_ADD, fan.FAN_OPEN_EXEC if counted else fan.FAN_OPEN, program)

    def finish(self, merged: int) -> Watched:
        """Return what was seen; to be called when no process is left."""
        self._finished = True
        spoilt: dict[bytes, str] = {}
        for path, made in self._made.items():
            try:
                fd = openat_in_root(merged, path, os.O_PATH | os.O_NOFOLLOW)
            except OSError:
                spoilt[path] = "a script has deleted it"
                continue
            if _identity(fd) != made:
                spoilt[path] = "a script has put another in its place"
            os.close(fd)
        if self._starts < 0:
            return Watched(None, spoilt)
        executions = 0
        stand_ins: set[int] = set()
        for event in _events(self._starts):
            if event.mask & fan.FAN_Q_OVERFLOW:
                return _all_spoilt(self._made)
            executions += bool(event.mask & fan.FAN_OPEN_EXEC)
            stand_ins.add(event.pid)
        for event in _events(self._writings):
            if event.mask & fan.FAN_Q_OVERFLOW:
                return _all_spoilt(self._made)
            if event.pid not in stand_ins:
                for path in self._made if event.target is None else (self._handles[event.target],):
                    spoilt.setdefault(path, "a script has written to it")
        return Watched(executions, spoilt)

    def close(self) -> None:
        """Give the groups back, but for those that have been read: further calls do nothing.

        These are left to the end of the process, which is that of its one rehearsal. The kernel waits in a
        closing (an RCU grace period, about 8 ms for each), and the answer would wait too.
        """
        if self._finished:
            return
        for group in (self._starts, self._writings):
            if group >= 0:
                os.close(group)
        self._starts = self._writings = -1


def _mark(group: int, mask: int, merged: int, path: bytes) -> None:
    fan.mark(group, fan.FAN_MARK_ADD | fan.FAN_MARK_DONT_FOLLOW, mask, merged, path.lstrip(b"/"))


def _events(group: int) -> Iterator[fan.Event]:
    while True:
        try:
            events = fan.parse(os.read(group, _AT_ONCE))
        except BlockingIOError:
            return
        for event in events:
            if event.fd >= 0:
                os.close(event.fd)
            yield event


def _all_spoilt(records: Iterable[bytes]) -> Watched:
    return Watched(None, dict.fromkeys(records, "the kernel could not report all that was done to it"))


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
