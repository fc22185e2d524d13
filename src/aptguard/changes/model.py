# SPDX-License-Identifier: GPL-3.0-or-later
"""A difference between the machine before and after a rehearsal, as values; standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from os.path import basename


class FileType(Enum):
    """What stands at a path (``st_mode & S_IFMT``)."""

    REGULAR = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    BLOCK = "block device"
    CHARACTER = "character device"


class Kind(Enum):
    """One way in which a path differs."""

    DELETED = "deleted"
    CREATED = "created"
    TYPE = "type"
    CONTENT = "content"
    TARGET = "target"  # of a symbolic link
    DEVICE = "device"  # major and minor number
    MODE = "mode"
    SETUID = "setuid"  # the set-uid or set-gid bit differs (always together with MODE)
    OWNER = "owner"
    GROUP = "group"
    ACL = "acl"
    CAPABILITY = "capability"
    XATTRS = "xattrs"
    FLAGS = "flags"  # inode flags, chattr(1)

    # Members are single objects; Enum's own hash is made of the name, in Python, for each look into a set.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Node:
    """What lstat(2) said of a path; ``size`` in bytes, ``mtime_ns`` in nanoseconds since the epoch."""

    type: FileType
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    target: bytes | None = None
    device: int = 0
    links: int = 1


@dataclass(frozen=True, slots=True)
class Cause:
    """Who made a change.

    ``script`` is the maintainer script and its argument (``postrm purge``), None for dpkg itself.
    ``command`` is the argv of the process that did it, empty where it was not seen.
    """

    package: str | None
    script: str | None
    command: tuple[bytes, ...] = ()

    @property
    def is_dpkg(self) -> bool:
        """Whether it was dpkg itself, and not a script of a package."""
        return self.script is None and bool(self.command) and basename(self.command[0]) == b"dpkg"


@dataclass(frozen=True, slots=True)
class ViewName:
    """A further name of a path, through a mount that only shows the system's own directories once more.

    ``top`` is the name, through that mount, of the directory that has both names.
    """

    path: bytes
    top: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs.

    ``path`` is absolute, canonical in its directories, raw bytes. ``before`` is None for a created path,
    ``after`` is None for a deleted one. ``renamed_from`` is the lower path that a redirected directory
    came from. ``other_names`` are the further hard links of the same inode, as far as they are known;
    ``views`` are names by which it is not judged, unless a rule protects that very place.
    A deleted directory yields one Change for itself and one for every path below it.
    """

    path: bytes
    kinds: frozenset[Kind]
    before: Node | None = None
    after: Node | None = None
    cause: Cause | None = None
    renamed_from: bytes | None = None
    other_names: tuple[bytes, ...] = ()
    views: tuple[ViewName, ...] = ()

    @property
    def deleted(self) -> bool:
        """Whether nothing stands at the path any more."""
        return Kind.DELETED in self.kinds

    @property
    def created(self) -> bool:
        """Whether nothing stood at the path before."""
        return Kind.CREATED in self.kinds
