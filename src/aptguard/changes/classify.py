# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upper entry means over a lower entry: one table over all pairs; pure, standard library only."""

from __future__ import annotations

import stat
from enum import Enum, auto

from aptguard.changes.marks import Marks
from aptguard.changes.model import FileType

_TYPES = {
    stat.S_IFREG: FileType.REGULAR,
    stat.S_IFDIR: FileType.DIRECTORY,
    stat.S_IFLNK: FileType.SYMLINK,
    stat.S_IFIFO: FileType.FIFO,
    stat.S_IFSOCK: FileType.SOCKET,
    stat.S_IFBLK: FileType.BLOCK,
    stat.S_IFCHR: FileType.CHARACTER,
}


class UpperKind(Enum):
    """What the upper directory says of a name."""

    ABSENT = auto()
    WHITEOUT = auto()  # a character device 0:0
    WHITEOUT_FILE = auto()  # an empty file marked as whiteout
    MERGED_DIRECTORY = auto()
    OPAQUE_DIRECTORY = auto()
    REDIRECTED_DIRECTORY = auto()
    METACOPY = auto()  # a regular file whose content is still a lower one's
    FILE = auto()
    SYMLINK = auto()
    FIFO = auto()
    SOCKET = auto()
    BLOCK = auto()
    CHARACTER = auto()


class LowerKind(Enum):
    """What stands at the same path in the lower directory."""

    ABSENT = auto()
    FILE = auto()
    DIRECTORY = auto()
    SYMLINK = auto()
    FIFO = auto()
    SOCKET = auto()
    BLOCK = auto()
    CHARACTER = auto()


class Outcome(Enum):
    """What to do with a pair. A ``_TREE`` goes on below: every path there is looked at in its turn."""

    NOTHING = auto()
    DELETED = auto()
    DELETED_TREE = auto()
    CREATED = auto()
    CREATED_TREE = auto()
    TYPE = auto()
    TYPE_TREE = auto()  # one of the two is a directory
    METADATA = auto()
    METADATA_TREE = auto()
    CONTENT = auto()  # metadata, and the bytes of both
    ORIGIN = auto()  # metadata, and the bytes only when the content is another lower file's
    TARGET = auto()  # metadata, and the target of the symbolic link
    DEVICE = auto()  # metadata, and major and minor number


_O = Outcome
_C, _T, _D = _O.CREATED, _O.TYPE, _O.TYPE_TREE
_GONE = (_O.NOTHING, _O.DELETED, _O.DELETED_TREE, *[_O.DELETED] * 5)
_DIRECTORY = (_O.CREATED_TREE, _D, _O.METADATA_TREE, *[_D] * 5)
# fmt: off
_ROWS: dict[UpperKind, tuple[Outcome, ...]] = {
    # lower:    ABSENT FILE   DIRECTORY  SYMLINK    FIFO         SOCKET       BLOCK      CHARACTER
    UpperKind.ABSENT:               (_O.NOTHING,) * 8,
    UpperKind.WHITEOUT:             _GONE,
    UpperKind.WHITEOUT_FILE:        _GONE,
    UpperKind.MERGED_DIRECTORY:     _DIRECTORY,
    UpperKind.OPAQUE_DIRECTORY:     _DIRECTORY,
    UpperKind.REDIRECTED_DIRECTORY: _DIRECTORY,
    UpperKind.METACOPY:  (_C, _O.ORIGIN,  _D, _T,        _T,          _T,          _T,        _T),
    UpperKind.FILE:      (_C, _O.CONTENT, _D, _T,        _T,          _T,          _T,        _T),
    UpperKind.SYMLINK:   (_C, _T,         _D, _O.TARGET, _T,          _T,          _T,        _T),
    UpperKind.FIFO:      (_C, _T,         _D, _T,        _O.METADATA, _T,          _T,        _T),
    UpperKind.SOCKET:    (_C, _T,         _D, _T,        _T,          _O.METADATA, _T,        _T),
    UpperKind.BLOCK:     (_C, _T,         _D, _T,        _T,          _T,          _O.DEVICE, _T),
    UpperKind.CHARACTER: (_C, _T,         _D, _T,        _T,          _T,          _T,        _O.DEVICE),
}
# fmt: on

CASES: dict[tuple[UpperKind, LowerKind], Outcome] = {
    (upper, lower): outcome
    for upper, row in _ROWS.items()
    for lower, outcome in zip(LowerKind, row, strict=True)
}

_LOWER_KINDS = {
    FileType.REGULAR: LowerKind.FILE,
    FileType.DIRECTORY: LowerKind.DIRECTORY,
    FileType.SYMLINK: LowerKind.SYMLINK,
    FileType.FIFO: LowerKind.FIFO,
    FileType.SOCKET: LowerKind.SOCKET,
    FileType.BLOCK: LowerKind.BLOCK,
    FileType.CHARACTER: LowerKind.CHARACTER,
}

# What a lower entry is that shows at another path because a directory above it was renamed: its content
# is still the lower one's, as with a metacopy, and its own entries come along, as with a redirect.
MOVED: dict[LowerKind, UpperKind] = {
    LowerKind.ABSENT: UpperKind.WHITEOUT,
    LowerKind.FILE: UpperKind.METACOPY,
    LowerKind.DIRECTORY: UpperKind.REDIRECTED_DIRECTORY,
    LowerKind.SYMLINK: UpperKind.SYMLINK,
    LowerKind.FIFO: UpperKind.FIFO,
    LowerKind.SOCKET: UpperKind.SOCKET,
    LowerKind.BLOCK: UpperKind.BLOCK,
    LowerKind.CHARACTER: UpperKind.CHARACTER,
}


def file_type(mode: int) -> FileType:
    """Return the type in an ``st_mode``."""
    return _TYPES[stat.S_IFMT(mode)]


def lower_kind(mode: int | None) -> LowerKind:
    """Return what a lower entry with this ``st_mode`` is; None: there is no entry."""
    return LowerKind.ABSENT if mode is None else _LOWER_KINDS[file_type(mode)]


def upper_kind(mode: int, device: int, size: int, marks: Marks) -> UpperKind:
    """Return what an upper entry with this ``st_mode``, ``st_rdev``, ``st_size`` and these marks is.

    Being opaque beats being redirected: the kernel looks no further below an opaque directory.
    """
    match file_type(mode):
        case FileType.REGULAR:
            if marks.whiteout and size == 0:
                return UpperKind.WHITEOUT_FILE
            return UpperKind.METACOPY if marks.metacopy else UpperKind.FILE
        case FileType.DIRECTORY:
            if marks.opaque:
                return UpperKind.OPAQUE_DIRECTORY
            return UpperKind.MERGED_DIRECTORY if marks.redirect is None else UpperKind.REDIRECTED_DIRECTORY
        case FileType.CHARACTER:
            return UpperKind.WHITEOUT if device == 0 else UpperKind.CHARACTER
        case FileType.SYMLINK:
            return UpperKind.SYMLINK
        case FileType.FIFO:
            return UpperKind.FIFO
        case FileType.SOCKET:
            return UpperKind.SOCKET
        case FileType.BLOCK:
            return UpperKind.BLOCK
