# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at the other end: as the kernel says, not as a message says."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A calling process: the socket's peer credentials (unix(7), SO_PEERCRED).

    ``mount_namespace`` is a descriptor that the caller sent of its own mount namespace, None without one;
    whoever accepted the message closes it.
    """

    pid: int
    uid: int
    gid: int
    mount_namespace: int | None = None


def own_process() -> Peer:
    """Return this process as a peer: for the engine that runs in the caller itself."""
    return Peer(pid=os.getpid(), uid=os.getuid(), gid=os.getgid())
