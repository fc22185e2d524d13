# SPDX-License-Identifier: GPL-3.0-or-later
"""How much lies below the directory that a rehearsal was emptying when it was ended early.

Counted on the machine, through the descriptors of the lower directories, and only as long as nobody minds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from time import monotonic

from aptguard.changes.model import Change
from aptguard.rehearsal.model import Effect, LyingBelow
from aptguard.rehearsal.mountinfo import is_below
from aptguard.rehearsal.observer import ObservedLayer

_MOST = 200_000
_SECONDS = 0.2
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def what_lay_below(
    layers: Sequence[ObservedLayer],
    mount_points: frozenset[bytes],
    changes: Iterable[Change],
    attempts: Iterable[Effect],
    stop_patterns: Sequence[bytes],
) -> LyingBelow | None:
    """Return the directory that was being emptied, with the number of paths below it; None if it is unclear.

    ``stop_patterns`` are the prefixes one of which ended the run, ``attempts`` what was certain before it
    happened.
    """
    if not stop_patterns:
        return None
    top = next((one.path for one in attempts if one.path is not None), None)
    top = being_emptied(changes, stop_patterns) if top is None else top
    if top is None:
        return None
    return count_below(layers, mount_points, top)


def being_emptied(changes: Iterable[Change], stop_patterns: Sequence[bytes]) -> bytes | None:
    """Return the directory that holds all that the first who deleted below the prefixes has deleted there.

    Where that is rm(1), it is the directory that it was told to delete.
    """
    lost = [
        change
        for change in changes
        if change.deleted and any(is_below(change.path, one.rstrip(b"/") or b"/") for one in stop_patterns)
    ]
    if not lost:
        return None
    cause = lost[0].cause
    paths = [change.path for change in lost if change.cause == cause]
    top = os.path.commonpath(paths)
    if len(paths) == 1:
        top = os.path.dirname(top)
    if cause is not None and cause.command and os.path.basename(cause.command[0]) == b"rm":
        words = {os.path.normpath(word) for word in cause.command[1:] if word.startswith(b"/")}
        top = min((word for word in words if is_below(top, word)), key=len, default=top)
    return top


def count_below(
    layers: Sequence[ObservedLayer],
    mount_points: frozenset[bytes],
    top: bytes,
    most: int = _MOST,
    seconds: float = _SECONDS,
) -> LyingBelow | None:
    """Return how many paths lie below the absolute ``top``, about ``most`` and for ``seconds`` at most.

    None where no layer shows ``top``: a root that is read-only has none.
    """
    deadline = monotonic() + seconds
    above = (one for one in layers if is_below(top, one.mount_point))
    deepest = max(above, key=lambda one: len(one.mount_point), default=None)
    if deepest is None:
        return None
    left = [(deepest, top)]
    left += [
        (one, one.mount_point) for one in layers if one.mount_point != top and is_below(one.mount_point, top)
    ]
    count, more = 0, False
    while left:
        layer, directory = left.pop()
        inside = directory[len(layer.mount_point.rstrip(b"/")) :].strip(b"/")
        try:
            fd = os.open(inside or b".", _DIRECTORY, dir_fd=layer.lower)
        except OSError:
            more = True  # what cannot be looked into may hold any number
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    count += 1
                    path = directory.rstrip(b"/") + b"/" + os.fsencode(entry.name)
                    if entry.is_dir(follow_symlinks=False) and path not in mount_points:
                        left.append((layer, path))
        except OSError:
            more = True
        finally:
            os.close(fd)
        if left and (count >= most or monotonic() > deadline):
            return LyingBelow(top, count, at_least=True)
    return LyingBelow(top, count, at_least=more)
