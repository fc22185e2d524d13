# SPDX-License-Identifier: GPL-3.0-or-later
"""A naive comparison of two trees, to judge the reader of upper directories by.

Shares no code with the reader: it walks all of both trees as a program in the sandbox would see them.
"""

from __future__ import annotations

import array
import fcntl
import os
import stat

from aptguard.changes.model import Kind

_FS_IOC_GETFLAGS = 0x80086601
_IMMUTABLE, _APPEND = 0x10, 0x20


def differences(before: bytes, after: bytes) -> dict[bytes, frozenset[Kind]]:
    """Return the kinds in which each path below the two roots differs; paths start with a slash."""
    old, new = _everything(before), _everything(after)
    found: dict[bytes, frozenset[Kind]] = {}
    for path in old | new:
        if path not in new:
            kinds = {Kind.DELETED}
        elif path not in old:
            kinds = {Kind.CREATED}
        else:
            kinds = _compared(before + path, after + path)
        if kinds:
            found[path] = frozenset(kinds)
    return found


def _everything(root: bytes) -> set[bytes]:
    found = {b"/"}
    for directory, directories, files in os.walk(root):
        found.update(os.path.join(directory, name)[len(root) :] for name in directories + files)
    return found


def _compared(before: bytes, after: bytes) -> set[Kind]:
    old, new = os.lstat(before), os.lstat(after)
    if stat.S_IFMT(old.st_mode) != stat.S_IFMT(new.st_mode):
        return {Kind.TYPE}
    kinds = set()
    if stat.S_ISREG(old.st_mode) and _bytes(before) != _bytes(after):
        kinds.add(Kind.CONTENT)
    if stat.S_ISLNK(old.st_mode) and os.readlink(before) != os.readlink(after):
        kinds.add(Kind.TARGET)
    if (stat.S_ISBLK(old.st_mode) or stat.S_ISCHR(old.st_mode)) and old.st_rdev != new.st_rdev:
        kinds.add(Kind.DEVICE)
    if stat.S_IMODE(old.st_mode) != stat.S_IMODE(new.st_mode):
        kinds.add(Kind.MODE)
    if old.st_mode & 0o6000 != new.st_mode & 0o6000:
        kinds.add(Kind.SETUID)
    if old.st_uid != new.st_uid:
        kinds.add(Kind.OWNER)
    if old.st_gid != new.st_gid:
        kinds.add(Kind.GROUP)
    for name, kind in _changed_xattrs(before, after):
        if not name.startswith("trusted.overlay."):
            kinds.add(kind)
    if _flags(before) != _flags(after):
        kinds.add(Kind.FLAGS)
    return kinds


def _changed_xattrs(before: bytes, after: bytes) -> list[tuple[str, Kind]]:
    named = {
        "system.posix_acl_access": Kind.ACL,
        "system.posix_acl_default": Kind.ACL,
        "security.capability": Kind.CAPABILITY,
    }
    old, new = _xattrs(before), _xattrs(after)
    return [(name, named.get(name, Kind.XATTRS)) for name in old | new if old.get(name) != new.get(name)]


def _xattrs(path: bytes) -> dict[str, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    # XFS shows an ACL a second time, in its own form.
    own_form = [name for name in names if name.startswith("trusted.SGI_ACL_")]
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names if name not in own_form}


def _bytes(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _flags(path: bytes) -> int:
    kind = os.lstat(path).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        return 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        buffer = array.array("i", [0])
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, buffer)
        return buffer[0] & (_IMMUTABLE | _APPEND)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
