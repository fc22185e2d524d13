# SPDX-License-Identifier: GPL-3.0-or-later
"""What overlayfs itself writes on the entries of an upper directory; pure, standard library only.

Source: Documentation/filesystems/overlayfs.rst ("whiteouts and opaque directories", "Renaming
directories", "Metadata only copy up") and fs/overlayfs/overlayfs.h for the layout of a file handle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_HANDLE_VERSION, _HANDLE_MAGIC = 0, 0xFB
_HANDLE_HEADER = 21  # version, magic, length, flags, type, 16 bytes of uuid
_BOOKKEEPING = re.compile(r"(trusted|user)\.overlay\.")


def overlay_prefix(*, userxattr: bool = False) -> str:
    """Return the prefix of overlayfs's own extended attributes under the given mount option."""
    return "user.overlay." if userxattr else "trusted.overlay."


def is_bookkeeping(name: str) -> bool:
    """Whether the extended attribute is overlayfs's own, of whatever overlay."""
    return _BOOKKEEPING.match(name) is not None


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks on one upper entry.

    ``redirect`` is the lower path it came from: absolute, or a name beside it. ``origin`` is the file
    handle of the lower inode it was copied from: empty where the lower has no handles, None for an entry
    that is not a copy. ``protected`` holds ``i`` and ``a`` for the immutable and append-only flags, which
    overlayfs does not set on the upper inode.
    """

    whiteout: bool = False
    opaque: bool = False
    metacopy: bool = False
    redirect: bytes | None = None
    origin: bytes | None = None
    protected: bytes = b""


NO_MARKS = Marks()


def marks_of(xattrs: Mapping[str, bytes], *, userxattr: bool = False) -> Marks:
    """Return the marks among the extended attributes of an upper entry."""
    if not xattrs:
        return NO_MARKS
    prefix = overlay_prefix(userxattr=userxattr)
    return Marks(
        whiteout=f"{prefix}whiteout" in xattrs,
        # "x" says that there may be whiteouts made of attributes inside, not that the lower is hidden.
        opaque=xattrs.get(f"{prefix}opaque") == b"y",
        metacopy=f"{prefix}metacopy" in xattrs,
        redirect=xattrs.get(f"{prefix}redirect"),
        origin=xattrs.get(f"{prefix}origin"),
        protected=xattrs.get(f"{prefix}protattr", b""),
    )


def handle_of(origin: bytes) -> tuple[int, bytes] | None:
    """Return type and bytes of the file handle in an ``origin`` mark, None when it holds none we know."""
    if len(origin) < _HANDLE_HEADER or origin[0] != _HANDLE_VERSION or origin[1] != _HANDLE_MAGIC:
        return None
    length = origin[2]
    if length < _HANDLE_HEADER or length > len(origin):
        return None
    return origin[4], origin[_HANDLE_HEADER:length]
