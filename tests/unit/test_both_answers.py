# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions of debconf: how their record is read, which are tried again, and what the other answer adds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from change_sets import DONE, PURGE, UPGRADE, gone

from aptguard.changes.model import Change
from aptguard.guard.both_answers import Trial, with_both_answers
from aptguard.policy.answers import OtherRun, other_answers, to_be_tried, with_other_run
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Finding, Judgement, Severity, Verdict
from aptguard.rehearsal.model import Question, RehearsalResult, Unknown
from aptguard.rehearsal.questions import read_questions
from aptguard.rehearsal.rehearse import RehearsalCancelledError

QUESTION = Question("toy/purge_data", False, True, "toy", "postrm", "Remove the data?")
KEPT = Judgement(Verdict.ALLOW, (), ())
LOSS = Finding("databases", Severity.BLOCK, "Somebody's data.", "deleted", path=b"/var/lib/toy/data")
LOST = Judgement(Verdict.BLOCK, (LOSS,), ())


def result(*changes: Change, complete: bool = True) -> RehearsalResult:
    return RehearsalResult(steps=DONE, changes=changes, complete=complete)


def trial(judgement: Judgement, *changes: Change, questions: tuple[Question, ...] = ()) -> Trial:
    return Trial(PURGE, replace(result(*changes), questions=questions), Facts(), judgement)


def line(*fields: str) -> bytes:
    return "\t".join(fields).encode() + b"\n"


RECORD = line("toy/purge_data", "true", "0", "toy", "postrm", "Remove%20%27it%27%0A?")


def test_a_recorded_question_is_read_with_what_it_was_escaped_from() -> None:
    assert read_questions(RECORD) == (
        Question("toy/purge_data", True, False, "toy", "postrm", "Remove 'it'\n?"),
    )


def test_a_question_is_told_once_and_asked_if_it_was_so_once() -> None:
    again = line("toy/purge_data", "false", "1", "toy", "postrm", "x")
    (question,) = read_questions(RECORD + again + RECORD)
    assert question.asked and question.answer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        line("toy/x", "true", "1", "toy", "postinst", "it takes nothing away"),
    ],
)
def test_what_is_no_question_of_a_script_that_takes_away_is_left_out(data: bytes) -> None:
    assert read_questions(data) == ()


def test_only_questions_that_may_decide_over_data_of_leaving_packages_are_tried() -> None:
    quiet = replace(QUESTION, asked=False)
    unrelated = replace(quiet, name="toy/restart", text="Restart now?")
    asked_unrelated = replace(unrelated, name="toy/other", asked=True)
    stays = replace(QUESTION, package="elsewhere")
    quiet_stays = replace(stays, asked=False)
    tried, left = to_be_tried((unrelated, quiet_stays, quiet, asked_unrelated, stays), PURGE)
    assert tried == (asked_unrelated, stays, quiet) and left == ()


def test_a_question_that_a_script_of_an_upgraded_package_will_ask_is_tried() -> None:
    asked = replace(QUESTION, script="prerm", name="toy/clean", text="Clean up?")
    assert to_be_tried((asked,), UPGRADE) == ((asked,), ())
    assert to_be_tried((replace(QUESTION, asked=False),), UPGRADE) == ((), ())


def test_more_questions_than_are_tried_are_unknown_where_they_will_be_asked() -> None:
    many = tuple(replace(QUESTION, name=f"toy/purge{number}") for number in range(5))
    asked_for: list[dict[bytes, bytes]] = []

    def tried(answers: dict[bytes, bytes]) -> Trial:
        asked_for.append(answers)
        return trial(KEPT)

    judged = with_both_answers(trial(KEPT, questions=many), tried).judgement
    assert [len(answers) for answers in asked_for] == [1, 1, 1, 5] and judged.verdict is Verdict.UNKNOWN
    assert [unknown.what for unknown in judged.unknowns] == [
        "the answer to toy/purge3",
        "the answer to toy/purge4",
        "the answers to toy/purge0, toy/purge1, toy/purge2, toy/purge3, toy/purge4",
    ]


SURE = replace(QUESTION, name="toy/sure", answer=True, text="Keep it?")


def test_what_only_two_answers_together_delete_is_found() -> None:
    asked_for: list[dict[bytes, bytes]] = []

    def tried(answers: dict[bytes, bytes]) -> Trial:
        asked_for.append(answers)
        if answers == {b"toy/purge_data": b"true", b"toy/sure": b"false"}:
            return trial(LOST, gone("/var/lib/toy/data"))
        return trial(KEPT)

    done = with_both_answers(trial(KEPT, questions=(QUESTION, SURE)), tried)
    assert [len(answers) for answers in asked_for] == [1, 1, 2]
    assert done.judgement.verdict is Verdict.BLOCK and done.judgement.unknowns == ()
    (finding,) = done.judgement.findings
    assert finding.reason == (
        "If 'Remove the data?' is answered with yes and 'Keep it?' is answered with no: Somebody's data."
    )
    assert "/var/lib/toy/data" in done.result.notes[-1]


def test_two_questions_of_which_nothing_hangs_on_any_answer_are_allowed() -> None:
    done = with_both_answers(trial(KEPT, questions=(QUESTION, SURE)), lambda _answers: trial(KEPT))
    assert done.judgement == KEPT


def test_combinations_of_three_answers_that_are_not_tried_are_never_allowed() -> None:
    third = replace(QUESTION, name="toy/third")
    done = with_both_answers(trial(KEPT, questions=(QUESTION, SURE, third)), lambda _answers: trial(KEPT))
    assert done.judgement.verdict is Verdict.UNKNOWN
    (unknown,) = done.judgement.unknowns
    assert unknown.what == "the answers to toy/purge_data, toy/sure, toy/third"


def test_an_answer_that_is_known_is_combined_with_no_other() -> None:
    asked_for: list[dict[bytes, bytes]] = []

    def tried(answers: dict[bytes, bytes]) -> Trial:
        asked_for.append(answers)
        return trial(KEPT)

    with_both_answers(trial(KEPT, questions=(QUESTION, replace(QUESTION, name="x/drop", asked=False))), tried)
    assert [len(answers) for answers in asked_for] == [1, 1]


@pytest.mark.parametrize(("before", "after"), [(KEPT, Verdict.UNKNOWN), (LOST, Verdict.BLOCK)])
def test_answers_together_that_cannot_be_rehearsed_make_nothing_better(
    before: Judgement, after: Verdict
) -> None:
    unfinished = Judgement(Verdict.UNKNOWN, (), (Unknown("the rehearsal", "it was cut off"),))

    def tried(answers: dict[bytes, bytes]) -> Trial:
        return trial(unfinished if len(answers) == 2 else KEPT)

    def failing(answers: dict[bytes, bytes]) -> Trial:
        if len(answers) == 2:
            raise ValueError("it broke")
        return trial(KEPT)

    for way in (tried, failing):
        done = with_both_answers(trial(before, questions=(QUESTION, SURE)), way)
        assert done.judgement.verdict is after and len(done.judgement.unknowns) == 1


def test_the_other_answer_is_the_other_answer() -> None:
    assert other_answers([QUESTION]) == {b"toy/purge_data": b"true"}
    assert other_answers([replace(QUESTION, answer=True)]) == {b"toy/purge_data": b"false"}


@pytest.mark.parametrize("deletes_by_itself", [True, False])
def test_an_answer_that_is_not_known_yet_counts_as_the_worse_one(deletes_by_itself: bool) -> None:
    loses, keeps = (result(gone("/var/lib/toy/data")), LOST), (result(), KEPT)
    question = replace(QUESTION, answer=deletes_by_itself)
    (own, judged), other = (loses, keeps) if deletes_by_itself else (keeps, loses)
    combined, note = with_other_run(judged, own, OtherRun(question, *other))
    assert combined.verdict is Verdict.BLOCK
    (finding,) = combined.findings
    assert finding.reason == "If 'Remove the data?' is answered with yes: Somebody's data."
    assert "Only with yes 1 paths are deleted, such as /var/lib/toy/data." in note
    assert "it will be asked" in note


def test_an_answer_that_is_known_decides_and_the_other_is_named() -> None:
    known = replace(QUESTION, asked=False)
    other = OtherRun(known, result(gone("/var/lib/toy/data")), LOST)
    combined, note = with_other_run(KEPT, result(), other)
    assert combined is KEPT
    assert "the answer is no" in note and "With yes the transaction would be blocked." in note


def test_a_finding_of_both_answers_hangs_on_none() -> None:
    combined, note = with_other_run(LOST, result(), OtherRun(QUESTION, result(), LOST))
    assert combined.findings == (LOSS,)
    assert "It makes no difference to what is deleted." in note


def test_what_could_not_be_rehearsed_with_an_answer_that_may_come_is_unknown() -> None:
    unfinished = Judgement(Verdict.UNKNOWN, (), (Unknown("the rehearsal", "it was cut off"),))
    other = OtherRun(QUESTION, result(complete=False), unfinished)
    combined, note = with_other_run(KEPT, result(), other)
    assert combined.verdict is Verdict.UNKNOWN and combined.unknowns
    assert "did not come to its end" in note


@pytest.mark.parametrize(("before", "after"), [(KEPT, Verdict.UNKNOWN), (LOST, Verdict.BLOCK)])
def test_a_failure_with_the_other_answer_never_makes_it_better(before: Judgement, after: Verdict) -> None:
    def tried(_answers: dict[bytes, bytes]) -> Trial:
        raise ValueError("it broke")

    done = with_both_answers(trial(before, questions=(QUESTION,)), tried)
    assert done.judgement.verdict is after
    assert done.judgement.unknowns[-1].reason == "it broke"


def test_nobody_waiting_any_more_ends_the_further_rehearsals_too() -> None:
    def tried(_answers: dict[bytes, bytes]) -> Trial:
        raise RehearsalCancelledError

    with pytest.raises(RehearsalCancelledError):
        with_both_answers(trial(KEPT, questions=(QUESTION,)), tried)


def test_without_questions_nothing_is_rehearsed_again() -> None:
    def tried(_answers: dict[bytes, bytes]) -> Trial:
        raise AssertionError("rehearsed again")

    first = trial(KEPT)
    assert with_both_answers(first, tried) == first
