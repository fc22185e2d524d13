# SPDX-License-Identifier: GPL-3.0-or-later
"""In which ways two entries differ; standard library only.

Times are not compared: a file that was opened for writing and left as it was is no change, and one whose
size and time were restored after a change is one (its bytes differ). Nor is the size of a directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aptguard.changes.marks import is_bookkeeping
from aptguard.changes.model import Kind

_SET_ID = stat.S_ISUID | stat.S_ISGID
_CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

ACLS = ("system.posix_acl_access", "system.posix_acl_default")
FILE_CAPABILITIES = "security.capability"
# Derived from content and metadata, which are compared themselves; a copy-up leaves them out. XFS shows each
# ACL a second time in its own form (fs/xfs/xfs_xattr.c), which an upper on another file system lacks.
_DERIVED = frozenset({"security.evm", "security.ima", "trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"})

# STATX_ATTR_* (linux/stat.h). A copy-up keeps immutable and append-only, but not no-dump: its loss says
# nothing, its gain does.
IMMUTABLE, APPEND, NODUMP = 0x10, 0x20, 0x40
_KEPT_FLAGS = IMMUTABLE | APPEND


@dataclass(frozen=True, slots=True)
class Attributes:
    """All about an entry but its content: ``flags`` are STATX_ATTR_* bits."""

    stat: os.stat_result
    xattrs: Mapping[str, bytes]
    flags: int = 0


def metadata_kinds(before: Attributes, after: Attributes, *, unheld: Iterable[str] = ()) -> set[Kind]:
    """Return the kinds of metadata in which two entries of the same type differ.

    ``unheld`` are prefixes of extended attributes that the upper file system cannot hold: there the
    difference is the copy-up's doing.
    """
    kinds: set[Kind] = set()
    old, new = before.stat, after.stat
    if old.st_mode != new.st_mode:
        kinds.add(Kind.MODE)
        if (old.st_mode ^ new.st_mode) & _SET_ID:
            kinds.add(Kind.SETUID)
    if old.st_uid != new.st_uid:
        kinds.add(Kind.OWNER)
    if old.st_gid != new.st_gid:
        kinds.add(Kind.GROUP)
    if before.xattrs != after.xattrs:
        kinds |= _xattr_kinds(before.xattrs, after.xattrs, tuple(unheld))
    if (before.flags ^ after.flags) & _KEPT_FLAGS or after.flags & ~before.flags & NODUMP:
        kinds.add(Kind.FLAGS)
    return kinds


def _xattr_kinds(
    before: Mapping[str, bytes], after: Mapping[str, bytes], unheld: tuple[str, ...]
) -> set[Kind]:
    kinds: set[Kind] = set()
    for name in before.keys() | after.keys():
        if before.get(name) == after.get(name) or is_bookkeeping(name) or name.startswith(unheld):
            continue
        if name in ACLS:
            kinds.add(Kind.ACL)
        elif name == FILE_CAPABILITIES:
            kinds.add(Kind.CAPABILITY)
        elif name.startswith(("user.", "trusted.", "security.")) and name not in _DERIVED:
            kinds.add(Kind.XATTRS)
    return kinds


def same_content(one: bytes, other: bytes) -> bool:
    """Whether two regular files hold the same bytes; the size decides first.

    Neither path's last component is followed. Raises OSError when a file cannot be read, and when it is
    no regular file any more.
    """
    first = _open_regular(one)
    try:
        second = _open_regular(other)
        try:
            return _same_bytes(first, second)
        finally:
            os.close(second)
    finally:
        os.close(first)


def _open_regular(path: bytes) -> int:
    descriptor = os.open(path, _OPEN)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is no regular file any more", path)
    return descriptor


def _same_bytes(first: int, second: int) -> bool:
    size = os.fstat(first).st_size
    if size != os.fstat(second).st_size:
        return False
    position = 0
    while position < size:
        one, other = os.pread(first, _CHUNK, position), os.pread(second, _CHUNK, position)
        if len(one) != len(other):  # a short read, or the file shrank under us
            shorter = min(len(one), len(other))
            one, other = one[:shorter], other[:shorter]
        if one != other:
            return False
        if not one:
            return False
        position += len(one)
    return True
