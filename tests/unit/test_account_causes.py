# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changed an account, from the steps in which the account files changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from change_sets import PURGE, account, accounts, altered, facts, judged

from aptguard.changes.model import Cause, Change, Kind
from aptguard.policy.finding import Finding
from aptguard.rehearsal.model import AccountStep

ALICE = account("alice", 1000, "/home/alice")
BOB = account("bob", 1001, "/home/bob")
GUILTY, OTHER = Cause("guilty", "postrm purge", (b"userdel", b"alice")), Cause("other", "postrm purge")
LINE = b"alice:x:1000:1000::/home/alice:/bin/sh"


def step(lost: bytes, gained: bytes, *causes: Cause, path: bytes = b"/etc/passwd") -> AccountStep:
    return AccountStep(
        path, tuple(filter(None, lost.split(b"\n"))), tuple(filter(None, gained.split(b"\n"))), causes
    )


def told(*steps: AccountStep, after: tuple[object, ...] = (BOB,), **more: object) -> Finding:
    change: Change = replace(altered("/etc/passwd", Kind.CONTENT), cause=OTHER)
    known = facts(accounts_before=accounts(ALICE, BOB), accounts_after=accounts(*after))  # type: ignore[arg-type]
    judgement = judged(PURGE, [change], known, account_steps=steps, **more)
    (found,) = [one for one in judgement.findings if one.account == "alice"]
    return found


def test_whoever_took_the_line_away_is_named_and_not_the_last_writer() -> None:
    found = told(step(LINE, b"", GUILTY), step(b"", b"new:x:1:1::/:/x", OTHER))
    assert (found.package, found.script, found.command) == ("guilty", "postrm purge", GUILTY.command)


def test_a_step_that_several_may_have_made_names_all_of_them_and_accuses_none() -> None:
    found = told(step(LINE, b"", GUILTY, OTHER))
    assert (found.package, found.script, found.command) == (None, None, ())
    assert found.reason.endswith("done it: guilty postrm purge, other postrm purge.")


def test_without_steps_all_who_wrote_the_file_are_named() -> None:
    found = told(earlier_causes={b"/etc/passwd": (GUILTY,)})
    assert found.package is None
    assert "other postrm purge, guilty postrm purge" in found.reason


def test_two_scripts_of_one_package_leave_the_package_named() -> None:
    found = told(step(LINE, b"", GUILTY, replace(GUILTY, script="prerm remove")))
    assert (found.package, found.script) == ("guilty", None)


def test_whoever_puts_an_account_back_took_nothing_away() -> None:
    assert told(step(LINE, b"", GUILTY), step(b"", LINE, OTHER), step(LINE, b"", GUILTY)).package == "guilty"


@pytest.mark.parametrize(
    ("line", "now", "change"),
    [
        (b"alice:x:7:1000::/home/alice:/bin/sh", replace(ALICE, uid=7), "number"),
        (b"alice:x:1000:1000::/:/bin/sh", replace(ALICE, home=b"/"), "home"),
    ],
)
def test_whoever_changed_what_matters_is_named_and_not_who_changed_the_rest(
    line: bytes, now: object, change: str
) -> None:
    shell = line.replace(b"/bin/sh", b"/bin/zsh")
    found = told(step(LINE, line, GUILTY), step(line, shell, OTHER), after=(now, BOB))
    assert (found.package, found.change) == ("guilty", change)


def test_an_account_with_a_dangerous_home_is_told_by_a_command_that_was_not_the_last() -> None:
    before = accounts(replace(ALICE, home=b"/"), BOB)
    removal = Cause("guilty", "postrm purge", (b"userdel", b"-r", b"alice"))
    change = replace(altered("/etc/passwd", Kind.CONTENT), cause=OTHER)
    known = facts(accounts_before=before, accounts_after=accounts(BOB))
    judgement = judged(PURGE, [change], known, earlier_causes={change.path: (removal,)})
    homes = [one for one in judgement.findings if one.rule == "account-home"]
    assert [one.severity.value for one in homes] == ["block"]
