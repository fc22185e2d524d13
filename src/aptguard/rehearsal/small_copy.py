# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of what no overlay can cover: a file that is a mount point, a small vfat file system."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass

_MOST_BYTES = 64 << 20
_MOST_TREE_BYTES = 16 << 20
_MOST_ENTRIES = 5000


class TooMuchToCopy(Exception):  # noqa: N818  it is a bound, not an error
    """The source is larger than what one rehearsal may copy."""


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
        for name in os.listxattr(source):
            with contextlib.suppress(OSError):
                os.setxattr(fd, name, os.getxattr(source, name))
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(fd)


def copy_tree(source: int, target: bytes) -> int:
    """Copy the directory ``source`` (a descriptor), files and directories only, to the new ``target``.

    Above 16 MiB files are copied with their size but without their content, which reads as zeros: what
    happens to them is seen all the same. Returns how many these are. Raises TooMuchToCopy above 5000 entries.
    """
    budget = _Budget(_MOST_TREE_BYTES, _MOST_ENTRIES)
    os.mkdir(target, 0o700)
    _copy_directory(source, target, budget)
    return budget.without_content


@dataclass(slots=True)
class _Budget:
    """What is left to copy; ``without_content`` counts the files for which it did not suffice."""

    bytes: int
    entries: int
    without_content: int = 0


def _copy_directory(source: int, target: bytes, budget: _Budget) -> None:
    for name in os.listdir(f"/proc/self/fd/{source}".encode()):
        budget.entries -= 1
        if budget.entries < 0:
            raise TooMuchToCopy(
                f"it has more than {_MOST_ENTRIES} entries, too many to copy for one rehearsal"
            )
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME
        child = os.open(name, flags, dir_fd=source)
        try:
            status = os.fstat(child)
            if status.st_dev != os.fstat(source).st_dev:
                os.mkdir(target + b"/" + name, 0o700)
            elif stat.S_ISDIR(status.st_mode):
                os.mkdir(target + b"/" + name, 0o700)
                _copy_directory(child, target + b"/" + name, budget)
            elif stat.S_ISREG(status.st_mode):
                if status.st_size <= budget.bytes:
                    budget.bytes -= status.st_size
                    copy_file(child, target + b"/" + name)
                else:
                    budget.without_content += 1
                    _copy_without_content(status, target + b"/" + name)
        finally:
            os.close(child)
    status = os.fstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_without_content(status: os.stat_result, target: bytes) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(fd, status.st_size)
        os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(fd)
