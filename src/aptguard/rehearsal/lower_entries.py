# SPDX-License-Identifier: GPL-3.0-or-later
"""What stood at a path before the run: asked of the lower layers while the run goes on."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final, Protocol

from aptguard.rehearsal import linux

_MOST_LOOKED_AT: Final = 256  # entries of a tree of directories, before it counts as holding something


class LowerLayer(Protocol):
    """One overlay: where it is mounted in the sandbox, and a descriptor of what lies below it."""

    @property
    def mount_point(self) -> bytes:
        """Return the absolute path in the merged tree."""

    @property
    def lower(self) -> int:
        """Return a directory descriptor."""


class LowerEntries:
    """Tells deletions that took something from those that only tidied up empty directories."""

    def __init__(self, layers: Sequence[LowerLayer]) -> None:
        # The deepest mount point first: the first that fits is the one a path is on.
        self._layers = sorted(layers, key=lambda layer: len(layer.mount_point), reverse=True)

    def whiteout_takes_something(self, path: bytes) -> bool:
        """Whether a whiteout at ``path`` hides more than a directory.

        A directory can be removed only when it is empty (rmdir(2)): what it held has whiteouts of its own.
        """
        mode = self._mode(path)
        return mode is None or not stat.S_ISDIR(mode)

    def rename_takes_something(self, path: bytes) -> bool:
        """Whether the directory that was renamed away from ``path`` held anything but directories before.

        One that was not there before has been made, or moved there, by the run itself: then its first place
        has been told already.
        """
        if any(layer.mount_point.startswith(path.rstrip(b"/") + b"/") for layer in self._layers):
            return True
        try:
            fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        try:
            return _holds_something(fd)
        except OSError:
            return True
        finally:
            os.close(fd)

    def _mode(self, path: bytes) -> int | None:
        try:
            fd = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            return os.fstat(fd).st_mode
        finally:
            os.close(fd)

    def _open(self, path: bytes, flags: int) -> int:
        for layer in self._layers:
            top = layer.mount_point.rstrip(b"/")
            if path == top or path.startswith(top + b"/"):
                return linux.openat_in_root(layer.lower, path[len(top) :] or b"/", flags)
        raise FileNotFoundError(2, "it is on no layer", path)


def _holds_something(directory: int) -> bool:
    left = _MOST_LOOKED_AT
    pending = [os.dup(directory)]
    try:
        while pending:
            fd = pending.pop()
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        left -= 1
                        if left < 0 or not entry.is_dir(follow_symlinks=False):
                            return True
                        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                        pending.append(os.open(entry.name, flags, dir_fd=fd))
            finally:
                os.close(fd)
    finally:
        for fd in pending:
            os.close(fd)
    return False
