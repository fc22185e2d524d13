# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of an overlay mounted with index=on: copies of hard-linked files; standard library only.

Each name in the directory is a file handle in hexadecimal, of the lower inode that the entry is the copy
of (overlayfs.rst, "Index": hard links; fs/overlayfs/namei.c, ovl_get_index_name). The copy shows under
all names of that inode, also under those that the upper directory does not hold.
"""

from __future__ import annotations

import errno
import os
import stat

from aptguard.changes.entry import Entry, names_in
from aptguard.changes.marks import handle_of
from aptguard.changes.syscalls import open_by_handle, open_directory


def indexed_inodes(index: int, lower: int) -> dict[tuple[int, int], bytes]:
    """Return, for each lower inode that has a copy, the name of the copy in the index directory.

    ``lower`` is any descriptor on the lower file system. Inodes that are gone by now are left out: they
    have no name that could have changed. Raises OSError.
    """
    mount = open_directory(lower, b"")  # an O_PATH descriptor names no mount to open_by_handle_at(2)
    try:
        found = {}
        for name in names_in(index):
            inode = _copied_inode(mount, index, name)
            if inode is not None:
                found[inode] = name
        return found
    finally:
        os.close(mount)


def _copied_inode(mount: int, index: int, name: bytes) -> tuple[int, int] | None:
    entry = Entry(index, name)
    is_whiteout = stat.S_ISCHR(entry.stat.st_mode) and not entry.stat.st_rdev
    handle = _handle_in(name)
    if is_whiteout or entry.is_directory or handle is None:
        return None
    try:
        descriptor = open_by_handle(mount, *handle)
    except OSError as error:
        if error.errno == errno.ESTALE:
            return None
        raise
    try:
        seen = os.fstat(descriptor)
        return seen.st_dev, seen.st_ino
    finally:
        os.close(descriptor)


def _handle_in(name: bytes) -> tuple[int, bytes] | None:
    try:
        return handle_of(bytes.fromhex(name.decode("ascii")))
    except ValueError:
        return None
