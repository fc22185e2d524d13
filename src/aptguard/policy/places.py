# SPDX-License-Identifier: GPL-3.0-or-later
"""The path rules of a policy, by place, ready to be asked about many paths; standard library only."""

from __future__ import annotations

from collections.abc import Iterable

from aptguard.changes.model import Change
from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy
from aptguard.policy.pattern_set import PatternSet


class Places:
    """The rules in force; one with severity ``ignore`` is as if it were not there."""

    def __init__(self, policy: Policy) -> None:
        self._sets = {
            place: PatternSet(
                (pattern, rule)
                for rule in policy.path_rules
                if rule.place is place and rule.severity is not Severity.IGNORE
                for pattern in rule.patterns
            )
            for place in Place
        }

    def rule_for(self, place: Place, change: Change, packages: Iterable[str] = ()) -> PathRule | None:
        """Return the first rule of ``place`` that speaks for this path and one of its kinds of change."""
        for rule in self._sets[place].all_matches(change.path, packages):
            if not rule.changes or any(kind.value in rule.changes for kind in change.kinds):
                return rule
        return None

    def covers(self, place: Place, path: bytes, packages: Iterable[str] = ()) -> PathRule | None:
        """Return the first rule of ``place`` that names ``path``, whatever happens to it."""
        return self._sets[place].first_match(path, packages)
