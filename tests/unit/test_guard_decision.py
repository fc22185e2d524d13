# SPDX-License-Identifier: GPL-3.0-or-later
import itertools
import re
from pathlib import Path

import pytest

from aptguard.guard.decision import OWN_LIBRARIES, Outcome, decide
from aptguard.policy.finding import Verdict
from aptguard.policy.model import Mode, WhenUnable
from aptguard.transaction.model import Action, Item, Transaction


def transaction(*pairs: tuple[str, Action]) -> Transaction:
    return Transaction("apt-get", tuple(Item(name, "amd64", action) for name, action in pairs))


REMOVAL = transaction(("foo", Action.REMOVE))
INSTALLATION = transaction(("foo", Action.INSTALL))
OWN_PURGE = transaction(("aptguard", Action.PURGE))


def decided(verdict: Verdict, what: Transaction = REMOVAL, **changes: object) -> Outcome:
    settings = {
        "mode": Mode.ENFORCE,
        "when_unable": WhenUnable.CAUTIOUS,
        "overridden": False,
        "paused": False,
    }
    return decide(verdict, what, **{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("when_unable", WhenUnable)
def test_a_block_stops_whatever_is_wanted_of_unknowns(when_unable: WhenUnable) -> None:
    assert decided(Verdict.BLOCK, when_unable=when_unable) is Outcome.STOP
    assert decided(Verdict.BLOCK, INSTALLATION, when_unable=when_unable) is Outcome.STOP


def test_an_unknown_removal_is_stopped_and_an_unknown_installation_goes_on_loudly() -> None:
    assert decided(Verdict.UNKNOWN) is Outcome.STOP_BY_DOUBTS
    assert decided(Verdict.UNKNOWN, INSTALLATION) is Outcome.PASS_WITH_DOUBTS


def test_the_policy_can_let_every_unknown_pass_or_stop_every_one() -> None:
    assert decided(Verdict.UNKNOWN, when_unable=WhenUnable.ALLOW) is Outcome.PASS_WITH_DOUBTS
    assert decided(Verdict.UNKNOWN, INSTALLATION, when_unable=WhenUnable.BLOCK) is Outcome.STOP_BY_DOUBTS


def test_aptguard_can_be_purged_when_nothing_can_be_rehearsed() -> None:
    assert decided(Verdict.UNKNOWN, OWN_PURGE) is Outcome.PASS_WITH_DOUBTS
    assert decided(Verdict.UNKNOWN, OWN_PURGE, when_unable=WhenUnable.BLOCK) is Outcome.PASS_WITH_DOUBTS


@pytest.mark.parametrize("when_unable", WhenUnable)
def test_aptguard_can_go_with_its_own_libraries_when_nothing_can_be_rehearsed(
    when_unable: WhenUnable,
) -> None:
    with_libraries = transaction(("aptguard", Action.PURGE), ("python3-structlog", Action.REMOVE))
    assert decided(Verdict.UNKNOWN, with_libraries, when_unable=when_unable) is Outcome.PASS_WITH_DOUBTS
    assert decided(Verdict.BLOCK, with_libraries, when_unable=when_unable) is Outcome.STOP
    libraries_alone = transaction(("python3-structlog", Action.REMOVE))
    assert decided(Verdict.UNKNOWN, libraries_alone) is Outcome.STOP_BY_DOUBTS


def test_the_rule_of_the_hooks_knows_the_same_libraries() -> None:
    rules = (Path(__file__).parents[2] / "hooks/hooklib/rules.sh").read_text("utf-8")
    body = rules.partition("only_aptguard() {")[2].partition("return 1")[0]
    assert set(re.findall(r"python3?-[\w-]+", body)) == OWN_LIBRARIES


def test_aptguard_can_be_purged_whatever_is_thought_of_it() -> None:
    assert decided(Verdict.BLOCK, OWN_PURGE) is Outcome.PASS_WITH_DOUBTS
    both = transaction(("aptguard", Action.PURGE), ("foo", Action.PURGE))
    assert decided(Verdict.BLOCK, both) is Outcome.STOP


def test_aptguard_beside_another_package_is_no_way_past_an_unknown() -> None:
    both = transaction(("aptguard", Action.PURGE), ("foo", Action.PURGE))
    assert decided(Verdict.UNKNOWN, both) is Outcome.STOP_BY_DOUBTS


def test_only_the_verdict_allow_passes_without_a_word_in_every_combination() -> None:
    combinations = itertools.product(
        (Verdict.BLOCK, Verdict.UNKNOWN),
        (REMOVAL, INSTALLATION),
        Mode,
        WhenUnable,
        (True, False),
        (True, False),
    )
    for verdict, what, mode, when_unable, overridden, paused in combinations:
        outcome = decide(
            verdict, what, mode=mode, when_unable=when_unable, overridden=overridden, paused=paused
        )
        assert outcome is not Outcome.PASS


def test_report_mode_override_and_pause_each_let_a_block_pass_under_their_own_name() -> None:
    assert decided(Verdict.BLOCK, mode=Mode.REPORT) is Outcome.PASS_IN_REPORT_MODE
    assert decided(Verdict.BLOCK, overridden=True) is Outcome.PASS_BY_OVERRIDE
    assert decided(Verdict.BLOCK, paused=True) is Outcome.PASS_WHILE_PAUSED


def test_what_may_take_away_more_than_it_names_is_stopped_as_a_removal_is() -> None:
    def of(**changes: object) -> Outcome:
        return decided(Verdict.UNKNOWN, INSTALLATION, removals_known=False, **changes)

    assert of() is Outcome.STOP_BY_DOUBTS
    assert of(when_unable=WhenUnable.ALLOW) is Outcome.PASS_WITH_DOUBTS
    assert of(mode=Mode.REPORT) is Outcome.PASS_IN_REPORT_MODE
    assert of(overridden=True) is Outcome.PASS_BY_OVERRIDE
    assert of(paused=True) is Outcome.PASS_WHILE_PAUSED
    assert decided(Verdict.UNKNOWN, OWN_PURGE, removals_known=False) is Outcome.PASS_WITH_DOUBTS


def test_packages_that_wait_for_their_configuration_keep_aptguard_from_going_only_when_they_do_harm() -> None:
    waiting = transaction(("aptguard", Action.PURGE), ("foo", Action.CONFIGURE))
    assert decided(Verdict.UNKNOWN, waiting) is Outcome.PASS_WITH_DOUBTS
    assert decided(Verdict.BLOCK, waiting) is Outcome.STOP
    assert decided(Verdict.UNKNOWN, transaction(("foo", Action.CONFIGURE))) is Outcome.PASS_WITH_DOUBTS
    both = transaction(("aptguard", Action.PURGE), ("foo", Action.CONFIGURE), ("foo", Action.PURGE))
    assert decided(Verdict.UNKNOWN, both) is Outcome.STOP_BY_DOUBTS
