# SPDX-License-Identifier: GPL-3.0-or-later
"""One changed path that breaks one rule; standard library only. Violations are grouped into findings."""

from __future__ import annotations

from dataclasses import dataclass

from aptguard.changes.model import Change
from aptguard.policy.finding import Severity
from aptguard.policy.model import CheckSetting, PathRule


@dataclass(frozen=True, slots=True)
class Violation:
    """``owners`` are the packages whose file it is, where that is the point."""

    change: Change
    rule: str
    severity: Severity
    explanation: str
    origin: str
    owners: tuple[str, ...] = ()


def of_rule(change: Change, rule: PathRule) -> Violation:
    """Return the violation of a rule on paths."""
    return Violation(change, rule.name, rule.severity, rule.explanation, rule.origin)


def of_check(change: Change, check: CheckSetting, owners: tuple[str, ...] = ()) -> Violation:
    """Return the violation of a built-in check."""
    return Violation(change, check.name, check.severity, check.explanation, check.origin, owners)
