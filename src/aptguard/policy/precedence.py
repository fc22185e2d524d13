# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rule speaks where several match a path. Pure; standard library only.

What is protected comes before what is data, that before what a package may clean up, that before shared
state. Within one place the more severe rule comes first, then the one that the policy names first. A rule
with the severity ``ignore`` is switched off: it never speaks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy
from aptguard.policy.pattern import Pattern
from aptguard.policy.pattern_set import PatternSet


def rank(rule: PathRule) -> tuple[int, int]:
    """Return the sort key of ``rule``; the smallest speaks first."""
    return _place_rank(rule.place), 0 if rule.severity is Severity.BLOCK else 1


def _place_rank(place: Place) -> int:
    match place:
        case Place.PROTECTED:
            return 0
        case Place.DATA:
            return 1
        case Place.OWN:
            return 2
        case Place.SHARED_STATE:
            return 3
    assert_never(place)


class RuleBook:
    """The path rules of a policy, ready for many paths; make it once for one policy."""

    def __init__(self, policy: Policy) -> None:
        active = [rule for rule in policy.path_rules if rule.severity is not Severity.IGNORE]
        entries: list[tuple[Pattern, tuple[PathRule, Pattern]]] = [
            (pattern, (rule, pattern)) for rule in sorted(active, key=rank) for pattern in rule.patterns
        ]
        self._patterns = PatternSet(entries)

    def matching(self, path: bytes, packages: Iterable[str] = ()) -> tuple[tuple[PathRule, Pattern], ...]:
        """Return the rules that match the canonical ``path``, each once, with the pattern that does it."""
        found: dict[str, tuple[PathRule, Pattern]] = {}
        for rule, pattern in self._patterns.all_matches(path, packages):
            found.setdefault(rule.name, (rule, pattern))
        return tuple(found.values())

    def speaking(
        self, path: bytes, kinds: Iterable[str] = (), packages: Iterable[str] = ()
    ) -> PathRule | None:
        """Return the rule that speaks for a change of ``kinds`` (values of changes.Kind) at ``path``."""
        wanted = frozenset(kinds)
        for rule, _ in self._patterns.matches(path, packages):
            if not rule.changes or rule.changes & wanted:
                return rule
        return None
