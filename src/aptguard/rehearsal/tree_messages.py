# SPDX-License-Identifier: GPL-3.0-or-later
"""What the init process of a rehearsal tells the supervisor of the tree that it built: both ends of it."""

from __future__ import annotations

import os
import socket
from typing import Any

from aptguard.rehearsal.channel import path_in, plain, send
from aptguard.rehearsal.observer import ObservedLayer
from aptguard.rehearsal.overlay import open_index
from aptguard.rehearsal.root_tree import RootTree


def send_tree(tree: RootTree, control: socket.socket) -> None:
    """Send workspace, mounts, layers, copies and tripwires of ``tree``; the workspace comes first."""
    send(control, "workspace", (tree.workspace,))
    for mount in tree.mounts:
        send(
            control,
            "mount",
            id=mount.id,
            device=plain(mount.device),
            root=plain(mount.root),
            point=plain(mount.point),
            read_only=mount.read_only,
        )
    for kind, places in (("layer", tree.layers), ("file", tree.file_copies)):
        for place in places:
            send(
                control,
                kind,
                (place.lower,),
                point=plain(place.point),
                upper=plain(place.upper),
                is_copy=place.is_copy,
                ignores_case=place.ignores_case,
            )
    if tree.hollow_group >= 0:
        send(control, "hollow", (tree.hollow_group,))
    if tree.tripwires:
        send(control, "tripwires", (tree.tripwire_pipe,))
    for point, reason, root in tree.tripwires:
        send(control, "tripwire", (root,), point=plain(point), reason=reason)


def layer_in(message: dict[str, Any], workspace: int, lower: int) -> ObservedLayer:
    """Return the layer that a message tells of; its upper is opened in ``workspace``. Raises OSError."""
    upper = path_in(message["upper"])
    return ObservedLayer(
        path_in(message["point"]),
        open_in_workspace(message, workspace, os.O_DIRECTORY),
        lower,
        open_index(workspace, upper),
        message["is_copy"],
        message["ignores_case"],
    )


def open_in_workspace(message: dict[str, Any], workspace: int, kind: int = 0) -> int:
    """Return a descriptor of what a message calls ``upper``; ``kind`` may be O_DIRECTORY. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind
    return os.open(path_in(message["upper"]), flags, dir_fd=workspace)
