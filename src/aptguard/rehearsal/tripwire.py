# SPDX-License-Identifier: GPL-3.0-or-later
"""Tripwires: they stand in a rehearsal where a file system could not be covered, and tell who goes in.

What would happen on the other side cannot be rehearsed, but that a script would go there can be seen. A
tripwire is an automount point of the kernel's own (autofs of type direct), of which we are the daemon:
whoever takes a path through it, as whichever user, waits until we say that nothing can be mounted, and then
finds nothing (ENOENT). Sources: Documentation/filesystems/autofs.rst, linux/auto_fs.h.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from dataclasses import dataclass, field

from aptguard.rehearsal import linux
from aptguard.rehearsal.model import Unknown
from aptguard.shown import shown

_OPTIONS = b"fd=%d,pgrp=%d,minproto=5,maxproto=5,direct"
_FAIL = linux.ioctl_number(0x93, 0x61)  # AUTOFS_IOC_FAIL
_CATATONIC = linux.ioctl_number(0x93, 0x62)  # AUTOFS_IOC_CATATONIC
_PACKET = struct.Struct("=iiII")  # struct autofs_v5_packet begins: protocol, type, token, device
_PACKET_BYTES = 4096  # more than any packet has; the pipe gives one at a time


def lay(target: bytes, pipe: int) -> int:
    """Mount a tripwire that tells through the writing end ``pipe``; return a descriptor of its root.

    It shows owner and mode of the directory under it. Processes of the caller's process group pass through
    it. Raises OSError, also where ``target`` is no directory.
    """
    like = os.lstat(target)
    options = _OPTIONS % (pipe, os.getpgrp())
    linux.mount(b"aptguard", target, b"autofs", linux.MS_NODEV | linux.MS_NOSUID, options)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchown(root, like.st_uid, like.st_gid)
    os.fchmod(root, stat.S_IMODE(like.st_mode))
    return root


@dataclass(slots=True)
class _Laid:
    point: bytes
    reason: str
    root: int
    before: tuple[int, int, int]
    touched: bool = False


@dataclass(slots=True)
class Tripwires:
    """The daemon's side: all tripwires of one rehearsal; ``pipe`` is the reading end, -1 without any."""

    pipe: int = -1
    _laid: dict[int, _Laid] = field(default_factory=dict)  # by device number

    def add(self, point: bytes, reason: str, root: int) -> None:
        """Take over the tripwire with the root directory ``root``, which stands at ``point``."""
        status = os.fstat(root)
        self._laid[status.st_dev] = _Laid(point, reason, root, _shown_by(status))

    def take(self) -> None:
        """Read what has come through the pipe, note who touched what, and let them go on."""
        while True:
            try:
                packet = os.read(self.pipe, _PACKET_BYTES)
            except BlockingIOError:
                return
            if not packet:
                os.close(self.pipe)
                self.pipe = -1
                return
            _, _, token, device = _PACKET.unpack_from(packet)
            laid = self._laid[device]
            laid.touched = True
            fcntl.ioctl(laid.root, _FAIL, token)

    def touched(self) -> tuple[Unknown, ...]:
        """Return an Unknown for each place into which somebody went, or which somebody changed.

        To be called when nothing runs any more; from then on nobody waits at a tripwire, us included.
        """
        if self.pipe >= 0:
            self.take()
        found = []
        for laid in self._laid.values():
            if laid.touched or _shown_by(os.fstat(laid.root)) != laid.before:
                reason = f"{laid.reason}, and a script went there; changes in it are not seen"
                found.append(Unknown(f"the file system at {shown(laid.point)}", reason, laid.point))
            fcntl.ioctl(laid.root, _CATATONIC, 0)
        return tuple(found)


def _shown_by(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mode, status.st_uid, status.st_gid
