# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody disarms the guard beside an upgrade, and the guard itself can always come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from change_sets import altered, facts, gone, judged, rules, transaction

from aptguard.changes.model import Cause, Change, Kind
from aptguard.transaction.model import Action

HOOKS = (
    "/etc/dpkg/dpkg.cfg.d/aptguard",
    "/etc/apt/apt.conf.d/05aptguard",
    "/usr/libexec/aptguard/dpkg-hook",
)
BOTH = transaction(("aptguard", Action.UPGRADE), ("toy", Action.UPGRADE))
BY_DPKG = Cause(None, None, (b"/usr/bin/dpkg", b"--configure", b"aptguard", b"toy"))
OWN = facts(mine=HOOKS, after=HOOKS, conffiles=HOOKS[:2])


def deeds(path: str, by: str) -> list[Change]:
    return [gone(path, by=by), altered(path, Kind.CONTENT, by=by), altered(path, Kind.MODE, by=by)]


@pytest.mark.parametrize("path", HOOKS)
def test_another_package_that_touches_a_hook_is_blocked_alone_and_beside_the_guards_upgrade(
    path: str,
) -> None:
    owned = facts(owners={path: "aptguard"})
    for change in deeds(path, "toy"):
        alone = judged(transaction(("toy", Action.UPGRADE)), [change], owned)
        assert rules(alone) == rules(judged(BOTH, [change], OWN)) == {"guard-hooks"}
        assert alone.verdict.value == "block"


@pytest.mark.parametrize("path", HOOKS)
@pytest.mark.parametrize("action", [Action.UPGRADE, Action.REMOVE, Action.PURGE])
def test_the_guard_replaces_and_takes_away_its_own_hooks(path: str, action: Action) -> None:
    plan = transaction(("aptguard", action), ("toy", Action.UPGRADE))
    for change in deeds(path, "aptguard"):
        assert rules(judged(plan, [change], OWN)) == set()


@pytest.mark.parametrize("path", HOOKS[:2])
def test_dpkg_puts_a_new_configuration_in_place_without_saying_whose_it_is(path: str) -> None:
    change = replace(altered(path, Kind.CONTENT), cause=BY_DPKG)
    assert rules(judged(BOTH, [change], OWN)) == set()
    assert rules(judged(BOTH, [replace(change, cause=None)], OWN)) == {"guard-hooks"}
    assert rules(judged(transaction(("toy", Action.UPGRADE)), [change], OWN)) == {"guard-hooks"}
