# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule, role and check that is shipped has a name and a sentence, and speaks where it should."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
from change_sets import (
    INSTALL,
    PURGE,
    REMOVE,
    UPGRADE,
    account,
    accounts,
    altered,
    default_policy,
    directory,
    facts,
    file,
    gone,
    judged,
    made,
    rules,
    transaction,
)

from aptguard.changes.model import Change, Kind
from aptguard.policy.checks import CHECK_NAMES
from aptguard.policy.facts import Facts, PackageFacts
from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy
from aptguard.policy.pattern import Pattern
from aptguard.transaction.model import Action, Transaction

SHIPPED = replace(default_policy(), exceptions=())
PATH_RULES = [pytest.param(rule, id=rule.name) for rule in SHIPPED.path_rules]
HOMELESS = account("toy", 101, "/")
WITH_ROOT = accounts(account("root", 0, "/root"), account("alice", 1000, "/home/alice"))
LOST = b"/usr/share/toy/x"

# One judgement for each check, and whether it is a block or a warning.
CHECKS: dict[str, tuple[Transaction, tuple[Change, ...], Facts]] = {
    "foreign-file": (PURGE, (gone("/usr/bin/x"),), facts(owners={"/usr/bin/x": "other"})),
    "unowned-file": (PURGE, (gone("/usr/bin/x"),), facts()),
    "top-level-directory": (PURGE, (gone("/opt", directory()),), facts()),
    "account-home": (
        INSTALL,
        (),
        facts(accounts_before=WITH_ROOT, accounts_after=accounts(*WITH_ROOT.accounts, HOMELESS)),
    ),
    "account-lost": (
        UPGRADE,
        (),
        facts(accounts_before=WITH_ROOT, accounts_after=accounts(WITH_ROOT.accounts[0])),
    ),
    "lost-payload": (
        UPGRADE,
        (gone(LOST.decode()),),
        facts(mine=[LOST.decode()], after=[LOST.decode()]),
    ),
    "remove-deletes-data": (REMOVE, (gone("/var/lib/toy/db"),), facts()),
    "local-edit": (
        UPGRADE,
        (gone("/etc/toy.conf"),),
        facts(conffiles=["/etc/toy.conf"], locally_modified=frozenset({b"/etc/toy.conf"})),
    ),
    "protected-package": (
        REMOVE,
        (),
        facts(packages={"toy": PackageFacts("toy", "amd64", "installed", "1", essential=True)}),
    ),
    "mass-removal": (
        replace(
            transaction(*((f"part{number}", Action.REMOVE) for number in range(20))),
            command_line="apt-get install toy",
        ),
        (),
        facts(packages={f"part{n}": PackageFacts(f"part{n}", "amd64", "installed", "1") for n in range(20)}),
    ),
    "foreign-owner": (
        INSTALL,
        (made("/usr/share/toy/x", file(uid=1000)),),
        facts(after=["/usr/share/toy/x"], accounts_before=WITH_ROOT, accounts_after=WITH_ROOT),
    ),
    "mounted-data": (
        PURGE,
        (gone("/var/lib/toy/disk/rows"),),
        facts(mount_points=frozenset({b"/var/lib/toy/disk"})),
    ),
    "deferred-execution": (INSTALL, (made("/etc/cron.daily/later"),), facts()),
    "added-file": (PURGE, (gone("/etc/toy/page"),), facts(added=frozenset({b"/etc/toy/page"}))),
    "attempt": (PURGE, (), facts()),
}
OUTPUT = {"attempt": b"rm: it is dangerous to operate recursively on '/'\n"}


def places(pattern: Pattern, package: str) -> str:
    """Return a path that the pattern means."""
    text = pattern.text.replace("{package}", package).replace("/**", "/deep/x").replace("**", "deep")
    text = re.sub(r"\[(.)[^]]*\]", r"\1", text)
    return text.replace("*", "x").replace("?", "y")


def without(rule: PathRule) -> Policy:
    return replace(SHIPPED, path_rules=tuple(one for one in SHIPPED.path_rules if one is not rule))


def change_for(rule: PathRule, path: str, package: str) -> Change:
    if not rule.changes or "deleted" in rule.changes:
        return gone(path, by=package)
    return altered(path, *(Kind(word) for word in rule.changes), by=package)


@pytest.mark.parametrize("rule", PATH_RULES)
def test_each_rule_has_a_name_a_sentence_and_a_place_where_it_is_written(rule: PathRule) -> None:
    assert re.fullmatch(r"[a-z-]+", rule.name)
    assert rule.explanation.endswith(".") and len(rule.explanation.split()) > 4
    assert re.search(r"\.toml:\d+$", rule.origin)


@pytest.mark.parametrize("rule", PATH_RULES)
def test_each_pattern_of_a_rule_means_the_path_that_it_looks_like(rule: PathRule) -> None:
    for pattern in rule.patterns:
        assert pattern.matches(os.fsencode(places(pattern, "toy")), ("toy",)), pattern.text


@pytest.mark.parametrize("rule", PATH_RULES)
def test_each_rule_speaks_and_something_else_happens_without_it(rule: PathRule) -> None:
    package = "toy" if rule.place is Place.OWN else "stranger"
    plan = transaction((package, Action.PURGE))
    known = facts(packages={package: PackageFacts(package, "amd64", "installed", "1")})
    differs = 0
    for pattern in rule.patterns:
        path = places(pattern, "toy")
        if rule.place is Place.SHARED_STATE:
            change = altered(path, Kind.CONTENT, by=package)
        else:
            change = change_for(rule, path, package)
        told = rules(judged(plan, (change,), known, SHIPPED))
        if rule.place in (Place.PROTECTED, Place.DATA):
            assert told, f"nothing is said of {path}"
            differs += told == {rule.name}
        else:
            assert not told & {"unowned-file"}, f"{told} of {path}"
            differs += told != rules(judged(plan, (change,), known, without(rule)))
    assert differs, "the rule changes nothing"


@pytest.mark.parametrize("role", [pytest.param(role, id=role.name) for role in SHIPPED.roles])
def test_each_role_is_lost_with_its_last_holder(role) -> None:  # type: ignore[no-untyped-def]
    assert role.explanation.endswith(".") and re.search(r"\.toml:\d+$", role.origin)
    for pattern in role.packages:
        name = pattern.replace("[0-9]*", "6.1.0-9-amd64")
        plan = replace(
            transaction((name, Action.REMOVE), ("toy", Action.INSTALL)), command_line="apt-get install toy"
        )
        known = facts(packages={name: PackageFacts(name, "amd64", "installed", "1")})
        assert rules(judged(plan, (), known, SHIPPED)) == {role.name}
        held = replace(known, role_holders={role.name: ("another",)})
        assert rules(judged(plan, (), held, SHIPPED)) == set()


def test_there_is_a_judgement_for_each_check() -> None:
    assert set(CHECKS) == CHECK_NAMES


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_each_check_speaks_with_its_severity_and_can_be_switched_off(name: str) -> None:
    plan, changes, known = CHECKS[name]
    output = OUTPUT.get(name, b"")
    judgement = judged(plan, changes, known, SHIPPED, output=output)
    assert {one.severity for one in judgement.findings if one.rule == name} == {SHIPPED.checks[name].severity}
    off = replace(SHIPPED.checks[name], severity=Severity.IGNORE)
    policy = replace(SHIPPED, checks={**SHIPPED.checks, name: off})
    assert name not in rules(judged(plan, changes, known, policy, output=output))
