# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot even be read is stopped, or passes while paused, and its event says which."""

from __future__ import annotations

import base64
import threading
import time
from typing import Any

import pytest

from aptguard.alerts.events import Event
from aptguard.alerts.message_ids import EventName
from aptguard.guard import service
from aptguard.guard.peer import own_process
from aptguard.guard.service import Guard
from aptguard.guard.state import GuardState
from aptguard.ledger.override import Grantor, Pause

NO_PATH = b"VERSION 3\nDir=/\n\ntoy - - none < 1.0 all none **ERROR**\n"


@pytest.mark.parametrize(
    ("paused", "exit_code", "outcome"), [(False, 10, "stop by doubts"), (True, 0, "pass while paused")]
)
def test_the_event_about_what_cannot_be_read_has_its_outcome(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, paused: bool, exit_code: int, outcome: str
) -> None:
    sent: list[Event] = []
    monkeypatch.setattr(GuardState, "send", lambda _state, event, _report=None: sent.append(event))
    monkeypatch.setattr(service, "expect_rehearsal", lambda: None)
    guard = Guard(state_directory=str(tmp_path / "state"))
    if paused:
        now = time.time()
        guard._state.ledger.set_pause(Pause(now, now + 600, "test", Grantor(0)))
    reply = guard.dispatch(
        "JudgeApt",
        {"input": base64.b64encode(NO_PATH).decode(), "frontend": ["apt-get"]},
        peer=own_process(),
        cancelled=threading.Event(),
    )
    assert reply["exit"] == exit_code
    assert "--no-download" in reply["text"].replace("\n", " ")
    (event,) = [one for one in sent if one.name is EventName.UNKNOWN]
    assert event.fields["OUTCOME"] == (outcome,)
    assert "Pathname to install is not absolute" in event.message
