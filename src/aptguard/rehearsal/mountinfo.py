# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading /proc/self/mountinfo (proc_pid_mountinfo(5)): bytes in, Mount values out; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_NUMBER = re.compile(rb"[0-9]{1,10}")
_KERNELS = (b"/proc", b"/sys")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a mount namespace.

    ``root`` is the directory (or file) of the file system that is mounted, ``point`` where it stands.
    """

    id: int
    parent: int
    device: bytes
    root: bytes
    point: bytes
    options: frozenset[bytes]
    kind: bytes
    source: bytes
    super_options: frozenset[bytes]

    @property
    def read_only(self) -> bool:
        """Whether this mount, or the whole file system behind it, refuses writing."""
        return b"ro" in self.options or b"ro" in self.super_options


def read_mountinfo(text: bytes) -> tuple[Mount, ...]:
    """Return all mounts in ``text``, in its order; ValueError quotes a line that is none.

    Of two lines with one ID the last one counts: a list that is read while mounts change may have both.
    """
    mounts = [_read_line(line) for line in text.split(b"\n") if line]
    return tuple({mount.id: mount for mount in mounts}.values())


def visible_mounts(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Return the mounts that a path can reach, parents before children.

    A mount is hidden when another one stands on its own root, or on a directory above it. Raises
    ValueError when the root directory itself is no mount point (a process in a chroot).
    """
    listed = {mount.id for mount in mounts}
    children: dict[int, list[Mount]] = {}
    for mount in mounts:
        if mount.parent != mount.id:
            children.setdefault(mount.parent, []).append(mount)
    roots = [
        mount
        for mount in mounts
        if mount.point == b"/" and (mount.parent not in listed or mount.parent == mount.id)
    ]
    if not roots:
        raise ValueError(
            "the root directory is not a mount point (a chroot?), so it cannot be replaced by a copy; "
            "run aptguard outside of the chroot, or make the directory a mount point first"
        )
    found = []
    for mount in mounts:
        if _reached(roots[-1], mount.point, children).id == mount.id:
            found.append(mount)
    return tuple(sorted(found, key=lambda mount: mount.point.rstrip(b"/").count(b"/")))


def is_below(path: bytes, directory: bytes) -> bool:
    """Whether ``path`` is ``directory`` or lies below it; both absolute and canonical."""
    return directory in (b"/", path) or path.startswith(directory + b"/")


def lead_to_the_same_files(some: tuple[Mount, ...], others: tuple[Mount, ...]) -> bool:
    """Whether each path leads to the same file by two lists of visible mounts, of two mount namespaces.

    The mounts' options may differ, and what is in /proc and /sys, where no files are.
    """
    one, other = ({mount.point: mount for mount in mounts} for mounts in (some, others))
    return all(
        _place(one, point) == _place(other, point)
        for point in one.keys() | other.keys()
        if not any(is_below(point, kernels) for kernels in _KERNELS)
    )


def _place(mounts: Mapping[bytes, Mount], path: bytes) -> tuple[bytes, bytes]:
    """Return the file system on which ``path`` lies, and where on it."""
    point = path
    while point not in mounts:
        point = point.rpartition(b"/")[0] or b"/"
    mount = mounts[point]
    return mount.device, (mount.root.rstrip(b"/") + path[len(point.rstrip(b"/")) :]).rstrip(b"/")


def _reached(root: Mount, path: bytes, children: dict[int, list[Mount]]) -> Mount:
    """Return the mount on which a walk from ``root`` to ``path`` ends."""
    here = root
    while True:
        crossed = [
            child
            for child in children.get(here.id, ())
            if is_below(path, child.point) and is_below(child.point, here.point)
        ]
        if not crossed:
            return here
        # The walk meets the highest mount point first. Of two on one directory below one parent, the later
        # line is the later mount; the kernel puts it in front.
        highest = min(len(child.point) for child in crossed)
        here = [child for child in crossed if len(child.point) == highest][-1]


def _read_line(line: bytes) -> Mount:
    head, separator, tail = line.partition(b" - ")
    fields, rest = head.split(b" "), tail.split(b" ")
    numbers = fields[:2]
    if not separator or len(fields) < 6 or len(rest) < 3 or not all(map(_NUMBER.fullmatch, numbers)):
        raise ValueError(f"this line of mountinfo has not the form of proc_pid_mountinfo(5): {line[:300]!r}")
    return Mount(
        id=int(fields[0]),
        parent=int(fields[1]),
        device=fields[2],
        root=_unescaped(fields[3]),
        point=_unescaped(fields[4]),
        options=frozenset(fields[5].split(b",")),
        kind=rest[0],
        source=_unescaped(rest[1]),
        super_options=frozenset(b" ".join(rest[2:]).split(b",")),
    )


def _unescaped(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match.group(1), 8)]), field)
