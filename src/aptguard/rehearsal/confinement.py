# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rehearsed scripts may not do: capabilities, files outside, core dumps, system calls.

Applied once, by the init process of the rehearsal, after its mounts are made and before the first script;
every process after it inherits all of it. Nothing here is optional: what fails raises, and the rehearsal
does not run.
"""

from __future__ import annotations

import resource

from aptguard.rehearsal import linux
from aptguard.rehearsal.landlock import stay_below_root
from aptguard.rehearsal.notifications import load_filter_with_listener
from aptguard.rehearsal.seccomp import filter_program

# linux/capability.h. What dpkg and maintainer scripts need to change files and users. Not DAC_READ_SEARCH:
# with it open_by_handle_at(2) leads to any file of a mounted file system.
KEPT_CAPABILITIES = frozenset(
    {
        0,  # CHOWN
        1,  # DAC_OVERRIDE
        3,  # FOWNER
        4,  # FSETID
        5,  # KILL
        6,  # SETGID
        7,  # SETUID
        8,  # SETPCAP, with which a process gives up others for good (setpriv --bounding-set, capsh --drop)
        9,  # LINUX_IMMUTABLE
        18,  # SYS_CHROOT
        31,  # SETFCAP
    }
)


def confine(ipv6: bool) -> tuple[int | None, list[str]]:
    """Confine this process and all that it will start; OSError or ValueError when any part is refused.

    Returns the descriptor on which calls are handed on (see notifications.py), if there is one, and a
    sentence for each wall that this kernel has not got. ``ipv6``: see filter_program.

    Not no_new_privs: ``su USER -c 'sudo rm'`` has to do here what it does on the machine. A set-uid program
    makes a user no more than the root of the rehearsal, whose capabilities are bounded.
    """
    machine = linux.platform_machine()
    missing = [_without_core_dumps(), stay_below_root()]
    # A process that is not dumpable shows its /proc directory to no one without CAP_SYS_PTRACE. exec undoes
    # it for the scripts; the init process keeps it.
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    # Without no_new_privs only who has CAP_SYS_ADMIN may load a filter (seccomp(2)).
    listener, why_not = load_filter_with_listener(machine, ipv6)
    if listener is None:
        linux.install_seccomp_filter(filter_program(machine, ipv6))
    _drop_capabilities()
    return listener, [sentence for sentence in (*missing, why_not) if sentence]


def _drop_capabilities() -> None:
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
        last = int(file.read())
    for number in range(last + 1):
        if number not in KEPT_CAPABILITIES:
            linux.prctl(linux.PR_CAPBSET_DROP, number)
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    linux.set_capabilities(KEPT_CAPABILITIES)


def _without_core_dumps() -> str | None:
    """See to it that a crash starts nothing outside; return why it may, or None.

    Where /proc/sys/kernel/core_pattern names a program, the kernel runs it as root of the machine, whatever
    the limit is; only the limit of 1 byte means "never" (do_coredump() in the kernel's fs/coredump.c). The
    filter of system calls keeps it from being changed.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return "a crash in the rehearsal may start the machine's crash handler: the limit of core dumps is 0"
    return None
