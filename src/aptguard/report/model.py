# SPDX-License-Identifier: GPL-3.0-or-later
"""The one result of a judged transaction; terminal text, JSON, journal and metrics are rendered from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aptguard.policy.finding import Finding, Verdict
from aptguard.rehearsal.model import Effect, ScriptRun, Unknown
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


@dataclass(frozen=True, slots=True)
class Report:
    """All that is said of one transaction.

    ``time`` is UTC in seconds since the epoch; ``changes`` counts by kind and by class of owner;
    ``timing`` is seconds by stage. ``fingerprint`` is the hex digest that ``id`` is made from.
    ``mode`` is ``enforce`` or ``report``. ``scripts`` are the runs of maintainer scripts, in their order.
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
