# SPDX-License-Identifier: GPL-3.0-or-later
"""A pause needs no ledger: when nothing can be written down, there must be a way to let apt pass."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aptguard.alerts.events import Event
from aptguard.alerts.message_ids import EventName
from aptguard.guard import pause_marker
from aptguard.guard.errors import GuardError
from aptguard.guard.peer import own_process
from aptguard.guard.service import Guard
from aptguard.guard.state import GuardState
from aptguard.ledger.override import Grantor, Pause


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Event]:
    monkeypatch.setattr(pause_marker, "DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr(pause_marker, "_MARKER", str(tmp_path / "run/pause"))
    told: list[Event] = []
    monkeypatch.setattr(GuardState, "send", lambda _state, event, _report=None: told.append(event))
    return told


def make_guard(tmp_path: Path) -> Guard:
    return Guard(state_directory=str(tmp_path / "state"))


def ask(guard: Guard, method: str, **parameters: Any) -> dict[str, Any]:
    return guard.dispatch(method, parameters, peer=own_process(), cancelled=threading.Event())


def make_unusable(tmp_path: Path) -> None:
    """Leave a ledger of a newer version: it can be neither read nor written."""
    os.makedirs(tmp_path / "state", exist_ok=True)
    connection = sqlite3.connect(tmp_path / "state/ledger.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()


def named(events: list[Event], name: EventName) -> list[Event]:
    return [event for event in events if event.name is name]


def test_a_pause_holds_where_the_ledger_cannot_be_used_and_ends_by_resume(
    tmp_path: Path, sent: list[Event]
) -> None:
    make_unusable(tmp_path)
    guard = make_guard(tmp_path)
    ask(guard, "Pause", reason="disk is full", seconds=600)
    assert "PAUSED" in ask(guard, "Announce")["text"]
    assert len(named(sent, EventName.PAUSED)) == 1
    ended = ask(guard, "Resume")["pause"]
    assert ended["reason"] == "disk is full"
    assert len(named(sent, EventName.RESUMED)) == 1
    assert ask(guard, "Announce")["text"] == ""
    with pytest.raises(GuardError, match="newer"):  # there may be one in the ledger: nobody can tell
        ask(guard, "Resume")


def test_a_pause_made_without_the_ledger_holds_when_the_ledger_is_back(
    tmp_path: Path, sent: list[Event]
) -> None:
    make_unusable(tmp_path)
    ask(make_guard(tmp_path), "Pause", reason="mending", seconds=600)
    os.unlink(tmp_path / "state/ledger.db")
    guard = make_guard(tmp_path)
    assert "mending" in ask(guard, "Announce")["text"]
    assert ask(guard, "Resume")["pause"]["reason"] == "mending"
    assert ask(guard, "Announce")["text"] == ""


def test_what_the_ledger_says_outweighs_a_marker_that_could_not_be_taken_away(
    tmp_path: Path, sent: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = make_guard(tmp_path)
    ask(guard, "Pause", reason="an hour", seconds=3600)
    monkeypatch.setattr("aptguard.guard.records.remove_marker", lambda: None)
    ask(guard, "Resume")
    assert os.path.exists(tmp_path / "run/pause")
    assert ask(guard, "Announce")["text"] == ""


def test_the_end_of_a_pause_that_only_the_marker_had_is_told_once(tmp_path: Path, sent: list[Event]) -> None:
    make_unusable(tmp_path)
    now = time.time()
    pause_marker.write_marker(Pause(now - 60, now - 1, "over", Grantor(0)), alone=True)
    guard = make_guard(tmp_path)
    for _ in range(2):
        assert ask(guard, "Announce")["text"] == ""
    (event,) = named(sent, EventName.RESUMED)
    assert "over" in event.message


def test_a_pause_goes_on_in_the_ledger_where_the_hooks_cannot_be_told(
    tmp_path: Path, sent: list[Event]
) -> None:
    (tmp_path / "run").write_text("a file where the directory should be\n")
    guard = make_guard(tmp_path)
    ask(guard, "Pause", reason="no /run", seconds=600)
    assert "no /run" in ask(guard, "Announce")["text"]
    assert len(named(sent, EventName.PAUSED)) == len(named(sent, EventName.DEGRADED)) == 1


def test_a_pause_is_refused_that_nobody_could_keep(tmp_path: Path, sent: list[Event]) -> None:
    make_unusable(tmp_path)
    (tmp_path / "run").write_text("a file where the directory should be\n")
    with pytest.raises(GuardError, match="cannot be left"):
        ask(make_guard(tmp_path), "Pause", reason="none", seconds=600)
    assert named(sent, EventName.PAUSED) == []


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"pause": {"until": "x"}, "alone": true}', b"\xff{"]
)
def test_a_marker_that_cannot_be_read_is_no_pause(tmp_path: Path, sent: list[Event], content: bytes) -> None:
    make_unusable(tmp_path)
    os.makedirs(tmp_path / "run")
    (tmp_path / "run/pause").write_bytes(content)
    assert ask(make_guard(tmp_path), "Announce")["text"] == ""
