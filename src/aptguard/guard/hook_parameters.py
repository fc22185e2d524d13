# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hook sent with its question, read and checked: words, the run it is about, style, directories.

GuardError ``InvalidParameter`` where it is of another kind than the interface says.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Any

from aptguard.guard.errors import GuardError
from aptguard.guard.peer import Peer
from aptguard.guard.run_watch import start_time
from aptguard.report.style import Style
from aptguard.transaction.dpkg_command import DpkgCommand, runs_scripts_outside
from aptguard.transaction.other_system import (
    DATABASE,
    Places,
    is_named_database,
    is_named_root,
    places_of,
)


def message_of(parameters: Mapping[str, Any]) -> bytes:
    """Return what apt wrote to its hook."""
    encoded = parameters.get("input")
    if not isinstance(encoded, str):
        raise GuardError("InvalidParameter", "JudgeApt needs the parameter input, as base64.")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise GuardError("InvalidParameter", f"The parameter input is no base64: {error}") from error


def words_of(parameters: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of words; empty where it is not given."""
    words = parameters.get(name, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise GuardError("InvalidParameter", f"The parameter {name} must be a list of strings.")
    return tuple(words)


def action_of(parameters: Mapping[str, Any]) -> str:
    """Return what dpkg says that it is about to do (DPKG_HOOK_ACTION, dpkg(1)); empty where it does not."""
    action = parameters.get("action", "")
    if not isinstance(action, str):
        raise GuardError("InvalidParameter", "The parameter action must be text.")
    return action


def cwd_of(parameters: Mapping[str, Any]) -> bytes:
    """Return the directory that the hook works in."""
    cwd = parameters.get("cwd", "/")
    if not isinstance(cwd, str):
        raise GuardError("InvalidParameter", "The parameter cwd must be a string.")
    return os.fsencode(cwd)


def run_of(parameters: Mapping[str, Any], peer: Peer) -> str:
    """Return the run that the hook belongs to: its front end's process, as ``PID-STARTTIME``."""
    run = parameters.get("run")
    return run if isinstance(run, str) and len(run) <= 100 else f"peer {peer.pid}"


def style_of(parameters: Mapping[str, Any]) -> Style:
    """Return how the hook's terminal shows a text."""
    columns = parameters.get("columns")
    return Style(
        columns=min(max(columns, 40), 100) if isinstance(columns, int) else 80,
        colour=parameters.get("colour") is True,
        ascii=parameters.get("ascii") is not False,
    )


def working_directory(run: str, cwd: bytes) -> bytes:
    """Return where the process of ``run`` works, or ``cwd``, the hook's own, where that is not to be seen.

    In a namespace of its own (pid_namespaces(7)) a process has another number than here.
    """
    pid, _, started = run.partition("-")
    if not started or start_time(pid) != started:
        return cwd
    return os.readlink(f"/proc/{pid}/cwd".encode())


def places_of_dpkg(command: DpkgCommand, parameters: Mapping[str, Any]) -> Places:
    """Return where a call of dpkg works: by what dpkg itself says, else by its words.

    That is DPKG_ROOT, DPKG_ADMINDIR and DPKG_FORCE, dpkg(1); its configuration may have more than its words.
    """
    root, database = parameters.get("root"), parameters.get("admindir")
    environment = parameters.get("environment")
    forced = environment.get("DPKG_FORCE") if isinstance(environment, dict) else None
    told = places_of(command)
    return Places(
        root=os.fsencode(root) if isinstance(root, str) and root else told.root,
        database=os.fsencode(database) if isinstance(database, str) and database else told.database,
        scripts_outside=told.scripts_outside
        or (isinstance(forced, str) and runs_scripts_outside(os.fsencode(forced))),
    )


def is_this_root(path: bytes, peer: Peer, cwd: bytes) -> bool:
    """Whether a path, as ``peer`` names it in ``cwd``, is this system's root directory, by whatever name.

    Or may be: what cannot be looked at is no reason to leave a transaction unjudged.
    """
    if is_named_root(path):
        return True
    try:
        return os.path.samestat(os.stat(seen_by(peer, cwd, path)), os.stat(b"/"))
    except (OSError, ValueError):
        return True


def is_this_database(path: bytes, peer: Peer, cwd: bytes) -> bool:
    """Whether a path, as ``peer`` names it in ``cwd``, is this system's package database, by any name."""
    if is_named_database(path):
        return True
    try:
        there, here = (os.stat(seen_by(peer, cwd, one)) for one in (path, DATABASE))
    except (OSError, ValueError):
        return False
    return os.path.samestat(there, here)


def seen_by(peer: Peer, cwd: bytes, path: bytes) -> bytes:
    """Return where this process finds what ``peer`` calls ``path`` in ``cwd``."""
    root = b"/proc/%d/root" % peer.pid
    return (root if os.path.isdir(root) else b"") + os.path.join(cwd, path)
