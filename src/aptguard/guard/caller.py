# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asked: from what the hook sent and what the kernel says of its process."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import Any

from aptguard.transaction.model import Caller

_NO_LOGIN_UID = 4294967295  # (uid_t) -1: no login session, credentials(7) and pam_loginuid(8)
_WAYS = (("SUDO_UID", "sudo"), ("PKEXEC_UID", "pkexec"), ("PACKAGEKIT_CALLER_UID", "packagekit"))


def caller_from_request(parameters: Mapping[str, Any], *, pid: int, uid: int) -> Caller:
    """Return the caller; ``pid`` and ``uid`` are the socket's peer credentials (unix(7), SO_PEERCRED).

    Raises ValueError when a parameter is of the wrong kind.
    """
    environment = parameters.get("environment", {})
    if not isinstance(environment, dict) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in environment.items()
    ):
        raise ValueError("The parameter environment must be an object of strings.")
    cwd, umask = parameters.get("cwd", "/"), parameters.get("umask", 0o022)
    if not isinstance(cwd, str) or not isinstance(umask, int):
        raise ValueError("The parameters cwd and umask must be a string and a number.")
    login_uid = read_login_uid(pid)
    return Caller(
        pid=pid,
        uid=uid,
        login_uid=login_uid,
        user=user_text(environment, uid, login_uid),
        environment={os.fsencode(name): os.fsencode(value) for name, value in environment.items()},
        cwd=os.fsencode(cwd),
        umask=umask & 0o777,
        terminal=parameters.get("terminal") is True,
    )


def read_login_uid(pid: int) -> int | None:
    """Return the uid that process ``pid`` logged in as (proc(5), /proc/pid/loginuid), None without one."""
    try:
        with open(f"/proc/{pid}/loginuid", encoding="ascii") as file:
            login_uid = int(file.read())
    except (OSError, ValueError):
        return None
    return None if login_uid == _NO_LOGIN_UID else login_uid


def user_text(environment: Mapping[str, str], uid: int, login_uid: int | None) -> str:
    """Return who asked, for reading: ``alice (sudo)``, ``root``, ``alice (packagekit)``."""
    for variable, way in _WAYS:
        value = environment.get(variable, "")
        if value.isascii() and value.isdigit():
            return f"{_user_name(int(value))} ({way})"
    if login_uid is not None and login_uid != uid:
        return f"{_user_name(login_uid)} (as {_user_name(uid)})"
    return _user_name(uid)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
