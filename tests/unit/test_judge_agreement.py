# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``policy test`` says of a path is what the judge does, whatever the path and the kind of change."""

from __future__ import annotations

import os
from dataclasses import replace

from change_sets import altered, default_policy, facts, gone, judged, made, transaction
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aptguard.changes.model import Kind
from aptguard.policy.explain import explain_change, explain_path
from aptguard.policy.finding import Severity
from aptguard.policy.model import Policy
from aptguard.policy.pattern_syntax import components, literal_prefix
from aptguard.transaction.model import Action

OWNERS = {"unowned": None, "foreign": "other", "own": "toy"}
SHIPPED = replace(default_policy(), exceptions=())
PREFIXES = sorted(
    {
        tuple(literal_prefix(pattern.text)[:length])
        for rule in SHIPPED.path_rules
        for pattern in rule.patterns
        for length in range(1, len(literal_prefix(pattern.text)) + 1)
    }
)
# The last components of patterns with their wildcards filled in, and names that mean nothing.
NAMES = sorted(
    {
        part.replace("{package}", "toy").replace("**", "deep").replace("*", "x").replace("?", "y")
        for rule in SHIPPED.path_rules
        for pattern in rule.patterns
        for part in components(pattern.text)
        if "[" not in part
    }
    | {"toy", "toy.conf", "other", "nothing", "a b"}
)
PATHS = st.builds(
    lambda prefix, names: "/" + "/".join((*prefix, *names)),
    st.sampled_from([(), *PREFIXES]),
    st.lists(st.just("toy") | st.sampled_from(NAMES), max_size=3),
).filter(lambda path: path != "/")


def judge_says(policy: Policy, path: str, kind: Kind, owner: str | None) -> Severity | None:
    match kind:
        case Kind.DELETED:
            change = gone(path)
        case Kind.CREATED:
            change = made(path)
        case _:
            change = altered(path, kind)
    mine = [path] if owner == "toy" else []
    known = facts(
        owners={path: owner} if owner == "other" else {},
        mine=mine,
        after=[] if kind is Kind.DELETED else mine,
    )
    plan = transaction(("toy", Action.PURGE))
    return next((one.severity for one in judged(plan, (change,), known, policy).findings), None)


@settings(max_examples=150, deadline=None)
@example("/etc", Kind.MODE)
@example("/lib64", Kind.TYPE)
@example("/etc/cron.d/nothing", Kind.CREATED)
@example("/etc/ld.so.cache", Kind.DELETED)
@example("/var/lib/postgresql/toy/x", Kind.DELETED)
@example("/var/lib/toy/x", Kind.DELETED)
@example("/var/lib/toy/x", Kind.CONTENT)
@example("/usr/share/nothing", Kind.OWNER)
@given(PATHS, st.sampled_from(Kind))
def test_each_explanation_is_what_the_judge_does(path: str, kind: Kind) -> None:
    place = os.fsencode(path)
    rules = explain_path(SHIPPED, place, ("toy",)).rules
    told = explain_change(SHIPPED, place, "changed", kind, ("toy",), rules)
    for field, owner in OWNERS.items():
        assert getattr(told, field) is judge_says(SHIPPED, path, kind, owner), (field, told)


@settings(max_examples=50, deadline=None)
@given(PATHS, st.sampled_from(Kind))
def test_the_sentence_says_what_the_fields_say(path: str, kind: Kind) -> None:
    explanation = explain_path(SHIPPED, os.fsencode(path))
    told = explain_change(SHIPPED, os.fsencode(path), "changed", kind, (), explanation.rules)
    if (told.unowned, told.foreign, told.own) == (None, None, None):
        assert told.severity is None and told.sentence.startswith("allowed")
    else:
        assert (Severity.BLOCK in (told.unowned, told.foreign, told.own)) == ("blocked" in told.sentence)


def test_a_policy_test_on_a_path_exits_by_what_the_judge_does_to_an_unlisted_file() -> None:
    for path in ("/etc/fstab", "/home/alice/letters", "/var/lib/toy/x", "/usr/bin/anything"):
        explanation = explain_path(SHIPPED, os.fsencode(path))
        blocked = judge_says(SHIPPED, path, Kind.DELETED, None) is Severity.BLOCK
        assert explanation.protected <= blocked
