# SPDX-License-Identifier: GPL-3.0-or-later
"""Calling the daemon; standard library only."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aptguard.daemon.varlink import Framer, Reply, call_bytes, read_reply
from aptguard.guard.errors import GuardError

SOCKET_PATH = "/run/aptguard/io.github.aptguard"
READERS_SOCKET_PATH = "/run/io.github.aptguard"  # for the group adm, who cannot enter /run/aptguard
INTERFACE = "io.github.aptguard"

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 600.0  # the longest that the daemon may take for a whole rehearsal without a word
_REPLY_BYTES = 1 << 30


class Unreachable(Exception):  # noqa: N818  (a state of the world, not a fault)
    """No daemon answered: it is not there, not ours to call, or was gone before it had answered."""


def call(
    method: str,
    parameters: Mapping[str, Any],
    *,
    progress: Callable[[str], None] | None = None,
    descriptors: Sequence[int] | None = None,
    socket_path: str | None = None,
    silence_seconds: float = _SILENCE_SECONDS,
) -> dict[str, Any]:
    """Return the reply of the daemon to ``method`` of io.github.aptguard.

    ``method`` may also be a qualified name of another interface. With ``progress`` it is told what is being
    tried. ``descriptors`` are passed with the message; None passes this process's mount namespace, so that
    what is rehearsed is the machine as the caller sees it. Without ``socket_path`` root calls on its own
    socket and anybody else on the readers'. Raises GuardError when the daemon refuses, and Unreachable when
    there is no answer to be had: then the engine can be run without the daemon.
    """
    name = method if "." in method else f"{INTERFACE}.{method}"
    message = call_bytes(name, parameters, more=progress is not None)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        )
        _connect(connection, socket_path or (READERS_SOCKET_PATH if os.geteuid() else SOCKET_PATH))
        if descriptors is None:
            descriptors = _own_mount_namespace(stack)
        lost = _send(connection, message, descriptors)
        connection.settimeout(silence_seconds)
        framer = Framer(_REPLY_BYTES)
        while True:
            reply = _receive(connection, framer, lost)
            if reply.error is not None:
                raise _refusal(name, reply)
            if not reply.continues:
                return reply.parameters
            text = reply.parameters.get("progress")
            if progress is not None and isinstance(text, str):
                progress(text)


def _own_mount_namespace(stack: contextlib.ExitStack) -> list[int]:
    try:
        descriptor = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []  # without /proc: the daemon's view, which is the machine's
    stack.callback(os.close, descriptor)
    return [descriptor]


def _connect(connection: socket.socket, path: str) -> None:
    connection.settimeout(_CONNECT_SECONDS)
    try:
        connection.connect(path)
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except OSError as error:
        raise Unreachable(f"No aptguardd answers on {path}: {error}.") from error
    _pid, uid, _gid = struct.unpack("iII", credentials)
    if uid not in (0, os.geteuid()):  # what is sent, and what is answered, is for root alone
        raise Unreachable(f"What listens on {path} belongs to uid {uid}, not to root.")


def _send(connection: socket.socket, message: bytes, descriptors: Sequence[int]) -> OSError | None:
    """Send all; return the error when the daemon stopped listening, as it may have said why."""
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    try:
        sent = connection.sendmsg([message], ancillary)
        connection.sendall(memoryview(message)[sent:])
    except OSError as error:
        return error
    return None


def _receive(connection: socket.socket, framer: Framer, lost: OSError | None) -> Reply:
    try:
        while (message := framer.take()) is None:
            data = connection.recv(1 << 16)
            if not data:
                raise Unreachable(
                    f"aptguardd closed the connection without an answer ({lost or 'it ended'})."
                )
            framer.feed(data)
        return read_reply(message)
    except OSError as error:
        raise Unreachable(f"aptguardd did not answer: {lost or error}.") from error
    except ValueError as error:
        raise Unreachable(f"What aptguardd answered cannot be read: {error}") from error


def _refusal(name: str, reply: Reply) -> GuardError:
    assert reply.error is not None
    interface, _, error = reply.error.rpartition(".")
    text = reply.parameters.get("message")
    if not isinstance(text, str):
        details = ", ".join(f"{key} {value}" for key, value in reply.parameters.items())
        text = f"aptguardd refused {name}: {error}{f' ({details})' if details else ''}."
    return GuardError(error if interface == INTERFACE else reply.error, text)
