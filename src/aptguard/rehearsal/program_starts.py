# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintainer scripts and programs at the moment they start, held until the watcher lets them go on.

Marks stand on a few inodes of the merged tree only: the directories of maintainer scripts (being executed)
and /etc/ld.so.cache, which the dynamic linker of each program opens once it is running, so that its command
line can be read. Marks on whole mounts would report each program two or three times, before its command line
is there. What must hold: every event is answered, whatever fails; nothing is ever denied; and this process
never opens a file on which a permission mark stands, which would make it wait for itself: marks are set by
name, without opening.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Final

from aptguard.rehearsal import fanotify as fan

SCRIPTS: Final = b"/var/lib/dpkg/info"
# Of a package that dpkg is about to unpack, and those that debconf runs before dpkg (dpkg-preconfigure(8)).
UNPACKED_SCRIPTS: Final = (b"/var/lib/dpkg/tmp.ci", b"/var/cache/debconf/tmp.ci")
LINKER_CACHE: Final = b"/etc/ld.so.cache"
_UNBOUNDED: Final = fan.FAN_NONBLOCK | fan.FAN_UNLIMITED_QUEUE | fan.FAN_UNLIMITED_MARKS
_EXECUTED: Final = fan.FAN_OPEN_EXEC_PERM | fan.FAN_OPEN_EXEC


class ProgramStarts:
    """The permission group on ``merged_root``, a descriptor of the sandbox' root that must stay open.

    ``waits`` is False where the kernel has no permission events (CONFIG_FANOTIFY_ACCESS_PERMISSIONS): starts
    are then only reported, and nobody waits. Raises OSError when not even that can be had.
    """

    def __init__(self, merged_root: int) -> None:
        self._merged = merged_root
        self.fd = -1
        self.waits = True
        self.sees_programs = False
        try:
            self._open()
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EPERM, errno.ENOSYS}:
                raise
            self.waits = False
            self._open()
        self.see_programs(True)

    def _open(self) -> None:
        self.close()
        self.fd = fan.init(_UNBOUNDED | (fan.FAN_CLASS_CONTENT if self.waits else 0))
        try:
            self.guard_scripts(SCRIPTS)
            for directory in UNPACKED_SCRIPTS:
                with contextlib.suppress(FileNotFoundError):
                    self.guard_scripts(directory)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Leave the group, which lets go every process that waits; further calls do nothing."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def forget_all(self) -> None:
        """Take all marks away, so that nobody is held any more."""
        fan.mark(self.fd, fan.FAN_MARK_FLUSH, 0, self._merged)

    def guard_scripts(self, directory: bytes) -> None:
        """Report each execution of a file in ``directory`` from now on."""
        event = fan.FAN_OPEN_EXEC_PERM if self.waits else fan.FAN_OPEN_EXEC
        fd = fan.open_directory_in_root(self._merged, directory)
        try:
            fan.mark(self.fd, fan.FAN_MARK_ADD, event | fan.FAN_EVENT_ON_CHILD, fd)
        finally:
            os.close(fd)

    def see_programs(self, wanted: bool) -> None:
        """Report each start of a dynamically linked program, or no longer.

        Where there is no linker cache, ``sees_programs`` stays False: command lines are then read when a
        process makes its first change, if it still lives.
        """
        directory, _, name = LINKER_CACHE.rpartition(b"/")
        event = fan.FAN_OPEN_PERM if self.waits else fan.FAN_OPEN
        flags = (fan.FAN_MARK_ADD if wanted else fan.FAN_MARK_REMOVE) | fan.FAN_MARK_DONT_FOLLOW
        self.sees_programs = False
        with contextlib.suppress(OSError):
            fd = fan.open_directory_in_root(self._merged, directory)
            try:
                fan.mark(self.fd, flags, event, fd, name)
                self.sees_programs = wanted
            finally:
                os.close(fd)

    def read(self) -> list[fan.Event]:
        """Return the next events, none when nothing waits; each must go to `release`."""
        try:
            return fan.parse(os.read(self.fd, 64 * fan.EVENT_SIZE))
        except BlockingIOError:
            return []

    @staticmethod
    def executed_file(event: fan.Event) -> bytes | None:
        """Return the name of the file that is about to be executed, None if the event is no execution."""
        if not event.mask & _EXECUTED:
            return None
        return os.readlink(b"/proc/self/fd/%d" % event.fd).rpartition(b"/")[2]

    def release(self, events: list[fan.Event]) -> None:
        """Let the processes of ``events`` go on."""
        for event in events:
            if event.fd < 0:
                continue
            try:
                if self.waits and self.fd >= 0:
                    fan.allow(self.fd, event.fd)
            finally:
                os.close(event.fd)
