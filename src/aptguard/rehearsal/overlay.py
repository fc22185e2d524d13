# SPDX-License-Identifier: GPL-3.0-or-later
"""One overlay over one directory of the machine, with what the overlay's root has to show."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from dataclasses import dataclass

from aptguard.changes.compare import APPEND, IMMUTABLE
from aptguard.changes.syscalls import inode_attributes
from aptguard.rehearsal import linux

# In order of preference; the documentation is Documentation/filesystems/overlayfs.rst.
# metacopy: chown of a large file copies no data. redirect_dir: rename(2) of a directory works as it does on
# the machine. index: hard links stay hard links, one inode with one content.
_OPTIONS = (
    b"metacopy=on,redirect_dir=on,index=on,xino=auto,volatile",
    b"metacopy=on,redirect_dir=on,index=off,xino=auto,volatile",
    b"metacopy=off,redirect_dir=nofollow,index=off,volatile",
)
# On a file system without file handles there are neither an index nor steady inode numbers; asked for, the
# kernel would leave them out with a line in its log.
_WITHOUT_HANDLES = (
    b"metacopy=on,redirect_dir=on,index=off,xino=off,volatile",
    b"metacopy=off,redirect_dir=nofollow,index=off,xino=off,volatile",
)
WITHOUT_INDEX, WORST = 1, 2
_FS_IOC_SETFLAGS = linux.ioctl_number(ord("f"), 2, struct.calcsize("l"))  # linux/fs.h; flags as in statx(2)


@dataclass(slots=True)
class LayerPlace:
    """One overlay: where it stands, its upper directory in the workspace, a descriptor of its lower.

    ``is_copy``, ``ignores_case``: see ObservedLayer.
    """

    point: bytes
    upper: bytes
    lower: int
    is_copy: bool = False
    ignores_case: bool = False


def mount_overlay(
    home: bytes, lower: int, *, read_only: bool, flags: int = linux.MS_NODEV, has_handles: bool = True
) -> tuple[int, str]:
    """Mount an overlay over the directory ``lower``, in the new directory ``home``: upper, work and merged.

    Returns the place of the options that were taken (0 to WORST) and why the better ones were refused.
    ``read_only``: the merged directory refuses writing. ``has_handles``: False where it is known that the
    lower has no file handles. Raises OSError when overlayfs takes none of them.
    """
    for directory in (home, home + b"/upper", home + b"/work", home + b"/merged"):
        os.mkdir(directory, 0o700)
    _copy_attributes(lower, home + b"/upper")
    where = b"lowerdir=/proc/self/fd/%d,upperdir=%s/upper,workdir=%s/work," % (lower, home, home)
    if read_only:
        flags |= linux.MS_RDONLY
    refusals: list[OSError] = []
    for place, options in enumerate(_OPTIONS if has_handles else _WITHOUT_HANDLES):
        try:
            linux.mount(b"overlay", home + b"/merged", b"overlay", flags, where + options)
        except OSError as error:
            refusals.append(error)
            continue
        if not read_only:
            _protect_as(lower, home + b"/merged")
        return place, str(refusals[0].strerror) if refusals else ""
    raise OSError(refusals[0].errno, f"overlayfs refuses it: {refusals[0].strerror}", home)


def open_index(workspace: int, upper: bytes) -> int | None:
    """Return a descriptor of the index beside the directory ``upper``; None where overlayfs keeps none."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(os.path.dirname(upper) + b"/work/index", flags, dir_fd=workspace)
    except FileNotFoundError:
        return None


def _copy_attributes(source: int, target: bytes) -> None:
    """Give the upper root what the lower root has: the merged root shows the upper's."""
    status = os.fstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in _xattrs(source):
        if not name.startswith("trusted.overlay."):
            with contextlib.suppress(OSError):
                os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _xattrs(source: int) -> list[str]:
    try:
        return os.listxattr(source)
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # a file system without any, as squashfs may be built
            return []
        raise


def _protect_as(source: int, merged: bytes) -> None:
    """Set the flags immutable and append-only on the merged root if the lower root has them (chattr(1)).

    Overlayfs obeys them below the root by itself. Where it cannot be done the rehearsal shows a change that
    the machine would refuse.
    """
    flags = inode_attributes(b"/proc/self/fd/%d/." % source)[0] & (IMMUTABLE | APPEND)
    if flags:
        fd = os.open(merged, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("=l", flags))
        finally:
            os.close(fd)


def for_comparison(source: int) -> int:
    """Return a descriptor of ``source`` without what is mounted in it; reading there leaves no trace."""
    fd = linux.open_tree_clone(source)
    try:
        linux.only_for_reading(fd)
        return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    finally:
        os.close(fd)
