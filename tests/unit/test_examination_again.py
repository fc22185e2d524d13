# SPDX-License-Identifier: GPL-3.0-or-later
"""When one transaction is rehearsed more than once, and what its report is made from then."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from change_sets import DONE, default_policy, gone
from dpkg_roots import Root

from aptguard.changes.model import Change
from aptguard.guard import examination
from aptguard.guard.examination import examine
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.policy.finding import Verdict
from aptguard.rehearsal.model import Question, RehearsalRequest, RehearsalResult
from aptguard.report.model import Report
from aptguard.transaction.model import Action, Caller, Item, Transaction

DATABASES = "/var/lib/mysql/shop/orders.ibd"
PURGE = Transaction("apt-get", (Item("toy", "amd64", Action.PURGE, old_version="1"),))
Answer = Callable[[RehearsalRequest], RehearsalResult]


def result(*changes: Change, **more: Any) -> RehearsalResult:
    return replace(RehearsalResult(steps=DONE, changes=changes, complete=True), **more)


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], Report]:
    root = Root(str(tmp_path))
    root.package("toy", [])

    def judge(rehearsed: Answer) -> Report:
        monkeypatch.setattr(examination, "rehearse", lambda request, **_: rehearsed(request))
        caller = Caller(pid=1, uid=0, user="root")
        return examine(PURGE, caller, default_policy(), database=DpkgDatabase(root.path))

    return judge


def test_a_run_that_was_ended_by_what_decides_is_not_repeated(judged: Callable[[Answer], Report]) -> None:
    asked: list[RehearsalRequest] = []

    def rehearsed(request: RehearsalRequest) -> RehearsalResult:
        asked.append(request)
        return result(gone(DATABASES), complete=False, ended_early=True)

    assert judged(rehearsed).verdict is Verdict.BLOCK
    assert len(asked) == 1 and asked[0].stop_patterns


def test_a_run_that_was_ended_by_what_does_not_decide_is_done_again_in_full(
    judged: Callable[[Answer], Report],
) -> None:
    def rehearsed(request: RehearsalRequest) -> RehearsalResult:
        if request.stop_patterns:
            return result(complete=False, ended_early=True)
        return result()

    report = judged(rehearsed)
    assert report.verdict is Verdict.ALLOW and report.complete


@pytest.mark.parametrize(("asked", "verdict"), [(True, Verdict.BLOCK), (False, Verdict.ALLOW)])
def test_the_other_answer_is_rehearsed_and_counts_where_it_may_come(
    judged: Callable[[Answer], Report], asked: bool, verdict: Verdict
) -> None:
    question = Question("toy/purge_data", False, asked, "toy", "postrm", "Remove the data?")

    def rehearsed(request: RehearsalRequest) -> RehearsalResult:
        if request.answers == {b"toy/purge_data": b"true"}:
            return result(gone(DATABASES))
        return result(questions=(question,))

    report = judged(rehearsed)
    assert report.verdict is verdict
    (note,) = report.notes
    assert "toy/purge_data" in note and DATABASES in note


def test_an_archive_that_cannot_be_read_never_has_the_same_id_twice(tmp_path: Path) -> None:
    database = DpkgDatabase(Root(str(tmp_path)).path)
    item = Item("toy", "amd64", Action.INSTALL, new_version="1", archive=os.fsencode(tmp_path / "toy.deb"))
    transaction = Transaction("apt-get", (item,))

    def judged() -> Report:
        caller = Caller(pid=1, uid=0, user="root")
        return examine(transaction, caller, default_policy(), database=database)

    first, second = judged(), judged()
    assert first.verdict is second.verdict is Verdict.UNKNOWN
    assert first.fingerprint != second.fingerprint
