# SPDX-License-Identifier: GPL-3.0-or-later
"""/dev of a rehearsal: six harmless device nodes, and what scripts do to them is seen like all else.

The nodes are made anew, as they are on the machine, in a directory of the rehearsal's own, and an overlay
stands over it: the only one without ``nodev``. No other device comes in there, for scripts have no CAP_MKNOD,
and neither rename(2) nor link(2) leads from one mount to another. Where no nodes can be made, as in most
containers, the machine's own are shown, each a mount that cannot be changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable

from aptguard.rehearsal import linux
from aptguard.rehearsal.model import Limits
from aptguard.rehearsal.overlay import LayerPlace, mount_overlay

_NAMES = (b"null", b"zero", b"full", b"random", b"urandom", b"tty")
_LINKS = (
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
    (b"ptmx", b"pts/ptmx"),
)
_REFUSED = (errno.EPERM, errno.EACCES)
_SMALL = b"mode=0755,size=4m,nr_inodes=4096"
# Where the recording programs write and what they run; see recorders.
PRIVATE = b"/dev/.rehearsal"
_MOUNT_POINTS = (b"pts", b"shm", b"mqueue", os.path.basename(PRIVATE))


class NoDeviceNodesError(Exception):
    """No device node can be made here, or none that was made can be opened."""


class Devices:
    """Descriptors of the machine's harmless device nodes, and of /dev, opened before anything covers them."""

    def __init__(self) -> None:
        self.directory = os.open(b"/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.opened: dict[bytes, int] = {}
        for name in _NAMES:
            self.opened[name] = os.open(b"/dev/" + name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self) -> None:
        """Close them all."""
        for fd in (self.directory, *self.opened.values()):
            os.close(fd)


def show_device(source: int, target: bytes) -> None:
    """Bind a device node of the machine; read-only, or its mode, owner and times could be changed.

    A device can be written to on a read-only mount all the same.
    """
    linux.mount(b"/proc/self/fd/%d" % source, target, b"", linux.MS_BIND)
    flags = linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NOEXEC
    linux.mount(b"none", target, b"", flags)


def overlay_dev(target: bytes, devices: Devices, mount_points: Iterable[bytes]) -> LayerPlace:
    """Mount an overlay over device nodes of our own, made in the working directory.

    ``mount_points`` are absolute paths in /dev that must be there as directories too. Raises
    NoDeviceNodesError where that is not allowed.
    """
    lower = b"dev"
    os.mkdir(lower, 0o755)
    for name, source in devices.opened.items():
        _copy_node(source, lower + b"/" + name)
    _furnish(lower, mount_points)
    _set_attributes(lower, os.fstat(devices.directory))
    fd = os.open(lower, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    home = b"layers/dev"
    # Whichever options it takes: no node has two names, and every directory in there is a mount point, which
    # cannot be renamed.
    mount_overlay(home, fd, read_only=False, flags=linux.MS_NOSUID)
    for name in devices.opened:
        _must_open(home + b"/merged/" + name)
    linux.mount(home + b"/merged", target, b"", linux.MS_BIND)
    return LayerPlace(b"/dev", home + b"/upper", fd)


def bind_dev(target: bytes, devices: Devices, mount_points: Iterable[bytes]) -> None:
    """Mount a /dev that shows the machine's device nodes, and in which a script's changes are not seen."""
    linux.mount(b"dev", target, b"tmpfs", linux.MS_NOSUID | linux.MS_NODEV, _SMALL)
    for name, source in devices.opened.items():
        path = target + b"/" + name
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        show_device(source, path)
    _furnish(target, mount_points)


def mount_inside_dev(target: bytes, limits: Limits, *, shared_memory: bool) -> None:
    """Mount terminals, message queues and the rehearsal's own place in that /dev.

    ``shared_memory``: also that of the rehearsal's own, where the machine has mounted none.
    """
    pseudo_terminals = b"newinstance,ptmxmode=0666,mode=0620,gid=5"
    linux.mount(b"devpts", target + b"/pts", b"devpts", linux.MS_NOSUID | linux.MS_NOEXEC, pseudo_terminals)
    flags = linux.MS_NOSUID | linux.MS_NODEV
    if shared_memory:
        room = limits.upper_bytes + limits.upper_spare_bytes
        linux.mount(b"shm", target + b"/shm", b"tmpfs", flags, b"mode=1777,size=%d" % room)
    with contextlib.suppress(OSError):  # CONFIG_POSIX_MQUEUE may be off
        linux.mount(b"mqueue", target + b"/mqueue", b"mqueue", flags | linux.MS_NOEXEC)
    linux.mount(b"rehearsal", target + b"/" + os.path.basename(PRIVATE), b"tmpfs", flags, _SMALL)


def _furnish(directory: bytes, mount_points: Iterable[bytes]) -> None:
    """Make the mount points and symbolic links."""
    for name in _MOUNT_POINTS:
        os.mkdir(directory + b"/" + name)
        os.chmod(directory + b"/" + name, 0o755)
    for point in mount_points:
        os.makedirs(directory + point[len(b"/dev") :], 0o755, exist_ok=True)
    for name, aim in _LINKS:
        os.symlink(aim, directory + b"/" + name)


def _copy_node(source: int, target: bytes) -> None:
    status = os.fstat(source)
    try:
        os.mknod(target, status.st_mode, status.st_rdev)
    except OSError as error:
        if error.errno in _REFUSED:
            raise NoDeviceNodesError(f"making one is refused: {error.strerror}") from error
        raise
    _set_attributes(target, status)


def _set_attributes(path: bytes, status: os.stat_result) -> None:
    os.chown(path, status.st_uid, status.st_gid)
    os.chmod(path, stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _must_open(path: bytes) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in _REFUSED:
            raise NoDeviceNodesError(f"opening one is refused: {error.strerror}") from error
        if error.errno != errno.ENXIO:  # tty without a terminal (tty(4))
            raise
