# SPDX-License-Identifier: GPL-3.0-or-later
"""Which debconf questions are worth a rehearsal with the other answer, and what it adds to the judgement.

Pure, and standard library only. An answer that a person will give is not known beforehand: then the worse of
both judgements holds. Where nobody is asked, debconf's own answer decides, and the other is only named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aptguard.policy.finding import Finding, Judgement, Verdict
from aptguard.rehearsal.model import Question, RehearsalResult, Unknown
from aptguard.shown import shown
from aptguard.transaction.model import Transaction

_MOST = 3  # further rehearsals of one transaction, each with one other answer
_ALL_COMBINED = 2  # of so many questions the other answers, each alone and both together, are all there are
_DELETING = re.compile(r"purg|remov|delet|drop|eras|wip|destroy|data", re.IGNORECASE)
_RANK = (Verdict.ALLOW, Verdict.UNKNOWN, Verdict.BLOCK)


@dataclass(frozen=True, slots=True)
class OtherRun:
    """The rehearsal in which ``question`` had the answer that debconf does not give by itself."""

    question: Question
    result: RehearsalResult
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class CombinedRun:
    """The rehearsal in which all of ``questions`` had the answers that debconf does not give by itself."""

    questions: tuple[Question, ...]
    result: RehearsalResult
    judgement: Judgement


def to_be_tried(
    questions: Iterable[Question], transaction: Transaction
) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """Return the questions to rehearse with the other answer, and those that are too many for that.

    Those which a person will be asked, whoever asks, and those of packages that are taken away which speak of
    deleting.
    """
    leaving = {item.package for item in transaction.items if item.action.takes_away}
    wanted = [
        question
        for question in questions
        if question.asked
        or (
            question.package in {None, *leaving}
            and (_DELETING.search(question.name) or _DELETING.search(question.text))
        )
    ]
    wanted.sort(key=lambda question: not question.asked)
    return tuple(wanted[:_MOST]), tuple(wanted[_MOST:])


def to_be_combined(questions: Iterable[Question]) -> tuple[Question, ...]:
    """Return the questions to rehearse with all other answers at once: those which a person will be asked.

    A script may do its harm only after two answers of a person. None for fewer than two questions.
    """
    asked = tuple(question for question in questions if question.asked)
    return asked if len(asked) > 1 else ()


def other_answers(questions: Iterable[Question]) -> dict[bytes, bytes]:
    """Return what RehearsalRequest.answers must hold for the rehearsal with the other answers."""
    return {
        question.name.encode("utf-8", "surrogateescape"): b"false" if question.answer else b"true"
        for question in questions
    }


def with_other_run(judgement: Judgement, result: RehearsalResult, other: OtherRun) -> tuple[Judgement, str]:
    """Return the judgement with what the other answer adds to it, and a sentence for the report."""
    note = _note(result, other)
    if not other.question.asked:
        return judgement, note
    own, others = judgement.findings, other.judgement.findings
    findings = (
        *_only_with(other.question.answer, own, others, other.question),
        *_only_with(not other.question.answer, others, own, other.question, alone=True),
    )
    circumstance = f"with the answer {_word(not other.question.answer)} to {_name(other.question)}"
    return _worse(judgement, other.judgement, findings, circumstance), note


def with_combined_run(
    judgement: Judgement, result: RehearsalResult, other: CombinedRun
) -> tuple[Judgement, str]:
    """Return the judgement with what only the other answers together add to it, and a note for the report.

    ``judgement`` holds already what each of them adds alone.
    """
    known = {_key(finding) for finding in judgement.findings}
    answers = " and ".join(
        f"'{one.text}' is answered with {_word(not one.answer)}" for one in other.questions
    )
    more = tuple(
        replace(finding, reason=f"If {answers}: {finding.reason}")
        for finding in other.judgement.findings
        if _key(finding) not in known
    )
    names = ", ".join(shown(question.name) for question in other.questions)
    circumstance = f"with the other answers to {names} together"
    combined = _worse(judgement, other.judgement, (*judgement.findings, *more), circumstance)
    sentences = [f"The debconf questions {names} were rehearsed with the other answers together as well."]
    deleted = {change.path for change in result.changes if change.deleted}
    only_then = {change.path for change in other.result.changes if change.deleted} - deleted
    if only_then:
        count, first = len(only_then), shown(min(only_then))
        sentences.append(f"Then {count} paths are deleted that debconf's own answers leave, such as {first}.")
    if not other.result.complete and not other.result.ended_early:
        sentences.append(f"It did not come to its end ({_reasons(other.result)}).")
    return combined, " ".join(sentences)


def _worse(
    judgement: Judgement, other: Judgement, findings: tuple[Finding, ...], circumstance: str
) -> Judgement:
    unknowns = judgement.unknowns
    if other.verdict is Verdict.UNKNOWN:
        unknowns += tuple(
            replace(unknown, what=f"{circumstance}: {unknown.what}")
            for unknown in other.unknowns
            if unknown not in judgement.unknowns
        )
    verdict = max(judgement.verdict, other.verdict, key=_RANK.index)
    return Judgement(verdict, findings, unknowns)


def with_untried(judgement: Judgement, untried: tuple[Question, ...]) -> Judgement:
    """Return the judgement with an unknown for each question that will be asked and was not tried."""
    return _doubted(judgement, _alone(untried))


def with_untried_combinations(judgement: Judgement, combined: tuple[Question, ...]) -> Judgement:
    """Return the judgement with an unknown where two tried answers of more together were not tried."""
    if len(combined) <= _ALL_COMBINED:
        return judgement
    names = ", ".join(shown(question.name) for question in combined)
    reason = (
        f"{len(combined)} questions will be asked; the other answers are rehearsed one at a time and all "
        "together, and not in each combination"
    )
    return _doubted(judgement, (Unknown(f"the answers to {names}", reason),))


def _alone(untried: tuple[Question, ...]) -> tuple[Unknown, ...]:
    return tuple(
        Unknown(
            f"the answer to {shown(question.name)}",
            f"more than {_MOST} questions will be asked, and only so many are rehearsed with both answers",
        )
        for question in untried
        if question.asked
    )


def _doubted(judgement: Judgement, unknowns: tuple[Unknown, ...]) -> Judgement:
    if not unknowns:
        return judgement
    verdict = max(judgement.verdict, Verdict.UNKNOWN, key=_RANK.index)
    return Judgement(verdict, judgement.findings, (*judgement.unknowns, *unknowns))


def _only_with(
    answer: bool,
    findings: tuple[Finding, ...],
    elsewhere: tuple[Finding, ...],
    question: Question,
    *,
    alone: bool = False,
) -> Iterable[Finding]:
    """Yield ``findings``: those that ``elsewhere`` lacks with the answer they hang on, and the common ones.

    ``alone``: without the common ones.
    """
    known = {_key(finding) for finding in elsewhere}
    for finding in findings:
        if _key(finding) not in known:
            condition = f"If '{question.text}' is answered with {_word(answer)}: "
            yield replace(finding, reason=condition + finding.reason)
        elif not alone:
            yield finding


def _key(finding: Finding) -> tuple[object, ...]:
    about = finding.path, finding.account, finding.subject_package
    return (finding.rule, finding.severity, finding.change, finding.package, finding.script, *about)


def _note(result: RehearsalResult, other: OtherRun) -> str:
    question = other.question
    deleted = {change.path for change in result.changes if change.deleted}
    deleted_then = {change.path for change in other.result.changes if change.deleted}
    if question.asked:
        known = "it will be asked, so the worse outcome counts"
    else:
        known = f"nobody will be asked, the answer is {_word(question.answer)}"
    sentences = [f"{_name(question)} ('{shown(question.text)}') was rehearsed with both answers; {known}."]
    for answer, more in (
        (question.answer, deleted - deleted_then),
        (not question.answer, deleted_then - deleted),
    ):
        if more:
            first = shown(min(more))
            sentences.append(f"Only with {_word(answer)} {len(more)} paths are deleted, such as {first}.")
    if deleted == deleted_then:
        sentences.append("It makes no difference to what is deleted.")
    if not question.asked and other.judgement.verdict is Verdict.BLOCK:
        sentences.append(f"With {_word(not question.answer)} the transaction would be blocked.")
    if not other.result.complete and not other.result.ended_early:
        reasons = _reasons(other.result)
        sentences.append(f"With {_word(not question.answer)} it did not come to its end ({reasons}).")
    return " ".join(sentences)


def _reasons(result: RehearsalResult) -> str:
    return "; ".join(f"{unknown.what}: {unknown.reason}" for unknown in result.unknowns[:2])


def _name(question: Question) -> str:
    return f"the debconf question {shown(question.name)}"


def _word(answer: bool) -> str:
    return "yes" if answer else "no"
