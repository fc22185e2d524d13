# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin wrapper of fanotify(7) and of file handles: one function for each system call, no policy.

Constants are those of <linux/fanotify.h>; every wrapper raises OSError that says what was tried on what.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final, NamedTuple

# fanotify_init(2)
FAN_CLOEXEC: Final = 0x1
FAN_NONBLOCK: Final = 0x2
FAN_CLASS_CONTENT: Final = 0x4
FAN_UNLIMITED_QUEUE: Final = 0x10
FAN_UNLIMITED_MARKS: Final = 0x20
FAN_REPORT_FID: Final = 0x200
FAN_REPORT_DIR_FID: Final = 0x400
FAN_REPORT_NAME: Final = 0x800
FAN_REPORT_TARGET_FID: Final = 0x1000  # Linux 5.17

# fanotify_mark(2)
FAN_MARK_ADD: Final = 0x1
FAN_MARK_REMOVE: Final = 0x2
FAN_MARK_DONT_FOLLOW: Final = 0x4
FAN_MARK_IGNORED_SURV_MODIFY: Final = 0x40
FAN_MARK_FLUSH: Final = 0x80
FAN_MARK_FILESYSTEM: Final = 0x100
FAN_MARK_IGNORE: Final = 0x400  # Linux 6.0

# events
FAN_ACCESS: Final = 0x1
FAN_MODIFY: Final = 0x2
FAN_ATTRIB: Final = 0x4
FAN_OPEN: Final = 0x20
FAN_MOVED_FROM: Final = 0x40
FAN_MOVED_TO: Final = 0x80
FAN_CREATE: Final = 0x100
FAN_DELETE: Final = 0x200
FAN_OPEN_EXEC: Final = 0x1000
FAN_Q_OVERFLOW: Final = 0x4000
FAN_OPEN_PERM: Final = 0x10000
FAN_OPEN_EXEC_PERM: Final = 0x40000
FAN_EVENT_ON_CHILD: Final = 0x0800_0000
FAN_ONDIR: Final = 0x4000_0000

FAN_ALLOW: Final = 0x1
FAN_NOFD: Final = -1
EVENT_SIZE: Final = 24

_INFO_FID: Final = 1
_INFO_DFID_NAME: Final = 2
_INFO_DFID: Final = 3

_AT_EMPTY_PATH: Final = 0x1000
_MAX_HANDLE: Final = 128
_SYS_OPENAT2: Final = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_IN_ROOT: Final = 0x10

_metadata = struct.Struct("=IBBHQii")
_info = struct.Struct("=BBH8xIi")  # header, fsid, handle_bytes, handle_type
_response = struct.Struct("=iI")
_handle_head = struct.Struct("=Ii")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = [
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_uint64,
    ctypes.c_int,
    ctypes.c_char_p,
]
_libc.fanotify_init.argtypes = [ctypes.c_uint, ctypes.c_uint]
_libc.name_to_handle_at.argtypes = [
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_int),
    ctypes.c_int,
]
_libc.open_by_handle_at.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]


class Event(NamedTuple):
    """One event. ``directory`` is the handle of the parent, ``name`` the entry, ``target`` the object's own.

    A handle is opaque: type and bytes as the kernel gave them, fit for comparison and `open_by_handle`.
    ``name`` is ``b"."`` when the directory itself is meant. ``fd`` is FAN_NOFD in a group that reports
    handles; ``pid`` is a process (not a thread) in the reader's pid namespace, 0 if it is not visible there.
    """

    mask: int
    pid: int
    fd: int
    directory: bytes | None
    name: bytes
    target: bytes | None


def _failed(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def init(flags: int) -> int:
    """Return a new notification group's file descriptor (fanotify_init(2)); always close-on-exec."""
    fd: int = _libc.fanotify_init(flags | FAN_CLOEXEC, os.O_RDONLY | os.O_CLOEXEC | 0o100000)
    if fd < 0:
        raise _failed(f"cannot open a fanotify group with flags {flags:#x}")
    return fd


def mark(group: int, flags: int, mask: int, directory: int, name: bytes | None = None) -> None:
    """Add, remove or ignore ``mask`` on ``name`` below ``directory``, or on ``directory`` itself.

    The object is looked up, never opened: a mark can be set on a file that this very group guards.
    """
    if _libc.fanotify_mark(group, flags, mask, directory, name) < 0:
        raise _failed(f"cannot set fanotify mark {mask:#x} (flags {flags:#x}) on {name!r}")


def allow(group: int, fd: int) -> None:
    """Let the process that waits for the permission event with ``fd`` go on."""
    os.write(group, _response.pack(fd, FAN_ALLOW))


def parse(buffer: bytes) -> list[Event]:
    """Return the events in ``buffer``, as read(2) filled it, in the kernel's order.

    Raises ValueError when a length in it cannot be, which would mean another version of the interface.
    """
    events: list[Event] = []
    at = 0
    size = len(buffer)
    while at + EVENT_SIZE <= size:
        length, _version, _, head, mask, fd, pid = _metadata.unpack_from(buffer, at)
        end = at + length
        if length < EVENT_SIZE or end > size:
            raise ValueError(f"fanotify event of {length} bytes at {at} in a buffer of {size}")
        directory: bytes | None = None
        target: bytes | None = None
        name = b""
        info = at + head
        while info + 4 <= end:
            kind, _, info_length = struct.unpack_from("=BBH", buffer, info)
            if info_length < 4 or info + info_length > end:
                raise ValueError(f"fanotify information record of {info_length} bytes at {info}")
            if kind in {_INFO_FID, _INFO_DFID_NAME, _INFO_DFID} and info_length >= _info.size:
                _, _, _, handle_bytes, _ = _info.unpack_from(buffer, info)
                handle = buffer[info + 12 : info + 20 + handle_bytes]
                if kind == _INFO_FID:
                    target = handle
                else:
                    directory = handle
                    if kind == _INFO_DFID_NAME:
                        name = buffer[info + 20 + handle_bytes : info + info_length].split(b"\0", 1)[0]
            info += info_length
        events.append(Event(mask, pid, fd, directory, name, target))
        at = end
    return events


def handle_of(fd: int) -> bytes:
    """Return the handle of the open ``fd`` in the form in which events carry it (name_to_handle_at(2))."""
    buffer = ctypes.create_string_buffer(_handle_head.size + _MAX_HANDLE)
    _handle_head.pack_into(buffer, 0, _MAX_HANDLE, 0)
    mount = ctypes.c_int()
    if _libc.name_to_handle_at(fd, b"", buffer, ctypes.byref(mount), _AT_EMPTY_PATH) < 0:
        raise _failed(f"cannot get the file handle of descriptor {fd}")
    size, _ = _handle_head.unpack_from(buffer)
    return buffer.raw[: _handle_head.size + size]


def open_by_handle(mount: int, handle: bytes) -> int:
    """Return an O_PATH descriptor of the object with ``handle`` on the file system of ``mount``.

    Raises OSError: ESTALE when the object is gone, EPERM without CAP_DAC_READ_SEARCH.
    """
    buffer = ctypes.create_string_buffer(handle, len(handle))
    fd: int = _libc.open_by_handle_at(mount, buffer, os.O_PATH | os.O_CLOEXEC)
    if fd < 0:
        raise _failed("cannot open a directory by its file handle")
    return fd


def open_directory_in_root(root: int, path: bytes) -> int:
    """Return a descriptor of directory ``path``; ``root`` is what its links see as /."""
    how = struct.pack(
        "=QQQ",
        os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC,
        0,
        _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS,
    )
    fd: int = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(root),
        ctypes.c_char_p(path),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
    )
    if fd < 0:
        raise _failed(f"cannot open directory {path!r} inside the sandbox")
    return fd
