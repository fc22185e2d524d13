# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules in force, as values; standard library only. Made by aptguard.policy.load, used by the judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from aptguard.policy.finding import Severity
from aptguard.policy.pattern import Pattern
from aptguard.policy.roles import Role, TriggerRule


class Place(Enum):
    """What a path rule says of the places it names."""

    PROTECTED = "protected"  # nobody may touch it, not even its owner
    DATA = "data"  # unowned files here are somebody's data
    OWN = "own"  # a package may clean up after itself here ({package} in the pattern)
    SHARED_STATE = "shared-state"  # bookkeeping that many packages' scripts rewrite (caches, registries)


@dataclass(frozen=True, slots=True)
class PathRule:
    """One named rule on paths.

    ``changes`` are the kinds of change it speaks for (values of changes.Kind), empty for all kinds.
    ``explanation`` is one sentence an administrator understands. ``origin`` is ``FILE:LINE``;
    ``overrides`` are the origins of the earlier rules of the same name that it replaced or changed,
    oldest first.
    """

    name: str
    place: Place
    patterns: tuple[Pattern, ...]
    explanation: str
    severity: Severity = Severity.BLOCK
    changes: frozenset[str] = frozenset()
    origin: str = ""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckSetting:
    """Severity and wording of one built-in check of the judge (``foreign-file``, ``account-home``, ...)."""

    name: str
    severity: Severity
    explanation: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class PolicyException:
    """A named package may do what a rule forbids.

    ``packages``, ``rules`` and ``paths`` limit it (empty: all); ``expires`` is an ISO date, the last day on
    which it holds, or None.
    """

    name: str
    reason: str
    packages: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    paths: tuple[Pattern, ...] = ()
    expires: str | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class PolicyLimits:
    """Bounds for a rehearsal and for records; seconds, MiB, counts, days."""

    seconds: int = 120
    trigger_seconds: int = 60
    upper_mib: int = 1024
    memory_mib: int = 2048
    processes: int = 1024
    changes: int = 500_000
    keep_days: int = 180
    override_minutes: int = 15


class Mode(Enum):
    """Whether a block blocks."""

    ENFORCE = "enforce"
    REPORT = "report"


class WhenUnable(Enum):
    """What becomes of a transaction whose verdict is unknown.

    CAUTIOUS: pass when nothing is removed or purged, stop otherwise.
    """

    CAUTIOUS = "cautious"
    ALLOW = "allow"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules in force, merged; ``sources`` are the files they came from, in order.

    ``origins`` says for single settings (``mode``, ``limits.seconds``) where they are written
    (``FILE:LINE``).
    """

    mode: Mode = Mode.ENFORCE
    when_unable: WhenUnable = WhenUnable.CAUTIOUS
    rehearse_triggers: bool = True
    path_rules: tuple[PathRule, ...] = ()
    checks: dict[str, CheckSetting] = field(default_factory=dict)
    exceptions: tuple[PolicyException, ...] = ()
    limits: PolicyLimits = field(default_factory=PolicyLimits)
    sources: tuple[str, ...] = ()
    origins: dict[str, str] = field(default_factory=dict)
    roles: tuple[Role, ...] = ()
    triggers: tuple[TriggerRule, ...] = ()
