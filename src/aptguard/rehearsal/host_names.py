# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the host and the domain in a rehearsal, which has a UTS namespace of its own for them.

Scripts have no capability to set them. The supervisor does it for them, in that namespace: it enters it for
good, after which no name of the machine is within its reach.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os

from aptguard.rehearsal import linux
from aptguard.rehearsal.caller import Answer, Arguments, Caller
from aptguard.shown import shown

_LONGEST = 64  # linux/utsname.h: __NEW_UTS_LEN
_EFFECT = "kernel"  # as sysctl(8) of kernel.hostname
_libc = ctypes.CDLL(None, use_errno=True)


class HostNames:
    """Sets the names in the UTS namespace of the child ``init``, whose number nobody else gets meanwhile."""

    def __init__(self, init: int) -> None:
        self._init = init
        self._is_inside = False

    def answer(self, call: str, caller: Caller, arguments: Arguments) -> Answer:
        """Return the answer to ``sethostname`` or ``setdomainname`` (sethostname(2)), and do it.

        Where there is no namespace that could be entered nothing is done.
        """
        if not caller.is_root():
            return Answer(errno.EPERM)
        length = arguments[1] & 0xFFFFFFFF
        if length > _LONGEST:
            return Answer(errno.EINVAL)
        name = caller.memory(arguments[0], length)
        if len(name) < length:
            return Answer(0, "would name the host") if caller.is_closed else Answer(errno.EFAULT)
        what = "host" if call == "sethostname" else "domain"
        if self._enter():
            getattr(_libc, call)(name, ctypes.c_size_t(length))
        return Answer(0, f"would name the {what} {shown(name)}", kind=_EFFECT)

    def _enter(self) -> bool:
        if self._is_inside:
            return True
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/{self._init}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _same(fd, "/proc/self/ns/uts"):
                    return False  # the machine's
                linux.setns(fd, linux.CLONE_NEWUTS)
                self._is_inside = True
            finally:
                os.close(fd)
        return self._is_inside


def _same(fd: int, path: str) -> bool:
    ours, its = os.stat(path), os.fstat(fd)
    return (ours.st_dev, ours.st_ino) == (its.st_dev, its.st_ino)
