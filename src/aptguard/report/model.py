# SPDX-License-Identifier: GPL-3.0-or-later
"""The one result of a judged transaction; terminal text, JSON, journal and metrics are rendered from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from aptguard.policy.finding import Finding, Verdict
from aptguard.rehearsal.model import Effect, LyingBelow, ScriptRun, Unknown
from aptguard.transaction.model import Transaction


@dataclass(frozen=True, slots=True)
class ChangedPath:
    """One line of the full list of changes (``--changes``)."""

    path: bytes
    kinds: tuple[str, ...]
    owner_class: str  # transaction, other package, unowned
    size: int
    package: str | None = None
    script: str | None = None
    type: str = "file"  # changes.FileType
    mtime_ns: int = 0


class RunEnd(Enum):
    """How the real run ended, beside its rehearsal."""

    AS_REHEARSED = "as rehearsed"
    DIVERGED = "diverged"  # it came to its end, and something is otherwise than in the rehearsal
    HALF_WAY = "half-way"  # some packages are done and some are not, or one is left in between
    NOT_BEGUN = "not begun"  # nothing was done after all
    NOT_COMPARED = "not compared"


class DivergenceKind(Enum):
    """One way in which a real run differs from its rehearsal."""

    GONE = "gone"  # a path that was to stay
    STILL_THERE = "still there"  # a path that was to go
    STATE = "state"  # dpkg's state of a package


@dataclass(frozen=True, slots=True)
class Divergence:
    """One thing that the real run did otherwise; about ``path``, or else about ``package``."""

    kind: DivergenceKind
    reason: str
    path: bytes | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True)
class RealRun:
    """What became of an approved transaction.

    ``time`` is when it had ended, in seconds since the epoch. ``paths`` were looked at; ``omitted`` are those
    of the rehearsal that were not, and the divergences of which no more is said, for there are too many.
    """

    time: float
    end: RunEnd
    reason: str
    divergences: tuple[Divergence, ...] = ()
    paths: int = 0
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """All that is said of one transaction.

    ``time`` is UTC in seconds since the epoch; ``changes`` counts by kind and by class of owner;
    ``timing`` is seconds by stage. ``fingerprint`` is the hex digest that ``id`` is made from.
    ``mode`` is ``enforce`` or ``report``. ``scripts`` are the runs of maintainer scripts, in their order.
    ``real_run`` is None where the transaction has not been run, or not yet. ``lying_below`` is None unless
    the rehearsal was ended early, while a directory was being emptied.
    """

    id: str
    fingerprint: str
    time: float
    host: str
    verdict: Verdict
    transaction: Transaction
    user: str
    findings: tuple[Finding, ...] = ()
    unknowns: tuple[Unknown, ...] = ()
    changes: dict[str, dict[str, int]] = field(default_factory=dict)
    changed_paths: tuple[ChangedPath, ...] = ()
    effects: tuple[Effect, ...] = ()
    notes: tuple[str, ...] = ()
    timing: dict[str, float] = field(default_factory=dict)
    complete: bool = True
    mode: str = "enforce"
    scripts: tuple[ScriptRun, ...] = ()
    real_run: RealRun | None = None
    lying_below: LyingBelow | None = None
