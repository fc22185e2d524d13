# SPDX-License-Identifier: GPL-3.0-or-later
"""One name in one layer, read without ever following it; standard library only."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from aptguard.changes.classify import file_type
from aptguard.changes.compare import APPEND, IMMUTABLE, Attributes
from aptguard.changes.model import FileType, Node
from aptguard.changes.syscalls import inode_attributes


def join(directory: bytes, name: bytes) -> bytes:
    """Return the path of ``name`` in ``directory``, both relative to a layer's root (which is empty)."""
    return directory + b"/" + name if directory else name


def names_in(directory: int) -> list[bytes]:
    """Return the names in an open directory.

    By way of /proc, because only a bytes path makes scandir give bytes: names decoded with the locale's
    encoding do not always come back as they were.
    """
    with os.scandir(b"/proc/self/fd/%d" % directory) as found:
        return [entry.name for entry in found]


def inodes_in(directory: int) -> Iterator[tuple[bytes, int, bool]]:
    """Yield name, inode number and being a directory for each entry, without a stat call on it."""
    with os.scandir(b"/proc/self/fd/%d" % directory) as found:
        for entry in found:
            yield entry.name, entry.inode(), entry.is_dir(follow_symlinks=False)


class Entry:
    """An entry of an open directory: ``path`` is good while that directory's descriptor is open.

    The path goes by /proc/self/fd, since calls such as lgetxattr(2) know no directory descriptors and a
    device or whiteout cannot be opened for fgetxattr(2). Only its last component is the machine's, and
    none of the calls made here follows it. Construction raises FileNotFoundError when nothing is there.
    """

    __slots__ = ("path", "stat")

    def __init__(self, directory: int, name: bytes) -> None:
        self.path = b"/proc/self/fd/%d/%b" % (directory, name)
        self.stat = os.lstat(self.path)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory itself."""
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def inode(self) -> tuple[int, int]:
        """Device and inode number."""
        return self.stat.st_dev, self.stat.st_ino

    def xattrs(self) -> dict[str, bytes]:
        """Return all extended attributes; those of a file system without any are none."""
        try:
            names = os.listxattr(self.path, follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return {}
            raise
        found = {}
        for name in names:
            try:
                found[name] = os.getxattr(self.path, name, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.ENODATA:  # removed since they were listed
                    raise
        return found

    def attributes(
        self, xattrs: dict[str, bytes] | None = None, protected: bytes | None = None
    ) -> Attributes:
        """Return all but the content.

        ``protected`` is the mark that holds an upper entry's immutable and append-only flags; None for a
        lower entry, which has them itself.
        """
        flags, _ = inode_attributes(self.path)
        if protected is not None:
            flags &= ~(IMMUTABLE | APPEND)
            flags |= (IMMUTABLE if b"i" in protected else 0) | (APPEND if b"a" in protected else 0)
        return Attributes(self.stat, self.xattrs() if xattrs is None else xattrs, flags)

    def target(self) -> bytes:
        """Return the target of a symbolic link."""
        return os.readlink(self.path)

    def node(self) -> Node:
        """Return what stands here, as a value."""
        seen = self.stat
        kind = file_type(seen.st_mode)
        return Node(
            type=kind,
            mode=stat.S_IMODE(seen.st_mode),
            uid=seen.st_uid,
            gid=seen.st_gid,
            size=seen.st_size,
            mtime_ns=seen.st_mtime_ns,
            target=self.target() if kind is FileType.SYMLINK else None,
            device=seen.st_rdev,
            links=seen.st_nlink,
        )
