# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer to a judged transaction: override, pause and mode applied, record and alert made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, assert_never

from aptguard.alerts.events import event_from_report
from aptguard.guard.decision import OWN_LIBRARIES, Outcome, decide, takes_only_itself_away
from aptguard.guard.state import GuardState
from aptguard.ledger.override import Override, Pause, findings_digest
from aptguard.policy.finding import Verdict
from aptguard.policy.model import Policy
from aptguard.report import text
from aptguard.report.model import Report
from aptguard.report.style import Style
from aptguard.transaction.model import Transaction

REFUSED = 10


def admit(
    state: GuardState,
    report: Report,
    policy: Policy,
    *,
    run: str,
    style: Style,
    removals_known: bool = True,
    after_others: bool = False,
    approved: Callable[[Report, int | None], None],
) -> dict[str, Any]:
    """Record ``report``, send its event and return the hook's reply.

    It has exit, text, verdict, outcome, id, and as_one: whether it passes as a whole only.
    ``run`` names the run of the package manager; an override that lets it pass is used up when that run
    has ended, not now. ``approved`` is called before a good answer, with the report and its number in the
    ledger. Without ``removals_known`` it may take away packages that its items do not name. ``after_others``:
    it is a call of dpkg, and others of the same run may have been carried out before it.
    """
    state.end_what_is_over()
    now = time.time()
    override = _override(state, report, run, now) if report.verdict is not Verdict.ALLOW else None
    pause = state.pause_in_force()
    outcome = decide(
        report.verdict,
        report.transaction,
        mode=policy.mode,
        when_unable=policy.when_unable,
        overridden=override is not None,
        paused=pause is not None,
        removals_known=removals_known,
    )
    number = state.in_ledger(lambda ledger: ledger.record(report), None)
    state.prune(policy.limits.keep_days)
    state.send(event_from_report(report, outcome.value, override=override, pause=pause), report)
    state.tell_dangers(policy)
    if outcome.passes:
        approved(report, number)
    return {
        "exit": 0 if outcome.passes else REFUSED,
        "text": _text(outcome, report, policy, style, override, pause, after_others),
        "verdict": report.verdict.value,
        "outcome": outcome.value,
        "id": report.id,
        "as_one": _as_one(outcome, report.transaction),
    }


def _as_one(outcome: Outcome, transaction: Transaction) -> bool:
    """Whether it passes as a whole only: a call of dpkg, judged by itself, could be stopped.

    An override says nothing of it, and an unknown verdict is decided by what the call may take away.
    """
    if takes_only_itself_away(transaction, OWN_LIBRARIES):
        return False
    return outcome in (Outcome.PASS_BY_OVERRIDE, Outcome.PASS_WITH_DOUBTS)


def _override(state: GuardState, report: Report, run: str, now: float) -> Override | None:
    digest = findings_digest(report.findings, report.unknowns)
    override = state.in_ledger(
        lambda ledger: ledger.override_for(report.fingerprint, digest, now),
        None,
    )
    if override is None:
        return None
    applied = state.in_ledger(lambda ledger: ledger.apply_override(override.number, run=run, now=now), False)
    return override if applied else None


def _text(
    outcome: Outcome,
    report: Report,
    policy: Policy,
    style: Style,
    override: Override | None,
    pause: Pause | None,
    after_others: bool,
) -> str:
    match outcome:
        case Outcome.PASS:
            return text.passed_with_warnings(report, style) if report.findings else ""
        case Outcome.PASS_WITH_DOUBTS:
            if report.unknowns:
                return text.passed_with_doubts(report, style)
            return text.passed_with_warnings(report, style)
        case Outcome.PASS_BY_OVERRIDE:
            assert override is not None
            return text.passed_by_override(report, style, override.reason, override.grantor.name)
        case Outcome.PASS_WHILE_PAUSED:
            assert pause is not None
            return text.passed_while_paused(report, style, pause.until)
        case Outcome.PASS_IN_REPORT_MODE:
            return text.passed_in_report_mode(report, style)
        case Outcome.STOP | Outcome.STOP_BY_DOUBTS:
            return text.refusal(
                report,
                style,
                override_minutes=policy.limits.override_minutes,
                by_unknown=outcome is Outcome.STOP_BY_DOUBTS,
                after_others=after_others,
            )
        case _:
            assert_never(outcome)
