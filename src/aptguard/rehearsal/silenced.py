# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that must do nothing in a rehearsal, and are seen all the same when a script touches them.

These are the guard's own hooks: a dpkg inside would ask the guard about what the guard is just trying. Their
configuration stays as it is, and so do the files themselves but for their content, which is given back when
nothing runs any more: what a script deletes, replaces or writes there shows like a change anywhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable

from aptguard.rehearsal import linux
from aptguard.rehearsal.devices import PRIVATE

_NOTHING = b"#!/bin/sh\nexit 0\n"
_SHOWN = PRIVATE + b"/silent"


class Silenced:
    """The programs ``paths``; one that is missing, or no regular file, is left alone."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._paths = tuple(paths)
        self._kept: dict[bytes, tuple[bytes, os.stat_result]] = {}

    def cover_read_only(self) -> None:
        """Mount the silent program over those that cannot be written to; nobody can change those either.

        To be called while mounting is still allowed. Raises OSError when it cannot be done.
        """
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if _is_regular(path) and os.statvfs(path).f_flag & os.ST_RDONLY:
                    if not os.path.lexists(_SHOWN):
                        _fill(os.open(_SHOWN, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC), _NOTHING)
                        os.chmod(_SHOWN, 0o755)
                    linux.mount(_SHOWN, path, b"", linux.MS_BIND)

    def silence(self) -> None:
        """Make each of them do nothing; again before each call of dpkg, which may have brought a new one.

        One that cannot be made to do nothing is left as it is: what it then says is told as dpkg's failure.
        """
        for path in self._paths:
            with contextlib.suppress(OSError):
                if _is_regular(path) and not self._is_ours(path):
                    self._kept.pop(path, None)
                    with open(path, "rb") as file:
                        content = file.read()
                    before = os.stat(path)
                    _write(path, _NOTHING, before)
                    self._kept[path] = content, os.lstat(path)

    def give_back(self) -> None:
        """Give their content back to those that nobody has touched since.

        By its inode and its time of change, which nobody can set: also what leaves the content alone, because
        it looks for words that only the real program has, has been a deed.
        """
        for path, (content, ours) in self._kept.items():
            with contextlib.suppress(OSError):
                if self._is_ours(path):
                    _write(path, content, ours)

    def _is_ours(self, path: bytes) -> bool:
        if path not in self._kept:
            return False
        now, ours = os.lstat(path), self._kept[path][1]
        return (now.st_ino, now.st_ctime_ns) == (ours.st_ino, ours.st_ctime_ns)


def _is_regular(path: bytes) -> bool:
    return stat.S_ISREG(os.lstat(path).st_mode)


def _write(path: bytes, content: bytes, times: os.stat_result) -> None:
    """Write into the file that is there, so that all else of it stays: owner, attributes, further names."""
    _fill(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC), content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _fill(fd: int, content: bytes) -> None:
    try:
        if os.write(fd, content) != len(content):
            raise OSError(errno.ENOSPC, "no room for the content of a program")
    finally:
        os.close(fd)
