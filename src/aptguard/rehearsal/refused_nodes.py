# SPDX-License-Identifier: GPL-3.0-or-later
"""What the supervisor answers to processes that make device nodes: none is made.

It is said to be, so that what the script does next is seen; but it may look for the node, or use it.
"""

from __future__ import annotations

import errno
import os

from aptguard.rehearsal.caller import Answer, Arguments, Caller, machine_mounts
from aptguard.rehearsal.mountinfo import is_below
from aptguard.shown import shown

# mdadm(8) makes a node for itself to get at a disk, which is not there; its calls are judged by themselves.
_OF_MDADM = b".tmp.md."


def node_answer(caller: Caller, arguments: Arguments) -> Answer:
    """Return the answer to mknod(2) of a device."""
    return _made(caller, caller.path(arguments[0]))


def node_at_answer(caller: Caller, arguments: Arguments) -> Answer:
    """Return the answer to mknodat(2) of a device."""
    return _made(caller, caller.path(arguments[1], arguments[0]))


def _made(caller: Caller, path: bytes | None) -> Answer:
    if not caller.is_root():
        return Answer(errno.EPERM)
    if path is None:
        return Answer(0, "would make a device node")
    if os.path.basename(path).startswith(_OF_MDADM):
        return Answer(errno.EPERM)
    # /dev of the rehearsal has six nodes: only in it does the script miss one that the machine has.
    return Answer(0, None if _is_on_the_machine(path) else f"would make the device node {shown(path)}")


def _is_on_the_machine(path: bytes) -> bool:
    if not is_below(path, b"/dev"):
        return False
    try:
        deepest = max((point for point in machine_mounts() if is_below(path, point)), key=len)
    except (OSError, ValueError):
        return False
    return deepest in (b"/", b"/dev") and os.path.lexists(path)
