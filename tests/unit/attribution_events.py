# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of dpkg and its scripts, as the tests of attribution tell it."""

from __future__ import annotations

from aptguard.rehearsal.attribution import Action, Event, PathChanged, ProcessSeen, ScriptStarted

DPKG, CHILD, RM = 10, 11, 12
DPKG_ARGV = (b"dpkg", b"--purge", b"foo")
DPKG_STARTS = ProcessSeen(DPKG, (2,), DPKG_ARGV)


def script(pid: int, name: bytes, argument: bytes) -> list[Event]:
    argv = (b"/bin/sh", b"/var/lib/dpkg/info/" + name, argument)
    return [ScriptStarted(pid, name), ProcessSeen(pid, (DPKG, 2), argv)]


def gone(pid: int, path: bytes) -> PathChanged:
    return PathChanged(pid, path, Action.DELETED)


def entered(pid: int, path: bytes, directory: bool = False) -> PathChanged:
    return PathChanged(pid, path, Action.ENTERED, directory)
