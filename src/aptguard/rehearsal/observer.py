# SPDX-License-Identifier: GPL-3.0-or-later
"""The place where live observation of a rehearsal plugs in, and what there is without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aptguard.changes.model import Cause


@dataclass(frozen=True, slots=True)
class ObservedLayer:
    """One overlay: its mount point, and directory descriptors of its upper and of its lower.

    The descriptors belong to the supervisor and stay open until the result is made.
    """

    mount_point: bytes
    upper: int
    lower: int


class Observer(Protocol):
    """What the supervisor asks of an observer; all calls come from its one thread."""

    def attach(self, workspace: int, merged_root: int, layers: Sequence[ObservedLayer]) -> None:
        """Begin; called once, after everything is mounted and before the first process is started.

        ``workspace`` is the tmpfs that holds all uppers, ``merged_root`` the root directory that the scripts
        see. An OSError makes the supervisor go on without observation, and say so in the notes.
        """

    def filenos(self) -> Sequence[int]:
        """Return the descriptors to poll for reading."""

    def ready(self, fileno: int) -> None:
        """Take in what has come; called when ``fileno`` is readable, and once for each at the end."""

    def progress(self) -> str | None:
        """Return a new line for the waiting user, None when there is none."""

    def should_stop(self) -> bool:
        """Whether the outcome is certain, so that the run may end now."""

    def cause(self, path: bytes) -> Cause | None:
        """Return who made the last change at the absolute ``path``, None where it was not seen."""

    def notes(self) -> Sequence[str]:
        """Return what the report should say about the observation itself."""

    def close(self) -> None:
        """Give back all descriptors; may be called at any time, also twice."""


class NoObserver:
    """No live observation: changes are attributed to the package when there is only one."""

    def __init__(self, package: str | None, reason: str = "") -> None:
        self._cause = Cause(package, None) if package else None
        self._reason = reason

    def attach(self, workspace: int, merged_root: int, layers: Sequence[ObservedLayer]) -> None:
        """Do nothing."""

    def filenos(self) -> Sequence[int]:
        """Return nothing to poll."""
        return ()

    def ready(self, fileno: int) -> None:
        """Do nothing."""

    def progress(self) -> str | None:
        """Return None."""
        return None

    def should_stop(self) -> bool:
        """Return False."""
        return False

    def cause(self, path: bytes) -> Cause | None:
        """Return the only package, or None."""
        return self._cause

    def notes(self) -> Sequence[str]:
        """Return why nothing was observed."""
        return (self._reason,) if self._reason else ()

    def close(self) -> None:
        """Do nothing."""
