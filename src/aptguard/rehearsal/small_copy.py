# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of what no overlay can cover: a file that is a mount point, a small vfat file system."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from aptguard.changes.compare import APPEND, IMMUTABLE
from aptguard.changes.syscalls import inode_attributes
from aptguard.rehearsal import linux

_MOST_BYTES = 64 << 20
_MOST_TREE_BYTES = 16 << 20
_MOST_ENTRIES = 5000
_FS_IOC_SETFLAGS = linux.ioctl_number(ord("f"), 2, struct.calcsize("l"))  # linux/fs.h; flags as in statx(2)


class TooMuchToCopy(Exception):  # noqa: N818  it is a bound, not an error
    """The source is larger than what one rehearsal may copy."""


@dataclass(slots=True)
class TreeCopy:
    """What was copied: ``without_content`` are the paths, below the target, of files that hold nothing."""

    without_content: list[bytes] = field(default_factory=list)


def copy_file(source: int, target: bytes) -> None:
    """Copy the regular file ``source`` (a descriptor) with its attributes to the new ``target``."""
    status = os.fstat(source)
    if status.st_size > _MOST_BYTES:
        raise TooMuchToCopy(f"its {status.st_size} bytes are too much to copy for one rehearsal")
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        offset = 0
        while block := os.pread(source, 1 << 20, offset):
            os.write(fd, block)
            offset += len(block)
            if offset > _MOST_BYTES:
                raise TooMuchToCopy("it grows while it is copied")
        os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        for name in xattr_names(source):
            with contextlib.suppress(OSError):
                os.setxattr(fd, name, os.getxattr(source, name))
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        _protect_as(source, fd)
    finally:
        os.close(fd)


def xattr_names(source: int) -> list[str]:
    """Return the names of the extended attributes of the open ``source``, none where there cannot be any."""
    try:
        return os.listxattr(source)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def _protect_as(source: int, copy: int) -> None:
    """Set the flags immutable and append-only on ``copy`` if ``source`` has them.

    A tmpfs knows them since Linux 6.6; before, the rehearsal shows a change that the machine would refuse.
    """
    flags = inode_attributes(b"", directory=source)[0] & (IMMUTABLE | APPEND)
    if flags:
        with contextlib.suppress(OSError):
            fcntl.ioctl(copy, _FS_IOC_SETFLAGS, struct.pack("=l", flags))


def _anything(_: bytes) -> bool:
    return True


def copy_tree(source: int, target: bytes, wants_content: Callable[[bytes], bool] = _anything) -> TreeCopy:
    """Copy the directory ``source`` (a descriptor), files and directories only, to the new ``target``.

    The content comes along up to 16 MiB, the smallest files first, and of those whose path ``wants_content``
    takes: what scripts read are small files. The others have their size and attributes and read as zeros.
    Raises TooMuchToCopy above 5000 entries.
    """
    directories: list[bytes] = [b""]
    files: list[tuple[int, bytes]] = []
    os.mkdir(target, 0o700)
    device = os.fstat(source).st_dev
    for directory in directories:  # it grows meanwhile
        for name in _names(source, directory):
            if len(directories) + len(files) > _MOST_ENTRIES:
                raise TooMuchToCopy(
                    f"it has more than {_MOST_ENTRIES} entries, too many to copy for one rehearsal"
                )
            path = directory + b"/" + name if directory else name
            status = os.stat(path, dir_fd=source, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) or status.st_dev != device:
                os.mkdir(target + b"/" + path, 0o700)
                if status.st_dev == device:
                    directories.append(path)
            elif stat.S_ISREG(status.st_mode):
                files.append((status.st_size, path))
    done = TreeCopy()
    _copy_files(source, target, sorted(files), wants_content, done)
    for directory in reversed(directories):
        status = os.stat(directory or b".", dir_fd=source, follow_symlinks=False)
        copy = target + b"/" + directory
        os.chown(copy, status.st_uid, status.st_gid)
        os.chmod(copy, stat.S_IMODE(status.st_mode))
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    return done


# What scripts ask of the firmware: whether it starts signed programs only, and how it was told to start.
_READ_VARIABLES = (b"SecureBoot-", b"SetupMode-", b"Mok", b"Boot", b"Loader")


def copy_variables(source: int, target: bytes) -> TreeCopy:
    """Copy a file system of the firmware's variables (efivarfs), with the content of those that scripts read.

    Each reading is a call of the firmware, which takes long; there may be some hundred variables.
    """
    return copy_tree(source, target, lambda path: path.startswith(_READ_VARIABLES))


def _names(source: int, directory: bytes) -> list[bytes]:
    """Return the names in a directory below ``source``, without a trace in its access time."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOATIME
    fd = os.open(directory or b".", flags, dir_fd=source)
    try:
        return os.listdir(b"/proc/self/fd/%d" % fd)
    finally:
        os.close(fd)


def _copy_files(
    source: int,
    target: bytes,
    files: list[tuple[int, bytes]],
    wants_content: Callable[[bytes], bool],
    done: TreeCopy,
) -> None:
    left = _MOST_TREE_BYTES
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME
    for size, path in files:
        fd = os.open(path, flags, dir_fd=source)
        try:
            if size <= left and wants_content(path):
                left -= size
                copy_file(fd, target + b"/" + path)
            else:
                _copy_without_content(fd, target + b"/" + path)
                done.without_content.append(path)
        finally:
            os.close(fd)


def _copy_without_content(source: int, target: bytes) -> None:
    status = os.fstat(source)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(fd, status.st_size)
        os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        _protect_as(source, fd)
    finally:
        os.close(fd)
