# SPDX-License-Identifier: GPL-3.0-or-later
"""What the paths in a call of a storage tool are, in the rehearsal and on the machine below it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from aptguard.rehearsal import linux
from aptguard.rehearsal.lower_entries import LowerLayer
from aptguard.rehearsal.storage_call import Places

_BTRFS = 0x9123683E  # BTRFS_SUPER_MAGIC, linux/magic.h
_ROOT_OF_A_SUBVOLUME = 256  # BTRFS_FIRST_FREE_OBJECTID, linux/btrfs_tree.h: its inode number
_MOST_LINKS = 40


class StoragePlaces(Places):
    """Looks at ``merged``, the root that the scripts saw, and at the lower directories of ``layers``."""

    def __init__(self, merged: int, layers: Sequence[LowerLayer]) -> None:
        self._merged = merged
        self._layers = sorted(layers, key=lambda layer: len(layer.mount_point), reverse=True)

    def real(self, path: bytes) -> bytes:
        """Return where ``path`` leads to, if it is a symbolic link."""
        for _ in range(_MOST_LINKS):
            if path.startswith(b"/dev/"):
                break
            try:
                fd = linux.openat_in_root(self._merged, path, os.O_PATH | os.O_NOFOLLOW)
            except OSError:
                break
            try:
                if not stat.S_ISLNK(os.fstat(fd).st_mode):
                    break
                target = os.readlink(b"", dir_fd=fd)
            finally:
                os.close(fd)
            path = os.path.normpath(os.path.join(os.path.dirname(path), target)).replace(b"//", b"/")
        return path

    def is_file(self, path: bytes) -> bool:
        """Whether a regular file stands there."""
        try:
            fd = linux.openat_in_root(self._merged, path, os.O_PATH)
        except OSError:
            return False
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode)
        finally:
            os.close(fd)

    def may_be_subvolume(self, path: bytes) -> bool:
        """Whether a btrfs subvolume stands there on the machine, or nobody can tell."""
        for layer in self._layers:
            top = layer.mount_point.rstrip(b"/")
            if path == top or path.startswith(top + b"/"):
                try:
                    fd = linux.openat_in_root(layer.lower, path[len(top) :] or b"/", os.O_PATH)
                except (FileNotFoundError, NotADirectoryError):
                    return False
                except OSError:
                    return True
                try:
                    inode = os.fstat(fd).st_ino
                    return inode == _ROOT_OF_A_SUBVOLUME and linux.file_system_type(fd) == _BTRFS
                except OSError:
                    return True
                finally:
                    os.close(fd)
        return True
