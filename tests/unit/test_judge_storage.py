# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge makes of calls that destroy storage, or whose outcome is not clear or not to be had."""

from __future__ import annotations

import pytest
from change_sets import INSTALL, PURGE, judged

from aptguard.policy.finding import Verdict
from aptguard.rehearsal.model import DESTRUCTION, REFUSED, UNANSWERED, UNCLEAR, Effect, ScriptRun
from aptguard.transaction.model import Transaction

CALL = Effect(DESTRUCTION, "would run lvremove -f vg/data", "toy postrm", b"/dev/vg/data")


@pytest.mark.parametrize("plan", [PURGE, INSTALL])
def test_a_call_that_destroys_blocks_and_is_told_with_its_script(plan: Transaction) -> None:
    judgement = judged(plan, (), effects=(CALL,), scripts=(ScriptRun("toy", "postrm purge", 0.0, 0.1),))
    (found,) = judgement.findings
    assert judgement.verdict is Verdict.BLOCK
    assert (found.rule, found.path, found.package, found.script) == (
        "attempt",
        b"/dev/vg/data",
        "toy",
        "postrm purge",
    )
    assert "lvremove -f vg/data" in found.reason


def test_where_several_runs_of_a_script_may_have_called_its_argument_is_left_out() -> None:
    runs = tuple(ScriptRun("toy", f"postrm {word}", 0.0, 0.1) for word in ("remove", "purge"))
    (found,) = judged(PURGE, (), effects=(CALL,), scripts=runs).findings
    assert (found.package, found.script) == ("toy", "postrm")


def test_what_is_no_path_is_told_of_the_package_that_destroys_it() -> None:
    data_set = Effect(DESTRUCTION, "would run zfs destroy tank", "toy prerm")
    (found,) = judged(PURGE, (), effects=(data_set,)).findings
    assert (found.path, found.subject_package) == (None, "toy")


@pytest.mark.parametrize("plan", [PURGE, INSTALL])
@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (UNCLEAR, "would run losetup -d /dev/loop7"),
        (UNANSWERED, "would run systemctl list-jobs"),
        (REFUSED, "would unmount /srv/data"),
    ],
)
def test_what_goes_otherwise_on_the_machine_is_unknown_and_says_which_unless_harm_was_found(
    plan: Transaction, kind: str, call: str
) -> None:
    effect = Effect(kind, call, "toy prerm")
    judgement = judged(plan, (), effects=(effect,))
    assert judgement.verdict is Verdict.UNKNOWN
    (unknown,) = judgement.unknowns
    assert f"{call} (by toy prerm)" in unknown.reason
    assert judged(plan, (), effects=(effect, CALL)).verdict is Verdict.BLOCK


def test_a_call_that_loses_nothing_is_allowed() -> None:
    for kind in ("device", "mount", "service"):
        assert judged(PURGE, (), effects=(Effect(kind, "would run x"),)).verdict is Verdict.ALLOW
