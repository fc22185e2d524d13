# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc, /sys and /dev of a rehearsal: fresh ones, in which nothing of the machine can be changed.

Which parts of /proc must not be writable follows the table of systemd-nspawn (nspawn-mount.c), taken further:
everything at its top level that is no process, so that a newer kernel's additions are covered too.
"""

from __future__ import annotations

import contextlib
import os
import stat

from aptguard.rehearsal import linux
from aptguard.rehearsal.model import Limits

_DEVICES = (b"null", b"zero", b"full", b"random", b"urandom", b"tty")
_HIDDEN = (b"kcore", b"keys", b"key-users", b"kallsyms", b"timer_list", b"sched_debug", b"kmsg")
_PROCESS_LINKS = (b"self", b"thread-self", b"mounts", b"net")
_QUIET = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
# Where the recording programs write and what they run; see recorders.
PRIVATE = b"/dev/.rehearsal"


class Devices:
    """Descriptors of the machine's harmless device nodes, opened before anything covers them."""

    def __init__(self) -> None:
        self.opened: dict[bytes, int] = {}
        for name in _DEVICES:
            self.opened[name] = os.open(b"/dev/" + name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self) -> None:
        """Close them all."""
        for fd in self.opened.values():
            os.close(fd)


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
            _show_device(devices.opened[b"null"], path)
            continue
        # Also what has no write bit: chmod of an entry of /proc changes it in every /proc of the machine.
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            linux.mount(path, path, b"", linux.MS_BIND)
            linux.mount(b"none", path, b"", linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | _QUIET)


def _show_device(source: int, target: bytes) -> None:
    """Bind a device node of the machine; read-only, or its mode, owner and times could be changed.

    A device can be written to on a read-only mount all the same.
    """
    linux.mount(b"/proc/self/fd/%d" % source, target, b"", linux.MS_BIND)
    flags = linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NOEXEC
    linux.mount(b"none", target, b"", flags)


def mount_sys(target: bytes) -> None:
    """Mount a read-only /sys that shows the new network namespace and no control groups."""
    linux.mount(b"sysfs", target, b"sysfs", _QUIET | linux.MS_RDONLY)


def mount_dev(target: bytes, devices: Devices, limits: Limits) -> None:
    """Mount a minimal /dev; the devices are bind mounts, so the file system itself can refuse all nodes."""
    linux.mount(
        b"dev", target, b"tmpfs", linux.MS_NOSUID | linux.MS_NODEV, b"mode=0755,size=4m,nr_inodes=4096"
    )
    for name, source in devices.opened.items():
        path = target + b"/" + name
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        _show_device(source, path)
    for name in (b"pts", b"shm", b"mqueue"):
        os.mkdir(target + b"/" + name, 0o755)
    pseudo_terminals = b"newinstance,ptmxmode=0666,mode=0620,gid=5"
    linux.mount(b"devpts", target + b"/pts", b"devpts", linux.MS_NOSUID | linux.MS_NOEXEC, pseudo_terminals)
    room = limits.upper_bytes + limits.upper_spare_bytes
    linux.mount(
        b"shm", target + b"/shm", b"tmpfs", linux.MS_NOSUID | linux.MS_NODEV, b"mode=1777,size=%d" % room
    )
    with contextlib.suppress(OSError):  # CONFIG_POSIX_MQUEUE may be off
        linux.mount(b"mqueue", target + b"/mqueue", b"mqueue", _QUIET)
    for name, aim in (
        (b"fd", b"/proc/self/fd"),
        (b"stdin", b"/proc/self/fd/0"),
        (b"stdout", b"/proc/self/fd/1"),
        (b"stderr", b"/proc/self/fd/2"),
        (b"ptmx", b"pts/ptmx"),
    ):
        os.symlink(aim, target + b"/" + name)
