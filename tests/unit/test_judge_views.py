# SPDX-License-Identifier: GPL-3.0-or-later
"""A rule that protects a place speaks also where that is a view of the system's own; no wider rule does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from change_sets import PURGE, default_policy, gone, judged, rules

from aptguard.changes.model import Change, ViewName
from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy
from aptguard.policy.pattern import Pattern

VIEW = ViewName(b"/data/logs/app/x", b"/data/logs")


def seen(path: str = "/var/log/toy/x") -> Change:
    return replace(gone(path), views=(VIEW,))


def protecting(*patterns: str, **more: object) -> Policy:
    rule = PathRule("mine", Place.PROTECTED, tuple(map(Pattern, patterns)), "It is mine.")
    policy = default_policy()
    return replace(policy, path_rules=(replace(rule, **more), *policy.path_rules))  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", ["/data/logs/**", "/data/logs/app/*", "/data/logs/app/x"])
def test_a_protected_pattern_inside_a_view_speaks_by_the_name_that_it_has_there(pattern: str) -> None:
    judgement = judged(PURGE, [seen()], policy=protecting(pattern))
    (finding,) = judgement.findings
    assert (finding.rule, finding.path, judgement.verdict.value) == ("mine", VIEW.path, "block")


@pytest.mark.parametrize("pattern", ["/data/**", "/data/logs/other/**", "/d*/logs/**"])
def test_a_pattern_that_means_more_than_the_view_says_nothing_of_it(pattern: str) -> None:
    assert rules(judged(PURGE, [seen()], policy=protecting(pattern))) == set()


def test_a_rule_that_only_warns_or_means_another_kind_of_change_says_nothing() -> None:
    for more in ({"severity": Severity.WARN}, {"changes": frozenset({"mode"})}, {"place": Place.DATA}):
        assert rules(judged(PURGE, [seen()], policy=protecting("/data/logs/**", **more))) == set()


def test_what_is_blocked_by_its_own_name_is_told_once() -> None:
    judgement = judged(PURGE, [seen("/srv/data/x")], policy=protecting("/data/logs/**"))
    assert rules(judgement) == {"local-data"}
