# SPDX-License-Identifier: GPL-3.0-or-later
"""The path rules of a policy, by place, ready to be asked about many paths; standard library only."""

from __future__ import annotations

from collections.abc import Iterable

from aptguard.changes.model import Change, Kind, ViewName
from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy
from aptguard.policy.pattern_set import PatternSet
from aptguard.policy.pattern_syntax import literal_prefix


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
        self._protected = PatternSet(
            (pattern, (pattern, rule))
            for rule in policy.path_rules
            if rule.place is Place.PROTECTED and rule.severity is Severity.BLOCK
            for pattern in rule.patterns
        )

    def rule_for(self, place: Place, change: Change, packages: Iterable[str] = ()) -> PathRule | None:
        """Return the first rule of ``place`` that speaks for this path and one of its kinds of change."""
        for rule in self._sets[place].all_matches(change.path, packages):
            if not rule.changes or any(kind.value in rule.changes for kind in change.kinds):
                return rule
        return None

    def protects_view(
        self, view: ViewName, kinds: Iterable[Kind], packages: Iterable[str] = ()
    ) -> PathRule | None:
        """Return the first blocking rule of the protected places that means this view, and not all around it.

        That is one whose pattern begins, as far as it has no wildcard, at or below the top of the view. Any
        other (/mnt/** where the system's root is bound below /mnt) would speak of each file that dpkg writes.
        """
        depth = view.top.count(b"/")
        for pattern, rule in self._protected.matches(view.path, packages):
            if len(literal_prefix(pattern.text)) >= depth and (
                not rule.changes or any(kind.value in rule.changes for kind in kinds)
            ):
                return rule
        return None

    def covers(self, place: Place, path: bytes, packages: Iterable[str] = ()) -> PathRule | None:
        """Return the first rule of ``place`` that names ``path``, whatever happens to it."""
        return self._sets[place].first_match(path, packages)
