# SPDX-License-Identifier: GPL-3.0-or-later
"""The place where live observation of a rehearsal plugs in, and what there is without it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aptguard.changes.model import Cause, Kind
from aptguard.rehearsal.model import AccountStep, Effect, ScriptRun, Unknown
from aptguard.rehearsal.other_case import CaselessPlaces

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ObservedLayer:
    """One overlay: its mount point, and directory descriptors of its upper, its lower and its index, if any.

    The descriptors belong to the supervisor and stay open until the result is made. ``is_copy``: the lower
    was copied for the rehearsal. ``ignores_case``: names of the machine's own file system there know no case.
    """

    mount_point: bytes
    upper: int
    lower: int
    index: int | None = None
    is_copy: bool = False
    ignores_case: bool = False


class Renewing(Protocol):
    """Who has to put something right before any program goes on; see RenewedStandIns."""

    def changed(self, path: bytes) -> None:
        """Note that somebody has changed ``path``."""

    def programs_wait(self, commands: Iterable[Sequence[bytes]], in_time: bool) -> None:
        """Put right what has been changed; the programs that were started by ``commands`` wait for it.

        ``in_time``: none has started since the change that did not wait.
        """


class Observer(Protocol):
    """What the supervisor asks of an observer; all calls come from its one thread."""

    def attach(self, workspace_fd: int, merged_root_fd: int, layers: Sequence[ObservedLayer]) -> None:
        """Begin; called once, after everything is mounted and before the first process is started.

        ``workspace_fd`` is the tmpfs that holds all uppers, ``merged_root_fd`` the root directory that the
        scripts see. Does not raise: what cannot be observed is one of the notes.
        """

    def renew(self, renewing: Renewing) -> None:
        """Tell ``renewing`` each change, and let it act before a program goes on; called once, and first."""

    def catch_up(self) -> bool:
        """Take in what was done so far; return whether each change is told, and each program waits for it."""

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

    def causes(self, path: bytes, kinds: frozenset[Kind]) -> Sequence[Cause]:
        """Return who made the absolute ``path`` differ in ``kinds``, the last one first; as far as seen."""

    def script_of(self, pid: int) -> str | None:
        """Return package and script that the living process ``pid`` belongs to; None: not known."""

    @property
    def account_steps(self) -> Sequence[AccountStep]:
        """Return how the account files changed, one script after the other."""

    @property
    def attempts(self) -> Sequence[Effect]:
        """Return what should_stop was for, where nothing of it had happened yet."""

    @property
    def scripts(self) -> Sequence[ScriptRun]:
        """Return the runs of maintainer scripts, ``begin`` by time.monotonic()."""

    @property
    def unknowns(self) -> Sequence[Unknown]:
        """Return what the scripts named of which it cannot be told what becomes of it."""

    @property
    def notes(self) -> Sequence[str]:
        """Return what the report should say about the observation itself."""

    def close(self) -> None:
        """Give back all descriptors; may be called at any time, also twice."""


class NoObserver:
    """No live observation: changes are attributed to the package when there is only one."""

    def __init__(self, packages: Sequence[str], reason: str) -> None:
        self._causes = (Cause(packages[0], None),) if len(packages) == 1 else ()
        self._reason = reason

    def attach(self, workspace_fd: int, merged_root_fd: int, layers: Sequence[ObservedLayer]) -> None:
        """Do nothing."""

    def renew(self, renewing: Renewing) -> None:
        """Do nothing."""

    def catch_up(self) -> bool:
        """Return False."""
        return False

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

    def causes(self, path: bytes, kinds: frozenset[Kind]) -> Sequence[Cause]:
        """Return the only package, or nobody."""
        return self._causes

    def script_of(self, pid: int) -> str | None:
        """Return None."""
        return None

    @property
    def account_steps(self) -> Sequence[AccountStep]:
        """Return nothing."""
        return ()

    @property
    def attempts(self) -> Sequence[Effect]:
        """Return nothing."""
        return ()

    @property
    def scripts(self) -> Sequence[ScriptRun]:
        """Return nothing."""
        return ()

    @property
    def unknowns(self) -> Sequence[Unknown]:
        """Return nothing; see ShieldedObserver."""
        return ()

    @property
    def notes(self) -> Sequence[str]:
        """Return why nothing was observed."""
        return (self._reason,)

    def close(self) -> None:
        """Do nothing."""


class ShieldedObserver:
    """An observer whose failure ends the observation and never the rehearsal."""

    def __init__(self, observer: Observer, packages: Sequence[str]) -> None:
        self._observer = observer
        self._packages = packages
        self._earlier_notes: tuple[str, ...] = ()
        self._layers: Sequence[ObservedLayer] = ()

    def attach(self, workspace_fd: int, merged_root_fd: int, layers: Sequence[ObservedLayer]) -> None:
        """Begin, or go on without."""
        self._layers = layers
        self._shielded(lambda: self._observer.attach(workspace_fd, merged_root_fd, layers), None)

    def renew(self, renewing: Renewing) -> None:
        """Tell ``renewing`` each change."""
        self._shielded(lambda: self._observer.renew(renewing), None)

    def catch_up(self) -> bool:
        """Take in what was done so far; False when nothing is seen."""
        return self._shielded(self._observer.catch_up, False)

    def filenos(self) -> Sequence[int]:
        """Return the descriptors to poll for reading."""
        return self._shielded(self._observer.filenos, ())

    def ready(self, fileno: int) -> None:
        """Take in what has come."""
        self._shielded(lambda: self._observer.ready(fileno), None)

    def should_stop(self) -> bool:
        """Whether the outcome is certain; False when nothing is known."""
        return self._shielded(self._observer.should_stop, False)

    def seconds_until_stop(self) -> float | None:
        """Return after how many seconds should_stop is worth asking."""
        return self._shielded(self._observer.seconds_until_stop, None)

    def finish(self) -> None:
        """Take in the rest."""
        self._shielded(self._observer.finish, None)

    def causes(self, path: bytes, kinds: frozenset[Kind]) -> Sequence[Cause]:
        """Return who made ``path`` differ."""
        return self._shielded(lambda: self._observer.causes(path, kinds), ())

    def script_of(self, pid: int) -> str | None:
        """Return package and script of a process."""
        return self._shielded(lambda: self._observer.script_of(pid), None)

    @property
    def account_steps(self) -> Sequence[AccountStep]:
        """Return how the account files changed."""
        return self._shielded(lambda: self._observer.account_steps, ())

    @property
    def attempts(self) -> Sequence[Effect]:
        """Return what was certain to happen when the run ended."""
        return self._shielded(lambda: self._observer.attempts, ())

    @property
    def scripts(self) -> Sequence[ScriptRun]:
        """Return the runs of maintainer scripts that were seen."""
        return self._shielded(lambda: self._observer.scripts, ())

    @property
    def unknowns(self) -> Sequence[Unknown]:
        """Return what the observer has to say; where there is none any more, each place without case."""
        nothing: tuple[Unknown, ...] = ()
        known = self._shielded(lambda: tuple(self._observer.unknowns), nothing)
        if not isinstance(self._observer, NoObserver):
            return known
        return CaselessPlaces(self._layers).unseen("nothing was observed")

    @property
    def notes(self) -> Sequence[str]:
        """Return the notes of the observer, and why it ended early."""
        nothing: tuple[str, ...] = ()
        return (*self._shielded(lambda: tuple(self._observer.notes), nothing), *self._earlier_notes)

    def close(self) -> None:
        """Give back all descriptors."""
        self._shielded(self._observer.close, None)

    def _shielded(self, act: Callable[[], T], otherwise: T) -> T:
        try:
            return act()
        except BrokenPipeError:
            raise  # the caller who is told of the progress has gone
        except Exception as error:
            failed, self._observer = (
                self._observer,
                NoObserver(self._packages, "changes are attributed to the package only"),
            )
            self._earlier_notes = (f"the observation failed: {type(error).__name__}: {error}",)
            with contextlib.suppress(Exception):
                failed.close()
            return otherwise
