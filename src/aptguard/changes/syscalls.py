# SPDX-License-Identifier: GPL-3.0-or-later
"""The system calls Python does not have, one thin wrapper each; standard library only.

Every wrapper raises OSError with the path it was tried on. Call numbers above 423 are the same on every
architecture of Debian (asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import os
import struct

_OPEN_TREE = 428
_OPENAT2 = 437
_MOUNT_SETATTR = 442

_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1  # linux/mount.h

_RESOLVE_NO_XDEV = 0x01  # linux/openat2.h
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08

# MOUNT_ATTR_RDONLY, NOSUID, NODEV, NOEXEC, NOATIME (linux/mount.h)
_QUIET_MOUNT = struct.pack("=QQQQ", 0x01 | 0x02 | 0x04 | 0x08 | 0x10, 0x70, 0, 0)

_OPEN_HOW = struct.pack(
    "=QQQ",
    os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
    0,
    _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH,
)

_STATX_MNT_ID = 0x1000  # linux/stat.h
_STATX_SIZE = 256
_STATX_ATTRIBUTES = struct.Struct("=8xQ")
_STATX_ATTRIBUTES_MASK_OFFSET = 0x38
_STATX_MNT_ID_OFFSET = 0x90

_MAX_HANDLE_SZ = 128
_PATH_PIECE = 4000  # below PATH_MAX, with room for a separator

_libc = ctypes.CDLL(None, use_errno=True)


def _prototype(symbol: str, *arguments: type) -> ctypes._NamedFuncPointer:
    function = _libc[symbol]  # indexing gives an object of our own: nobody else's argtypes change
    function.argtypes = arguments
    function.restype = ctypes.c_long if symbol == "syscall" else ctypes.c_int
    return function


_number, _int, _bytes, _pointer = ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
_openat2 = _prototype("syscall", _number, _int, _bytes, _bytes, ctypes.c_size_t)
_open_tree = _prototype("syscall", _number, _int, _bytes, ctypes.c_uint)
_mount_setattr = _prototype("syscall", _number, _int, _bytes, ctypes.c_uint, _bytes, ctypes.c_size_t)
_statx = _prototype("statx", _int, _bytes, _int, ctypes.c_uint, _pointer)
_name_to_handle_at = _prototype("name_to_handle_at", _int, _bytes, _pointer, _pointer, _int)
_open_by_handle_at = _prototype("open_by_handle_at", _int, _bytes, _int)


def _fail(call: str, path: bytes) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{call}: {os.strerror(code)}", path)


def open_directory(root: int, relative: bytes) -> int:
    """Return a descriptor of the directory ``relative`` below ``root``.

    No symbolic link is followed and no mount point crossed on the way (openat2(2)): ELOOP and EXDEV are
    raised instead. Paths longer than PATH_MAX are walked in pieces.
    """
    descriptor, borrowed = root, True
    rest = relative or b"."
    while rest:
        if len(rest) > _PATH_PIECE:
            cut = rest.rindex(b"/", 0, _PATH_PIECE)
            piece, rest = rest[:cut], rest[cut + 1 :]
        else:
            piece, rest = rest, b""
        opened = _openat2(_OPENAT2, descriptor, piece, _OPEN_HOW, len(_OPEN_HOW))
        error = None if opened >= 0 else _fail("openat2", relative)
        if not borrowed:
            os.close(descriptor)
        if error is not None:
            raise error
        descriptor, borrowed = int(opened), False
    return descriptor


def clone_without_submounts(directory: int) -> int:
    """Return a descriptor of the same directory on a detached, read-only copy of its mount.

    Nothing that is mounted below shows in the copy, as in an overlay's lower layer (open_tree(2); the copy
    ends with the descriptor). Needs CAP_SYS_ADMIN, and EINVAL when the mount belongs to another namespace.
    """
    clone = _open_tree(_OPEN_TREE, directory, b"", _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH)
    if clone < 0:
        raise _fail("open_tree", b"")
    # Reading must not touch the machine's access times; where the kernel refuses, they are touched.
    _mount_setattr(_MOUNT_SETATTR, clone, b"", _AT_EMPTY_PATH, _QUIET_MOUNT, len(_QUIET_MOUNT))
    return int(clone)


def inode_attributes(path: bytes, *, directory: int = -100) -> tuple[int, int]:
    """Return the inode's STATX_ATTR_* bits and the mask of those its file system knows (statx(2)).

    With an empty ``path`` they are those of the descriptor ``directory`` itself, whatever it is of.
    """
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    flags = _AT_SYMLINK_NOFOLLOW | (0 if path else _AT_EMPTY_PATH)
    if _statx(directory, path, flags, 0, buffer) < 0:
        raise _fail("statx", path)
    (attributes,) = _STATX_ATTRIBUTES.unpack_from(buffer)
    (known,) = struct.unpack_from("=Q", buffer, _STATX_ATTRIBUTES_MASK_OFFSET)
    return attributes, known


def mount_id(path: bytes, *, directory: int = -100) -> int:
    """Return the id of the mount that ``path`` lies on (statx(2), STATX_MNT_ID, Linux 5.8)."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    flags = _AT_SYMLINK_NOFOLLOW | (0 if path else _AT_EMPTY_PATH)
    if _statx(directory, path, flags, _STATX_MNT_ID, buffer) < 0:
        raise _fail("statx", path)
    (number,) = struct.unpack_from("=Q", buffer, _STATX_MNT_ID_OFFSET)
    return int(number)


def file_handle(path: bytes) -> tuple[int, bytes]:
    """Return type and bytes of the file handle of ``path`` itself (name_to_handle_at(2)).

    EOPNOTSUPP when the file system has no handles.
    """
    buffer = ctypes.create_string_buffer(struct.pack("=Ii", _MAX_HANDLE_SZ, 0), 8 + _MAX_HANDLE_SZ)
    mount = ctypes.c_int()
    if _name_to_handle_at(-100, path, buffer, ctypes.byref(mount), 0) < 0:
        raise _fail("name_to_handle_at", path)
    length, kind = struct.unpack_from("=Ii", buffer)
    return kind, buffer.raw[8 : 8 + length]


def open_by_handle(mount: int, kind: int, handle: bytes) -> int:
    """Return an O_PATH descriptor of the inode with this handle on the file system of ``mount``.

    ESTALE when the inode is gone (open_by_handle_at(2)); needs CAP_DAC_READ_SEARCH.
    """
    descriptor = _open_by_handle_at(
        mount, struct.pack("=Ii", len(handle), kind) + handle, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    )
    if descriptor < 0:
        raise _fail("open_by_handle_at", b"")
    return int(descriptor)
