# SPDX-License-Identifier: GPL-3.0-or-later
"""inotify(7), which Python's library does not offer: which names vanish from a directory."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator

# sys/inotify.h
_IN_MOVED_FROM = 0x40
_IN_DELETE = 0x200
_IN_DELETE_SELF = 0x400
_IN_ONLYDIR = 0x01000000
_EVENT = struct.Struct("iIII")

_libc = ctypes.CDLL(None, use_errno=True)


def watch_for_deletions(directory: str) -> int:
    """Return a descriptor that is readable when a name of ``directory`` has vanished; OSError."""
    descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1 failed", directory)
    mask = _IN_DELETE | _IN_MOVED_FROM | _IN_DELETE_SELF | _IN_ONLYDIR
    if _libc.inotify_add_watch(descriptor, os.fsencode(directory), mask) < 0:
        error = ctypes.get_errno()
        os.close(descriptor)
        raise OSError(error, "inotify_add_watch failed", directory)
    return int(descriptor)


def vanished_names(descriptor: int) -> Iterator[str]:
    """Yield the names that have vanished since the last call; an empty one for the directory itself."""
    try:
        data = os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return
    while len(data) >= _EVENT.size:
        _, _, _, length = _EVENT.unpack_from(data)
        name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
        data = data[_EVENT.size + length :]
        yield os.fsdecode(name)
