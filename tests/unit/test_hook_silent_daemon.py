# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon that hangs, or is of another version: the engine answers, nobody waits for ever."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hook_stage import BLOCK, PASS, REMOVE, Daemon, Stage

from aptguard.cli import connection
from aptguard.guard.errors import GuardError
from aptguard.guard.service import Guard

STRANGER = b'{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"x"}}\0'


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def shorten(stage: Stage, name: str, seconds: float, file: str = "hooklib/conversation.py") -> None:
    """Make the time ``name`` of the hook's program a short one."""
    source = stage.libexec / file
    text, count = re.subn(rf"(?m)^{name} = [0-9.]+", f"{name} = {seconds}", source.read_text())
    assert count == 1
    source.write_text(text)


def hanging(after: bytes = b"") -> Callable[[dict[str, Any], socket.socket], None]:
    """Return an answer that says ``after``, and then nothing until the other side has hung up."""

    def answer(_request: dict[str, Any], channel: socket.socket) -> None:
        channel.sendall(after)
        channel.recv(1)

    return answer


def test_a_daemon_that_hangs_in_the_middle_is_left_for_the_engine(stage: Stage) -> None:
    shorten(stage, "SILENCE_SECONDS", 2.0)
    stage.set_engine(f"printf '%s\\n' '{json.dumps(BLOCK)}'\n")
    said = json.dumps({"parameters": {"progress": "rehearsing"}, "continues": True}).encode() + b"\0"
    server = Daemon(stage, hanging(said))
    assert stage.judge(REMOVE) == (10, "aptguard: BLOCKED\n")
    server.close()


def test_an_override_is_used_up_even_when_the_daemon_hangs_at_the_end_of_the_run(stage: Stage) -> None:
    stage.set_engine(f"echo '{json.dumps({**PASS, 'outcome': 'pass by override'})}'\n")
    assert stage.judge(REMOVE)[0] == 0
    shorten(stage, "SHORT_SECONDS", 2.0, "hook-client")
    stage.set_engine(f"cat >{stage.directory}/finished; echo '{json.dumps({'exit': 0, 'text': ''})}'\n")
    server = Daemon(stage, hanging())
    done = stage.start(["apt-announce", "finish"])
    assert done.communicate()[1] == b"" and done.returncode == 0
    request = json.loads((stage.directory / "finished").read_text())
    assert request["method"] == "Finish"
    assert request["parameters"]["run"].startswith(f"{os.getpid()}-")
    server.close()


def dpkg_judged(stage: Stage) -> int:
    client = [str(stage.python), "-IS", str(stage.libexec / "hook-client"), "dpkg", str(os.getpid())]
    return subprocess.run(client, stdout=subprocess.DEVNULL, check=False).returncode


def test_a_guard_that_does_not_know_the_question_is_no_verdict(stage: Stage) -> None:
    server = Daemon(stage, lambda _request, channel: channel.sendall(STRANGER))
    stage.set_engine('echo \'{"error": "InvalidParameter", "message": "The guard has no method x."}\'\n')
    assert dpkg_judged(stage) == 75
    server.close()


def test_a_command_that_a_daemon_of_another_version_does_not_know_is_done_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stranger(*_arguments: object, **_named: object) -> None:
        raise GuardError("org.varlink.service.MethodNotFound", "It has no such method.")

    monkeypatch.setattr(connection, "call", stranger)
    monkeypatch.setattr(connection.os, "geteuid", lambda: 0)
    monkeypatch.setattr(Guard, "dispatch", lambda *_arguments, **_named: {"pause": None})
    used = connection.Connection()
    assert used.call("Resume", {}) == {"pause": None}
    assert not used.through_daemon


@pytest.mark.parametrize(("method", "most"), [("Pause", 15.0), ("Show", 15.0), ("Status", 45.0)])
def test_a_command_does_not_wait_long_for_a_daemon_that_hangs(
    monkeypatch: pytest.MonkeyPatch, method: str, most: float
) -> None:
    asked: dict[str, Any] = {}

    def call(*_arguments: object, **named: object) -> dict[str, Any]:
        asked.update(named)
        return {}

    monkeypatch.setattr(connection, "call", call)
    connection.Connection().call(method, {})
    assert asked["silence_seconds"] <= most
