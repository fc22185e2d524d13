# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody keeps in file systems of the kernel's own: exported disks, pinned programs, crash dumps.

A rehearsal has none of them. An empty one is nothing lost; where something is kept, a tripwire stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from aptguard.rehearsal.mount_plan import MAY_HOLD
from aptguard.rehearsal.mountinfo import Mount


def holdings(mounts: Iterable[Mount]) -> dict[bytes, str]:
    """Return the mount points of such file systems that hold something, each with what to say of it.

    One that cannot be read counts as holding something.
    """
    found = {}
    for mount in mounts:
        what = MAY_HOLD.get(mount.kind)
        if what is not None and _holds_something(mount):
            found[mount.point] = f"{what}, which cannot be rehearsed"
    return found


def _holds_something(mount: Mount) -> bool:
    try:
        names = os.listdir(mount.point)
        if mount.kind != b"configfs":
            return bool(names)
        # Its first level are the kernel's subsystems (Documentation/filesystems/configfs.rst).
        return any(os.listdir(mount.point + b"/" + name) for name in names)
    except OSError:
        return True
