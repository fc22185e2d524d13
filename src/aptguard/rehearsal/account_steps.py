# SPDX-License-Identifier: GPL-3.0-or-later
"""The account files as one script and program after the other leaves them: which lines each takes and adds.

Whoever adds an account rewrites the whole of passwd(5), so that its last writer says nothing of who removed
another account from it. Read is what the upper layer holds, each time it was written since the last look.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from aptguard.changes.model import Cause
from aptguard.rehearsal import linux
from aptguard.rehearsal.lower_entries import LowerLayer
from aptguard.rehearsal.maintainer_script import Origin
from aptguard.rehearsal.model import AccountStep
from aptguard.rehearsal.upper_changes import WatchedLayer

ACCOUNT_FILES: Final = frozenset({b"/etc/passwd", b"/etc/group"})
_LARGEST_FILE: Final = 16 << 20
_MOST_LINES: Final = 20_000  # in all steps together


class Layer(WatchedLayer, LowerLayer, Protocol):
    """One overlay, with what is above and what is below."""


@dataclass(slots=True)
class _Step:
    path: bytes
    lost: tuple[bytes, ...]
    gained: tuple[bytes, ...]
    origins: list[Origin] = field(default_factory=list)


class AccountSteps:
    """Takes a step whenever it is asked to; what must hold: nothing of the merged tree is opened.

    A permission mark of our own may stand on whatever a script has put in the place of the file.
    """

    def __init__(self, layers: Sequence[Layer] = ()) -> None:
        self._layers = sorted(layers, key=lambda layer: len(layer.mount_point), reverse=True)
        self._content: dict[bytes, frozenset[bytes]] = {}
        self._writers: dict[bytes, list[Origin]] = {}
        self._steps: list[_Step] = []
        self._lines = 0
        self._lost = False

    def written(self, path: bytes, origin: Origin | None) -> None:
        """Note that the account file ``path`` is being changed."""
        writers = self._writers.setdefault(path, [])
        if origin is not None and origin not in writers:
            writers.append(origin)

    def take(self, catch_up: Callable[[], None]) -> None:
        """Look at what was written since; ``catch_up`` takes in all changes that were made until now."""
        if self._lost or not self._writers:
            return
        taken, self._writers = self._writers, {}
        new: list[_Step] = []
        for path, origins in taken.items():
            try:
                layer, inside = self._place(path)
                before = self._content.get(path)
                if before is None:
                    before = _lines(_read_lower(layer, inside))
                after = _lines(_read_merged(layer, inside))
            except (OSError, ValueError):
                self.give_up()
                return
            self._content[path] = after
            new.append(_Step(path, tuple(sorted(before - after)), tuple(sorted(after - before)), origins))
        # Whoever writes at this very moment may have had part in what was just read.
        catch_up()
        for step in new:
            late = self._writers.get(step.path, [])
            step.origins += [origin for origin in late if origin not in step.origins]
            self._lines += len(step.lost) + len(step.gained)
            if step.lost or step.gained:
                self._steps.append(step)
        if self._lines > _MOST_LINES:
            self.give_up()

    def give_up(self) -> None:
        """Tell no steps at all: some of what was written was not seen."""
        self._lost = True
        self._steps.clear()
        self._content.clear()

    def _place(self, path: bytes) -> tuple[Layer, bytes]:
        for layer in self._layers:
            top = layer.mount_point.rstrip(b"/")
            if path.startswith(top + b"/"):
                return layer, path[len(top) :]
        raise ValueError("it is on no layer")

    def steps(self, cause_of: Callable[[Origin], Cause]) -> tuple[AccountStep, ...]:
        """Return all steps in their order."""
        return tuple(
            AccountStep(step.path, step.lost, step.gained, tuple(dict.fromkeys(map(cause_of, step.origins))))
            for step in self._steps
        )


def _read_merged(layer: Layer, inside: bytes) -> bytes:
    """Return what the file holds now; an error where the upper layer does not tell."""
    fd = linux.openat_in_root(layer.upper, inside, os.O_PATH | os.O_NOFOLLOW)
    try:
        status = os.fstat(fd)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            return b""  # a whiteout
        if b"trusted.overlay.metacopy" in map(os.fsencode, os.listxattr(b"/proc/self/fd/%d" % fd)):
            return _read_lower(layer, inside)
        return _content(fd)
    finally:
        os.close(fd)


def _read_lower(layer: Layer, inside: bytes) -> bytes:
    try:
        fd = linux.openat_in_root(layer.lower, inside, os.O_PATH)
    except FileNotFoundError:
        return b""
    try:
        return _content(fd)
    finally:
        os.close(fd)


def _content(path_fd: int) -> bytes:
    if not stat.S_ISREG(os.fstat(path_fd).st_mode):
        raise ValueError("it is no file")
    with open(b"/proc/self/fd/%d" % path_fd, "rb") as file:
        data = file.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise ValueError("it is too large to be read time and again")
    return data


def _lines(data: bytes) -> frozenset[bytes]:
    return frozenset(data.split(b"\n")) - {b""}
