# SPDX-License-Identifier: GPL-3.0-or-later
"""What the supervisor answers to calls that mount and unmount: none of them is ever done.

Of the kernel's own file systems a further mount shows nothing new, or fails on the machine as well, so that
it can be answered as there. What would show something else, or take it away, is told.
"""

from __future__ import annotations

import errno

from aptguard.rehearsal.caller import Answer, Arguments, Caller, machine_mounts
from aptguard.rehearsal.mount_plan import DONE_WITHOUT, ONE_FOR_ALL, SHOWS_NOTHING_NEW
from aptguard.shown import shown

# linux/mount.h
_READ_ONLY, _REMOUNT, _BIND, _MOVE = 1, 32, 4096, 8192
_MAGIC, _MAGIC_MASK = 0xC0ED0000, 0xFFFF0000
_CLONE_OF_TREE = 1


def mount_answer(caller: Caller, arguments: Arguments) -> Answer:
    """Return the answer to mount(2)."""
    source, place, kind, flags = arguments[:4]
    if flags & _MAGIC_MASK == _MAGIC:
        flags &= ~_MAGIC_MASK
    target = caller.path(place)
    if target is None:
        return Answer(errno.EPERM, "would mount something")
    if flags & _REMOUNT:
        return _remount(caller, target, flags)
    what = caller.text(source) or b"something"
    if not flags & (_BIND | _MOVE) and (of_kind := caller.text(kind)):
        answer = _of_the_kernels(caller, of_kind, target)
        if answer is not None:
            return answer
        what = of_kind if what in (b"none", b"something", of_kind) else of_kind + b" " + what
    return Answer(errno.EPERM, f"would mount {shown(what)[:200]} at {shown(target)}")


def _remount(caller: Caller, target: bytes, flags: int) -> Answer:
    told = Answer(errno.EPERM, f"would mount {shown(target)} with other options")
    try:
        mount = caller.mounts().get(target)
        if mount is None:
            return told if target in machine_mounts() else Answer(errno.EINVAL)
    except (OSError, ValueError):
        return told
    # As it is now more can be changed than after it.
    return told if mount.read_only and not flags & _READ_ONLY else Answer(0)


def _of_the_kernels(caller: Caller, kind: bytes, target: bytes) -> Answer | None:
    """Return the answer to a mount of one of the kernel's file systems; None if it must be told."""
    if (kind, target) == (b"binfmt_misc", DONE_WITHOUT):
        return Answer(errno.EPERM)
    if kind not in SHOWS_NOTHING_NEW | ONE_FOR_ALL or not caller.is_root():
        return None
    try:
        there = (caller.mounts() if kind in SHOWS_NOTHING_NEW else machine_mounts()).get(target)
    except (OSError, ValueError):
        return None
    if there is None or there.kind != kind:
        return None
    return Answer(0 if kind in SHOWS_NOTHING_NEW or caller.mounts_anew else errno.EBUSY)


def unmount_answer(caller: Caller, arguments: Arguments) -> Answer:
    """Return the answer to umount(2) and umount2(2).

    What the rehearsal shows as an empty place is not mounted there, but on the machine.
    """
    target = caller.path(arguments[0])
    if target is None:
        return Answer(errno.EPERM, "would unmount something")
    if target == DONE_WITHOUT:
        return Answer(errno.EPERM)
    try:
        if target not in machine_mounts() and target not in caller.mounts():
            return Answer(errno.EINVAL)
    except (OSError, ValueError):
        pass
    return Answer(errno.EPERM, f"would unmount {shown(target)}")


def new_file_system_answer(caller: Caller, arguments: Arguments) -> Answer:
    """Return the answer to fsopen(2), after which libmount goes by mount(2)."""
    kind = caller.text(arguments[0]) or b"some"
    return Answer(errno.ENOSYS, f"would mount a file system of kind {shown(kind)}", tentative=True)


def open_tree_answer(caller: Caller, arguments: Arguments) -> Answer:
    """Return the answer to open_tree(2), after which libmount goes by mount(2)."""
    if not arguments[2] & _CLONE_OF_TREE:
        return Answer(errno.ENOSYS)
    path = caller.path(arguments[1])
    named = "something" if path is None else shown(path)
    return Answer(errno.ENOSYS, f"would mount {named} at another place", tentative=True)
