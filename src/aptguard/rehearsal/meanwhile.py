# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine itself changed while it was rehearsed, where that makes a result doubtful.

A change is what the upper directory holds against the lower one; the lower one is the living machine. What
others changed elsewhere does not matter: the rehearsal would have left it alone.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Sequence

from aptguard.changes.model import Change, FileType, Kind
from aptguard.rehearsal.model import Unknown
from aptguard.rehearsal.mountinfo import Mount, is_below, read_mountinfo, visible_mounts
from aptguard.rehearsal.observer import ObservedLayer
from aptguard.shown import shown

_CLOCK_REALTIME_COARSE = 5  # linux/time.h: the clock of file times, or behind it
_MOST_NAMED = 20
_MOST_COMPARED = 16 << 20  # bytes of one file


def moment() -> int:
    """Return a moment to compare file times with, in nanoseconds."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def changed_meanwhile(
    changes: Sequence[Change], layers: Sequence[ObservedLayer], mounts: Iterable[Mount], since: int
) -> list[Unknown]:
    """Return an Unknown for each file and mount that the machine changed too; see the functions for each."""
    files = changed_files(changes, layers, since)
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            return files + changed_mounts(changes, mounts, file.read())
    except (OSError, ValueError) as error:
        return [*files, Unknown("the machine's mounts after the run", str(error))]


def changed_files(changes: Iterable[Change], layers: Sequence[ObservedLayer], since: int) -> list[Unknown]:
    """Return an Unknown for each changed file whose original was changed after ``since`` too, at most 20.

    A log that a service goes on writing is none: where the scripts left its bytes alone, or where what they
    left is the beginning of what the machine has now, nothing that they did can be hidden by it.
    """
    deepest_first = sorted(layers, key=lambda layer: len(layer.mount_point), reverse=True)
    found: list[Unknown] = []
    for change in changes:
        # A directory's times change with what others do in it. What the rehearsal deleted is gone either way.
        # A file of the kernel's has the time at which somebody looked at it first.
        if change.deleted or len(found) >= _MOST_NAMED or change.path.startswith((b"/proc/", b"/sys/")):
            continue
        layer = next((one for one in deepest_first if is_below(change.path, one.mount_point)), None)
        if (
            layer is not None
            and _touched(layer, change.path, since)
            and not _only_written_on(layer, change, since)
        ):
            reason = (
                "the machine changed it during the rehearsal, so what the scripts did to it is not certain"
            )
            found.append(Unknown(shown(change.path), reason, change.path))
    return found


def _touched(layer: ObservedLayer, path: bytes, since: int) -> bool:
    try:
        where, base = (path, None) if _is_copy(layer) else (_inside(layer, path), layer.lower)
        status = os.lstat(where, dir_fd=base)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it cannot be looked at, so nothing is certain
    return status.st_ctime_ns > since and not stat.S_ISDIR(status.st_mode)


def _is_copy(layer: ObservedLayer) -> bool:
    """Whether the lower was copied for the rehearsal: its times are those of the copying."""
    return os.fstat(layer.lower).st_dev == os.fstat(layer.upper).st_dev


def _inside(layer: ObservedLayer, path: bytes) -> bytes:
    return path[len(layer.mount_point.rstrip(b"/")) :].lstrip(b"/")


def _only_written_on(layer: ObservedLayer, change: Change, since: int) -> bool:
    """Whether the machine wrote to a file whose bytes the scripts left alone, or added to those they left."""
    inside = _inside(layer, change.path)
    if (
        change.before is None
        or change.after is None
        or not (change.before.type is change.after.type is FileType.REGULAR)
    ):
        return False
    try:
        if Kind.CONTENT not in change.kinds:
            return os.lstat(inside, dir_fd=layer.lower).st_mtime_ns > since
        ours, theirs = _start(layer.upper, inside), _start(layer.lower, inside)
    except OSError:
        return False
    return len(ours) < min(len(theirs), _MOST_COMPARED) and theirs.startswith(ours)


def _start(directory: int, inside: bytes) -> bytes:
    """Return the first bytes of a regular file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(inside, flags, dir_fd=directory), "rb") as file:
        return file.read(_MOST_COMPARED)


def changed_mounts(changes: Sequence[Change], before: Iterable[Mount], mountinfo: bytes) -> list[Unknown]:
    """Return an Unknown for each place where a file system came or went and the rehearsal changed something.

    ``mountinfo`` is the machine's present list. Raises ValueError when it cannot be read.
    """
    old = {(mount.device, mount.root, mount.point) for mount in before}
    new = {(mount.device, mount.root, mount.point) for mount in visible_mounts(read_mountinfo(mountinfo))}
    found = []
    for point in sorted({key[2] for key in old ^ new}):
        if any(is_below(one.path, point) or (one.deleted and is_below(point, one.path)) for one in changes):
            reason = (
                "it was mounted or unmounted during the rehearsal, which knows only what stood there before"
            )
            found.append(Unknown(f"the file system at {shown(point)}", reason, point))
    return found
