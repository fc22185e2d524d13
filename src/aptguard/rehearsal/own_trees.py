# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc and /sys of a rehearsal: fresh ones, in which nothing of the machine can be changed.

Which parts of /proc must not be writable follows the table of systemd-nspawn (nspawn-mount.c), taken further:
everything at its top level that is no process, so that a newer kernel's additions are covered too.
"""

from __future__ import annotations

import contextlib
import os
import stat

from aptguard.rehearsal import linux
from aptguard.rehearsal.devices import Devices, show_device
from aptguard.rehearsal.model import Limits

_HIDDEN = (b"kcore", b"keys", b"key-users", b"kallsyms", b"timer_list", b"sched_debug", b"kmsg")
_PROCESS_LINKS = (b"self", b"thread-self", b"mounts", b"net")
_QUIET = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC


def mount_proc(target: bytes, devices: Devices, limits: Limits) -> None:
    """Mount the /proc of this pid namespace, with the machine's own settings read-only or hidden."""
    linux.mount(b"proc", target, b"proc", _QUIET)
    # Memory that belongs to no process; this setting is the ipc namespace's own (sysvipc(7)).
    with contextlib.suppress(FileNotFoundError), open(target + b"/sys/kernel/shmall", "wb") as file:
        file.write(b"%d" % (limits.memory_bytes // os.sysconf("SC_PAGE_SIZE")))
    for name in os.listdir(target):
        if name.isdigit() or name in _PROCESS_LINKS:
            continue
        path = target + b"/" + name
        if name in _HIDDEN:
            show_device(devices.opened[b"null"], path)
            continue
        # Also what has no write bit: chmod of an entry of /proc changes it in every /proc of the machine.
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            linux.mount(path, path, b"", linux.MS_BIND)
            linux.mount(b"none", path, b"", linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | _QUIET)


def mount_sys(target: bytes) -> None:
    """Mount a read-only /sys that shows the new network namespace and no control groups."""
    linux.mount(b"sysfs", target, b"sysfs", _QUIET | linux.MS_RDONLY)
