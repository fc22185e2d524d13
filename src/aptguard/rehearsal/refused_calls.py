# SPDX-License-Identifier: GPL-3.0-or-later
"""What the supervisor answers to calls that root may make on the machine and nobody in a rehearsal.

A refusal that a script hides (``|| true``) would hide what the script does after such a call on the machine.
So each refusal of something that could have succeeded there is told, and makes the verdict unknown; unless
it can be answered as done, so that what follows is seen. Not told is what programs try and do without, and
what fails on the machine as well.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable

from aptguard.rehearsal.caller import Answer, Arguments, Caller
from aptguard.rehearsal.refused_mounts import (
    mount_answer,
    new_file_system_answer,
    open_tree_answer,
    unmount_answer,
)
from aptguard.rehearsal.refused_network import request_answer, socket_answer
from aptguard.rehearsal.refused_nodes import node_answer, node_at_answer
from aptguard.shown import shown

# linux/ptrace.h: without one of these no process is traced.
_TRACE_ME, _ATTACH, _SEIZE = 0, 16, 0x4206
_CTRL_ALT_DEL = (0, 0x89ABCDEF)  # linux/reboot.h: whether the keys restart the machine
# Programs that only try whether there are namespaces, and their sandboxes that can write to no file.
_TRIED = frozenset({b"true", b"false", b":"})
_WRITABLE = frozenset(
    b"--bind --bind-try --bind-fd --dev-bind --dev-bind-try --overlay --ro-overlay --args".split()
)


def only_tries(command: list[bytes]) -> bool:
    """Whether a program that asks for namespaces of its own needs none of them to do harm; pure.

    ``unshare --user true`` looks whether that works; among other words ``true`` may be one that rm is given.
    bwrap that was given nothing to write to can change no file, whatever runs in it; nor can what is done
    instead.
    """
    if len(command) < 2:
        return False
    *options, last = command[1:]
    if os.path.basename(last) in _TRIED and all(word.startswith(b"-") for word in options):
        return True
    return os.path.basename(command[0]) == b"bwrap" and _WRITABLE.isdisjoint(command)


def _new_namespaces(caller: Caller, _arguments: Arguments) -> Answer:
    command = caller.command()
    if only_tries(command):
        return Answer(errno.EPERM)
    return Answer(errno.EPERM, f"would run in namespaces of its own: {shown(b' '.join(command))[:300]}")


def _trace(_caller: Caller, arguments: Arguments) -> Answer:
    begins = arguments[0] in (_TRACE_ME, _ATTACH, _SEIZE)
    return Answer(errno.EPERM, "would trace a process" if begins else None)


def _reboot(_caller: Caller, arguments: Arguments) -> Answer:
    keys = arguments[2] & 0xFFFFFFFF in _CTRL_ALT_DEL
    return Answer(errno.EPERM, None if keys else "would stop or restart the machine")


def _adjust_clock(caller: Caller, arguments: Arguments, place: int = 0) -> Answer:
    """Let the kernel read the clock, or refuse to adjust it; the first word says which (adjtimex(2))."""
    adjusts = any(caller.memory(arguments[place], 4)) or caller.is_closed
    return Answer(0, "would adjust the clock" if adjusts else None, go_on=True)


def _adjust_a_clock(caller: Caller, arguments: Arguments) -> Answer:
    return _adjust_clock(caller, arguments, 1)


def _set_limit(caller: Caller, arguments: Arguments) -> Answer:
    return _raise_limit(caller, arguments[0], arguments[1], "=II" if caller.is_i386 else "=QQ")


def _set_limit_of(caller: Caller, arguments: Arguments) -> Answer:
    if arguments[0] & 0xFFFFFFFF:
        return Answer(0, go_on=True)  # of another process
    return _raise_limit(caller, arguments[1], arguments[2], "=QQ")


def _raise_limit(caller: Caller, number: int, address: int, form: str) -> Answer:
    """Let the kernel decide; but say that a hard limit is higher where it would say that this is refused."""
    wanted = caller.memory(address, struct.calcsize(form))
    if caller.is_closed:
        return Answer(0)
    try:
        (_, hard) = struct.unpack(form, wanted)
        if form == "=II" and hard == 0xFFFFFFFF:
            hard = (1 << 64) - 1
        return Answer(0, go_on=hard <= caller.hard_limit(number & 0xFFFFFFFF))
    except (OSError, ValueError, struct.error):
        return Answer(0, go_on=True)


def _always(detail: str) -> Callable[[Caller, Arguments], Answer]:
    return lambda _caller, _arguments: Answer(errno.EPERM, detail)


_MODULE = _always("would change the modules of the kernel")
_KERNEL_AFTER = _always("would load another kernel")
_PORTS = _always("would use the ports of devices")
_QUOTAS = _always("would ask for quotas of a disk, or set them")

# By the name of the call, as in seccomp.reported_calls.
ANSWERS: dict[str, Callable[[Caller, Arguments], Answer]] = {
    "clone": _new_namespaces,
    "unshare": _new_namespaces,
    "mount": mount_answer,
    "umount": unmount_answer,
    "umount2": unmount_answer,
    "fsopen": new_file_system_answer,
    "open_tree": open_tree_answer,
    "pivot_root": _always("would change the root of the file systems"),
    "setns": _always("would enter another namespace"),
    "ptrace": _trace,
    "reboot": _reboot,
    "add_key": _always("would keep a key in the kernel"),
    "bpf": _always("would use the packet filter of the kernel (bpf)"),
    "perf_event_open": _always("would have events counted (perf)"),
    "ioperm": _PORTS,
    "iopl": _PORTS,
    "quotactl": _QUOTAS,
    "quotactl_fd": _QUOTAS,
    "ioctl": request_answer,
    "socket": socket_answer,
    "mknod": node_answer,
    "mknodat": node_at_answer,
    "adjtimex": _adjust_clock,
    "clock_adjtime": _adjust_a_clock,
    "clock_adjtime64": _adjust_a_clock,
    "setrlimit": _set_limit,
    "prlimit64": _set_limit_of,
    "delete_module": _MODULE,
    "finit_module": _MODULE,
    "init_module": _MODULE,
    "kexec_file_load": _KERNEL_AFTER,
    "kexec_load": _KERNEL_AFTER,
}
