# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc and /sys of a rehearsal: fresh ones, in which nothing of the machine can be changed.

What a script writes in /sys, and to the few files of /proc by which a device or the machine itself is taken
away, goes into an upper directory of the rehearsal's and is a change like any other. All else in /proc
refuses writing.

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
from aptguard.rehearsal.overlay import LayerPlace, mount_overlay

_HIDDEN = (b"kcore", b"keys", b"key-users", b"kallsyms", b"timer_list", b"sched_debug", b"kmsg")
# Writing to them takes devices or the machine away: Documentation/admin-guide/sysrq.rst, and proc(5).
_SWITCHES = (b"sysrq-trigger", b"scsi/scsi")
_PROCESS_LINKS = (b"self", b"thread-self", b"mounts", b"net")
CONTROL_GROUPS = b"/sys/fs/cgroup"
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


def overlay_switches(target: bytes) -> LayerPlace | None:
    """Put a file of the rehearsal's own over each switch of the /proc at ``target``; None if it has none.

    A file among them stays readable. There is no overlay: what was put there is compared with a second one.
    """
    home = b"layers/switches"
    upper, lower = home + b"/upper", home + b"/lower"
    found = [name for name in _SWITCHES if os.path.exists(target + b"/" + name)]
    if not found:
        return None
    for name in found:
        status = os.lstat(target + b"/" + name)
        content = b""
        if status.st_mode & stat.S_IRUSR:
            with open(target + b"/" + name, "rb") as file:
                content = file.read(1 << 16)
        for directory in (upper, lower):
            copy = directory + b"/" + name
            os.makedirs(os.path.dirname(copy), 0o755, exist_ok=True)
            fd = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, content)
                os.fchmod(fd, stat.S_IMODE(status.st_mode))
            finally:
                os.close(fd)
        linux.mount(upper + b"/" + name, target + b"/" + name, b"", linux.MS_BIND)
    fd = os.open(lower, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return LayerPlace(b"/proc", upper, fd)


def overlay_sys(target: bytes) -> LayerPlace:
    """Mount an overlay over a /sys that shows the machine's network, and nothing that is mounted in it.

    Raises OSError where the kernel has no overlay over sysfs.
    """
    os.mkdir(b"sys")
    mount_sys(b"sys")
    fd = os.open(b"sys", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    home = b"layers/sys"
    try:
        mount_overlay(home, fd, read_only=False, flags=_QUIET, has_handles=False)
    except OSError:
        os.close(fd)
        raise
    linux.mount(home + b"/merged", target, b"", linux.MS_BIND)
    return LayerPlace(b"/sys", home + b"/upper", fd)


def mount_control_groups(target: bytes) -> None:
    """Mount at ``target`` what a script takes for the machine's control groups, where these are of version 2.

    Scripts ask whether something is mounted there, of which type, and which controllers there are. It shows
    no group but the rehearsal's own, by its namespace, and nothing can be changed. Nor can a process be
    started in another group, for which a descriptor would do: there is no clone3 (see seccomp).
    """
    with open(CONTROL_GROUPS + b"/cgroup.controllers", "rb") as file:
        controllers = file.read(1 << 12)
    copy = b"files/cgroup.controllers"
    fd = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, controllers)
        os.fchmod(fd, 0o444)
    finally:
        os.close(fd)
    linux.mount(b"cgroup2", target, b"cgroup2", _QUIET | linux.MS_RDONLY)
    own = target + b"/cgroup.controllers"
    linux.mount(copy, own, b"", linux.MS_BIND)
    linux.mount(b"none", own, b"", linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | _QUIET)


def mount_sys(target: bytes) -> None:
    """Mount a read-only /sys that shows the machine's network, and nothing that is mounted in it."""
    linux.mount(b"sysfs", target, b"sysfs", _QUIET | linux.MS_RDONLY)
