# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearsing again with the other answer, where a debconf question may decide whether data is deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from aptguard.policy.answers import OtherRun, other_answer, to_be_tried, with_other_run, with_untried
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Judgement, Verdict
from aptguard.rehearsal.model import RehearsalResult, Unknown
from aptguard.rehearsal.rehearse import RehearsalCancelledError
from aptguard.transaction.model import Transaction


class Trial(NamedTuple):
    """One rehearsal and what came of it; ``transaction`` with what dpkg turned out to take away."""

    transaction: Transaction
    result: RehearsalResult
    facts: Facts
    judgement: Judgement


def with_both_answers(first: Trial, tried: Callable[[dict[bytes, bytes]], Trial]) -> Trial:
    """Return ``first`` with a note for each question, and with what the other answers add to its judgement.

    ``tried`` rehearses and judges the transaction with other answers. Without a question of debconf in the
    result nothing is tried. What fails here makes no block less; else the verdict is unknown.
    Raises RehearsalCancelledError when nobody waits for the result any more.
    """
    result = first.result
    if not result.complete and first.judgement.verdict is Verdict.BLOCK:
        return first  # it was cut off, and no answer makes that better
    candidates, untried = to_be_tried(result.questions, first.transaction)
    judgement = with_untried(first.judgement, untried)
    for question in candidates:
        try:
            trial = tried(other_answer(question))
            other = OtherRun(question, trial.result, trial.judgement)
            judgement, note = with_other_run(judgement, result, other)
            result = replace(result, notes=(*result.notes, note))
        except RehearsalCancelledError:
            raise
        except Exception as error:
            failed = Unknown(f"the other answer to {question.name}", str(error) or type(error).__name__)
            verdict = Verdict.BLOCK if judgement.verdict is Verdict.BLOCK else Verdict.UNKNOWN
            judgement = Judgement(verdict, judgement.findings, (*judgement.unknowns, failed))
    return first._replace(result=result, judgement=judgement)
