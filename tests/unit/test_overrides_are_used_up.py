# SPDX-License-Identifier: GPL-3.0-or-later
"""An override is used up by the run that it let through, whichever hook asked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from own_command import make_report

from aptguard.alerts.events import Event
from aptguard.alerts.message_ids import EventName
from aptguard.guard.aftermath import Aftermath
from aptguard.guard.expectation import Expectation
from aptguard.guard.state import GuardState
from aptguard.ledger.override import Grantor, OverrideState, findings_digest
from aptguard.report.model import RealRun, RunEnd

RUN = "4711-1"


@pytest.mark.parametrize(
    ("end", "of_dpkg", "used"),
    [
        (RunEnd.AS_REHEARSED, False, True),
        (RunEnd.DIVERGED, False, True),
        (RunEnd.HALF_WAY, True, True),
        (RunEnd.NOT_BEGUN, False, False),  # another hook of apt's has stopped it
        (RunEnd.NOT_BEGUN, True, False),
        (RunEnd.NOT_COMPARED, False, False),  # it may have been
        (RunEnd.NOT_COMPARED, True, True),
    ],
)
def test_what_becomes_of_an_override_when_the_run_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: RunEnd, of_dpkg: bool, used: bool
) -> None:
    sent: list[Event] = []
    monkeypatch.setattr(GuardState, "send", lambda _state, event, _report=None: sent.append(event))
    state = GuardState(str(tmp_path / "state"))
    report, now = make_report(), time.time()
    override = state.ledger.grant_override(
        report,
        findings_digest=findings_digest(report.findings),
        granted_at=now,
        expires_at=now + 600,
        reason="test",
        grantor=Grantor(0),
    )
    assert state.ledger.apply_override(override.number, run=RUN, now=now)
    expected = Expectation(report.id, None, now, ("toy",), overrides_of=RUN, of_dpkg=of_dpkg)
    Aftermath(state)._note(expected, RealRun(now, end, "test"))
    (after,) = state.ledger.overrides()
    assert after.state is (OverrideState.USED if used else OverrideState.GRANTED)
    assert len([one for one in sent if one.name is EventName.OVERRIDE_USED]) == used
