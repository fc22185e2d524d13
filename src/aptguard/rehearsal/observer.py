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

    def attach(self, workspace_fd: int, merged_root_fd: int, layers: Sequence[ObservedLayer]) -> None:
        """Begin; called once, after everything is mounted and before the first process is started.

        ``workspace_fd`` is the tmpfs that holds all uppers, ``merged_root_fd`` the root directory that the
        scripts see. Does not raise: what cannot be observed is one of the notes.
        """

    def filenos(self) -> Sequence[int]:
        """Return the descriptors to poll for reading; they may be fewer later."""

    def ready(self, fileno: int) -> None:
        """Take in what has come; called when ``fileno`` is readable."""

    def should_stop(self) -> bool:
        """Whether the outcome is certain, so that the run may end now."""

    def seconds_until_stop(self) -> float | None:
        """Return after how many seconds should_stop is worth asking; None: no need for a time."""

    def finish(self) -> None:
        """Take in the rest; called when no process is left."""

    def causes(self, path: bytes) -> Cause | None:
        """Return who made the last change at the absolute ``path``, None where it was not seen."""

    @property
    def notes(self) -> Sequence[str]:
        """Return what the report should say about the observation itself."""

    def close(self) -> None:
        """Give back all descriptors; may be called at any time, also twice."""


class NoObserver:
    """No live observation: changes are attributed to the package when there is only one."""

    def __init__(self, packages: Sequence[str], reason: str) -> None:
        self._cause = Cause(packages[0], None) if len(packages) == 1 else None
        self._reason = reason

    def attach(self, workspace_fd: int, merged_root_fd: int, layers: Sequence[ObservedLayer]) -> None:
        """Do nothing."""

    def filenos(self) -> Sequence[int]:
        """Return nothing to poll."""
        return ()

    def ready(self, fileno: int) -> None:
        """Do nothing."""

    def should_stop(self) -> bool:
        """Return False."""
        return False

    def seconds_until_stop(self) -> float | None:
        """Return None."""
        return None

    def finish(self) -> None:
        """Do nothing."""

    def causes(self, path: bytes) -> Cause | None:
        """Return the only package, or None."""
        return self._cause

    @property
    def notes(self) -> Sequence[str]:
        """Return why nothing was observed."""
        return (self._reason,)

    def close(self) -> None:
        """Do nothing."""
