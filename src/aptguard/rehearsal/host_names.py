# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the host and the domain in a rehearsal, which has a UTS namespace of its own for them.

Scripts have no capability to set them. The supervisor does it for them, in that namespace: it enters it for
good, after which no name of the machine is within its reach.
"""

from __future__ import annotations

import errno
import os

from aptguard.rehearsal import linux
from aptguard.rehearsal.caller import Answer, Arguments, Caller
from aptguard.shown import shown

_LONGEST = 64  # linux/utsname.h: __NEW_UTS_LEN
_EFFECT = "kernel"  # as sysctl(8) of kernel.hostname


class HostNames:
    """Sets the names in the UTS namespace of the child ``init``, whose number nobody else gets meanwhile."""

    def __init__(self, init: int) -> None:
        self._init = init
        self._is_inside = False

    def answer(self, call: str, caller: Caller, arguments: Arguments) -> Answer:
        """Return the answer to ``sethostname`` or ``setdomainname`` (sethostname(2)), and do it.

        Where that cannot be done the call is told as one that was refused.
        """
        if not caller.is_root():
            return Answer(errno.EPERM)
        length = arguments[1] & 0xFFFFFFFF
        if length > _LONGEST:
            return Answer(errno.EINVAL)
        name = caller.memory(arguments[0], length)
        if len(name) < length:
            return Answer(0, "would name the host") if caller.is_closed else Answer(errno.EFAULT)
        of_host = call == "sethostname"
        tells = f"would name the {'host' if of_host else 'domain'} {shown(name)}"
        try:
            self._enter()
            (linux.set_host_name if of_host else linux.set_domain_name)(name)
        except OSError:
            return Answer(0, tells)
        return Answer(0, tells, kind=_EFFECT)

    def _enter(self) -> None:
        if self._is_inside:
            return
        fd = os.open(f"/proc/{self._init}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.path.samestat(os.fstat(fd), os.stat("/proc/self/ns/uts")):
                raise PermissionError(errno.EPERM, "it is that of the machine")
            linux.setns(fd, linux.CLONE_NEWUTS)
            self._is_inside = True
        finally:
            os.close(fd)
