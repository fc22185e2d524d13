# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages between the supervisor and the init process of a rehearsal: JSON objects and descriptors.

The socket keeps message boundaries (SOCK_SEQPACKET, unix(7)); one message holds one mount or one layer, so
that none outgrows the socket's buffer.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any

from aptguard.rehearsal.model import Unknown
from aptguard.rehearsal.mountinfo import Mount

_LARGEST = 1 << 17
_MOST_DESCRIPTORS = 8


def channel() -> tuple[socket.socket, socket.socket]:
    """Return the two ends, closed on exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, kind: str, descriptors: tuple[int, ...] = (), **values: Any) -> None:
    """Send one message; ``values`` must be plain JSON values."""
    socket.send_fds(end, [json.dumps({"kind": kind, **values}).encode()], list(descriptors))


def tell(end: socket.socket, kind: str) -> None:
    """Send a message without values to who may have ended, and does not miss it then."""
    with contextlib.suppress(ConnectionError):
        send(end, kind)


def receive_descriptors(end: socket.socket, longest: int, most: int) -> tuple[bytes, list[int]]:
    """Return the bytes that come next and the descriptors that came with them, which no child inherits.

    What is started on the machine must not hold the rehearsal: by themselves they have no FD_CLOEXEC.
    """
    data, descriptors, _, _ = socket.recv_fds(end, longest, most)
    for fd in descriptors:
        os.set_inheritable(fd, False)
    return data, descriptors


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors (owned by the caller), None when the other end is gone."""
    data, descriptors = receive_descriptors(end, _LARGEST, _MOST_DESCRIPTORS)
    if not data:
        return None
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError("a message between supervisor and init is not an object")
    return message, descriptors


def mount_in(message: dict[str, Any]) -> Mount:
    """Return the mount that a message tells of, as far as it does."""
    nothing: frozenset[bytes] = frozenset()
    device, root, point = (path_in(message[key]) for key in ("device", "root", "point"))
    options = frozenset({b"ro"}) if message["read_only"] else nothing
    return Mount(message["id"], 0, device, root, point, options, b"", b"", nothing)


def path_in(text: str) -> bytes:
    """Return the path that stands in a message."""
    return text.encode("utf-8", "surrogateescape")


def plain(path: bytes | None) -> str | None:
    """Return a path as it stands in a message."""
    return None if path is None else path.decode("utf-8", "surrogateescape")


def unknowns_in(message: dict[str, Any]) -> list[Unknown]:
    """Return the unknowns that a message tells of."""
    return [
        Unknown(one["what"], one["reason"], path_in(one["path"]) if one["path"] else None)
        for one in message["unknowns"]
    ]
