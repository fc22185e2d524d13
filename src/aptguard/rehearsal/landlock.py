# SPDX-License-Identifier: GPL-3.0-or-later
"""One more wall around a rehearsal: no file is opened, made or deleted but below its own root directory.

The mounts of a rehearsal already show nothing else. Landlock holds where a descriptor or one of /proc's
links leads past them: it asks where an open file really lies. Source: landlock(7),
Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import struct

from aptguard.rehearsal import linux

# linux/landlock.h; the numbers of the calls are those of every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_FIRST_ABI_RIGHTS = 13
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2
_LOG_SAME_EXEC_OFF = 1


def stay_below_root() -> str | None:
    """Restrict this process and its children to files below ``/``; return why not, or None when done.

    Needs no_new_privs or CAP_SYS_ADMIN. Raises OSError when the kernel has Landlock and refuses.
    """
    try:
        version = _call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError as error:
        return f"the kernel has no Landlock ({error.strerror}), so a rehearsal has one wall less"
    if version < 2:
        return "this kernel's Landlock refuses every rename between directories, so it is not used"
    rights = _rights(version)
    scopes = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if version >= 6 else 0
    attributes = struct.pack("=QQQ", rights, 0, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(_CREATE_RULESET, attributes, size, 0)
    try:
        root = os.open(b"/", os.O_PATH | os.O_CLOEXEC)
        try:
            _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, root), 0)
        finally:
            os.close(root)
        _call(_RESTRICT_SELF, ruleset, _LOG_SAME_EXEC_OFF if version >= 7 else 0)
    finally:
        os.close(ruleset)
    return None


def _rights(version: int) -> int:
    """Return all rights to files that this version knows: later ones added refer, truncate, ioctl_dev."""
    count = _FIRST_ABI_RIGHTS + (version >= 2) + (version >= 3) + (version >= 5)
    return (1 << count) - 1


def _call(number: int, *arguments: int | bytes | None) -> int:
    values = [
        ctypes.c_long(argument) if isinstance(argument, int) else ctypes.c_char_p(argument)
        for argument in arguments
    ]
    return linux.system_call("restrict files to the rehearsal's root (landlock)", number, *values)
