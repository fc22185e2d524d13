# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls on the network that are refused in a rehearsal, by programs that have no stand-in."""

from __future__ import annotations

import errno
from typing import Final

from aptguard.rehearsal.caller import Answer, Arguments, Caller

# linux/netlink.h
_SOCK_DIAG: Final = 4
_OPENED_FOR: Final = {6: "keys of IPsec", 12: "the packet filter", 16: "devices of the network"}
# linux/fs.h: FIFREEZE, FITHAW. The others that are handed on are requests on sockets.
_OF_FILE_SYSTEMS: Final = (0xC0045877, 0xC0045878)


def socket_answer(_caller: Caller, arguments: Arguments) -> Answer:
    """Refuse a netlink socket as one that the kernel has not got, and tell what it is for."""
    protocol = arguments[2] & 0xFFFFFFFF
    if protocol == _SOCK_DIAG:
        return Answer(errno.EPROTONOSUPPORT, "would ask which sockets are open")
    what = _OPENED_FOR.get(protocol, "the network")
    return Answer(errno.EPROTONOSUPPORT, f"would ask for or change {what} (netlink)")


def request_answer(caller: Caller, arguments: Arguments) -> Answer:
    """Refuse an ioctl(2); what sets up the network fails on the machine, too, for who is not root."""
    if arguments[1] & 0xFFFFFFFF in _OF_FILE_SYSTEMS:
        return Answer(errno.EPERM, "would freeze a file system, or thaw it")
    return Answer(errno.EPERM, "would set up the network (ioctl)" if caller.is_root() else None)
