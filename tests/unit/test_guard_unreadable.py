# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot even be read is decided as every other unknown transaction that takes packages away."""

from __future__ import annotations

import base64
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aptguard.alerts.events import Event
from aptguard.alerts.message_ids import EventName
from aptguard.guard import service
from aptguard.guard import state as state_module
from aptguard.guard.peer import own_process
from aptguard.guard.service import Guard
from aptguard.guard.state import GuardState
from aptguard.ledger.override import Grantor, Pause
from aptguard.policy.layers import PolicyPaths

HEADER = b"VERSION 3\nDir=/\nDir::Cache=/tmp/one\n\n"
NO_PATH = b"toy - - none < 1.0 all none **ERROR**\n"


class Stage:
    """A guard with a policy of its own, whose events are kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sent: list[Event] = []
        self.policy("")

    def policy(self, text: str) -> None:
        (self.directory / "policy.toml").write_text(text)
        shipped = str(Path(service.__file__).parent.parent / "policy/shipped")
        paths = PolicyPaths(
            shipped, *(str(self.directory / name) for name in ("policy.toml", "policy.d", "last"))
        )
        self.guard = Guard(state_directory=str(self.directory / "state"), policy_paths=paths)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.guard.dispatch(method, parameters, peer=own_process(), cancelled=threading.Event())

    def judge(self, data: bytes = HEADER + NO_PATH, *, run: str = "1-1", **more: Any) -> dict[str, Any]:
        encoded = base64.b64encode(data).decode()
        return self.ask("JudgeApt", input=encoded, frontend=["apt-get", "purge", "toy"], run=run, **more)

    def events(self, name: EventName) -> list[Event]:
        return [event for event in self.sent if event.name is name]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path)
    monkeypatch.setattr(GuardState, "send", lambda _state, event, _report=None: made.sent.append(event))
    monkeypatch.setattr(service, "expect_rehearsal", lambda: None)
    return made


def test_what_cannot_be_read_is_stopped_recorded_and_told_with_the_reason(stage: Stage) -> None:
    reply = stage.judge()
    assert (reply["exit"], reply["verdict"], reply["outcome"]) == (10, "unknown", "stop by doubts")
    text = " ".join(reply["text"].split())
    for words in ("BLOCKED - nothing has been changed", "--no-download", f"aptguard override {reply['id']}"):
        assert words in text
    (event,) = stage.events(EventName.UNKNOWN)
    assert event.fields["OUTCOME"] == ("stop by doubts",) and event.fields["ID"] == (reply["id"],)
    assert "Pathname to install is not absolute" in event.message
    (summary,) = stage.ask("Log")["reports"]
    assert (summary["id"], summary["verdict"]) == (reply["id"], "unknown")


def test_a_look_at_the_accounts_that_fails_costs_no_verdict(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_policy: object) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(state_module, "dormant_accounts", failing)
    assert stage.judge()["verdict"] == "unknown"
    (event,) = stage.events(EventName.DEGRADED)
    assert "odd" in event.message


@pytest.mark.parametrize(
    ("policy", "paused", "outcome"),
    [
        ("", True, "pass while paused"),
        ('mode = "report"', False, "pass in report mode"),
        ('when_unable = "allow"', False, "pass with doubts"),
    ],
)
def test_it_passes_by_the_same_leave_as_all_else_and_nothing_says_blocked(
    stage: Stage, policy: str, paused: bool, outcome: str
) -> None:
    stage.policy(policy)
    if paused:
        now = time.time()
        stage.guard._state.ledger.set_pause(Pause(now, now + 600, "test", Grantor(0)))
    reply = stage.judge()
    assert (reply["exit"], reply["verdict"], reply["outcome"]) == (0, "unknown", outcome)
    assert "BLOCKED" not in reply["text"] and len(reply["text"].splitlines()) == 1
    assert reply["as_one"] is (outcome == "pass with doubts")
    assert reply["everything"] is True  # no call of this run may be stopped half-way
    (event,) = stage.events(EventName.UNKNOWN)
    assert event.fields["OUTCOME"] == (outcome,)


def test_an_override_lets_it_through_once_and_nothing_else(stage: Stage) -> None:
    first = stage.judge()
    stage.ask("GrantOverride", id=first["id"], reason="read by hand")
    other = stage.judge(HEADER + b"heir" + NO_PATH)
    assert (other["exit"], other["id"] == first["id"]) == (10, False)
    configured = HEADER.replace(b"one", b"another")  # where apt works for the moment
    again = stage.judge(configured + NO_PATH, run="2-2")
    assert (again["exit"], again["outcome"], again["id"]) == (0, "pass by override", first["id"])
    assert again["as_one"] is True
    stage.ask("Finish", run="2-2")
    assert stage.judge()["exit"] == 10


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("install", 0),
        ("unpack", 0),
        ("configure", 0),
        ("triggers-only", 0),
        ("remove", 10),
        ("purge", 10),
        ("", 10),
    ],
)
def test_a_call_of_dpkg_that_nobody_can_see_is_stopped_where_it_may_take_something_away(
    stage: Stage, action: str, code: int
) -> None:
    reply = stage.ask("JudgeDpkg", argv=[], action=action, run="1-")
    assert (reply["exit"], reply["verdict"]) == (code, "unknown")
    assert "mount -t proc proc /proc" in " ".join(reply["text"].split())


def test_an_override_of_a_call_that_nobody_can_see_lets_no_other_through(stage: Stage) -> None:
    first = stage.ask("JudgeDpkg", argv=[], action="purge", run="1-")
    stage.ask("GrantOverride", id=first["id"], reason="it was mine")
    assert stage.ask("JudgeDpkg", argv=[], action="purge", run="1-")["exit"] == 10


@pytest.mark.parametrize(
    ("words", "said", "reason"),
    [
        (["--root=/usr", "--force-all", "-P", "toy"], {}, "scripts would run outside of that root"),
        (["-P", "toy"], {"root": "/usr", "admindir": "/usr"}, ""),
        (
            ["-P", "toy"],
            {"root": "/usr", "admindir": "/usr", "environment": {"DPKG_FORCE": "script-chrootless"}},
            "scripts would run outside of that root",
        ),
        (["-P", "toy"], {"root": "/usr", "admindir": "/var/lib/dpkg"}, "own package database"),
        (["-P", "toy"], {"root": "", "admindir": "/usr"}, "another package database"),
    ],
)
def test_a_call_that_works_on_parts_of_two_machines_is_stopped_and_on_another_one_left_alone(
    stage: Stage, words: list[str], said: dict[str, Any], reason: str
) -> None:
    reply = stage.ask("JudgeDpkg", argv=["dpkg", *words], action="purge", run="1-1", **said)
    if not reason:
        assert (reply["exit"], reply["outcome"]) == (0, "not this machine")
        return
    assert (reply["exit"], reply["verdict"]) == (10, "unknown")
    assert reason in " ".join(reply["text"].split())


def test_a_missing_archive_is_said_in_one_line_and_is_no_event(stage: Stage) -> None:
    reply = stage.ask("JudgeDpkg", argv=["dpkg", "-i", "/no/such.deb"], action="install", run="1-1")
    assert (reply["exit"], reply["id"]) == (10, "")
    assert reply["text"].splitlines() == [
        "aptguard: stopped, nothing has been changed: there is no file /no/such.deb"
    ]
    assert stage.sent == [] and stage.ask("Log")["reports"] == []


@pytest.mark.parametrize("policy", ['mode = "report"', 'when_unable = "allow"'])
def test_a_missing_archive_stops_nothing_where_nothing_is_to_be_stopped(stage: Stage, policy: str) -> None:
    stage.policy(policy)
    assert (
        stage.ask("JudgeDpkg", argv=["dpkg", "-i", "/no/such.deb"], action="install", run="1-1")["exit"] == 0
    )


def test_a_missing_archive_stops_nothing_during_a_pause(stage: Stage) -> None:
    now = time.time()
    stage.guard._state.ledger.set_pause(Pause(now, now + 600, "test", Grantor(0)))
    assert (
        stage.ask("JudgeDpkg", argv=["dpkg", "-i", "/no/such.deb"], action="install", run="1-1")["exit"] == 0
    )


def test_an_archive_that_is_there_and_is_none_is_told_as_ever(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "odd.deb").write_text("no archive")
    words = ["dpkg", "-i", "odd.deb"]
    reply = stage.ask("JudgeDpkg", argv=words, action="install", run="1-1", cwd=str(tmp_path))
    assert (reply["exit"], reply["verdict"]) == (10, "unknown")
    assert "cannot be read as a Debian archive" in " ".join(reply["text"].split())


def test_a_call_of_dpkg_that_cannot_be_prepared_is_stopped_with_an_id(stage: Stage) -> None:
    reply = stage.ask("JudgeDpkg", argv=["dpkg", "--remove", "toy"], environment={"A": 1}, run="1-1")
    assert (reply["exit"], reply["verdict"]) == (10, "unknown")
    assert stage.ask("Show", id=reply["id"])["report"]["transaction"]["command_line"] == "dpkg --remove toy"
