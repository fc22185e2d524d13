# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearsing again with the other answer, where a debconf question may decide whether data is deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from aptguard.policy.answers import (
    CombinedRun,
    OtherRun,
    other_answers,
    to_be_combined,
    to_be_tried,
    with_combined_run,
    with_other_run,
    with_untried,
    with_untried_combinations,
)
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

    Each is tried alone, and those which a person will be asked all together as well. Combinations that are
    left untried are unknown.

    ``tried`` rehearses and judges the transaction with other answers. Without a question of debconf in the
    result nothing is tried. What fails here makes no block less; else the verdict is unknown.
    Raises RehearsalCancelledError when nobody waits for the result any more.
    """
    result = first.result
    if not result.complete and first.judgement.verdict is Verdict.BLOCK:
        return first  # it was cut off, and no answer makes that better
    candidates, untried = to_be_tried(result.questions, first.transaction)
    judgement = with_untried(first.judgement, untried)
    combined = to_be_combined((*candidates, *untried))
    judgement = with_untried_combinations(judgement, combined)
    for questions in (*((question,) for question in candidates), *filter(None, (combined,))):
        try:
            trial = tried(other_answers(questions))
            if questions == combined:
                both = CombinedRun(combined, trial.result, trial.judgement)
                judgement, note = with_combined_run(judgement, result, both)
            else:
                other = OtherRun(questions[0], trial.result, trial.judgement)
                judgement, note = with_other_run(judgement, result, other)
            result = replace(result, notes=(*result.notes, note))
        except RehearsalCancelledError:
            raise
        except Exception as error:
            names = ", ".join(question.name for question in questions)
            answers = "the other answer" if len(questions) == 1 else "the other answers together"
            failed = Unknown(f"{answers} to {names}", str(error) or type(error).__name__)
            verdict = Verdict.BLOCK if judgement.verdict is Verdict.BLOCK else Verdict.UNKNOWN
            judgement = Judgement(verdict, judgement.findings, (*judgement.unknowns, failed))
    return first._replace(result=result, judgement=judgement)
