# SPDX-License-Identifier: GPL-3.0-or-later
"""apt-announce: what is said before a run of apt, and what is told to the guard after it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hook_stage import INSTALL, PASS, REMOVE, Stage, daemon


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def announce(stage: Stage, *words: str) -> tuple[int, str]:
    process = stage.start(["apt-announce", *words])
    out, err = process.communicate(timeout=60)
    assert out == b""
    return process.returncode, err.decode()


def test_where_all_is_well_nothing_is_said_and_nobody_asked(stage: Stage) -> None:
    with daemon(stage, {"exit": 0, "text": "noise\n"}) as server:
        assert announce(stage) == (0, "")
    assert server.requests == []


def test_a_pause_is_announced_by_the_guard(stage: Stage) -> None:
    (stage.run / "pause").write_text(json.dumps({"until": int(time.time()) + 60, "reason": "x"}))
    answer = json.dumps({"exit": 0, "text": "PAUSED says the guard"})
    stage.set_engine(f"cat >{stage.directory}/request; echo '{answer}'\n")
    assert announce(stage) == (0, "PAUSED says the guard")
    assert json.loads((stage.directory / "request").read_text())["method"] == "Announce"


def test_a_pause_is_announced_even_by_a_broken_guard_in_one_line(stage: Stage) -> None:
    (stage.run / "pause").write_text(json.dumps({"until": int(time.time()) + 60, "reason": "x"}))
    code, text = announce(stage)
    assert (code, text.count("\n")) == (0, 1)
    assert "PAUSED until" in text


def test_a_missing_python_is_announced_and_stops_nothing(stage: Stage) -> None:
    stage.break_client("")
    code, text = announce(stage)
    assert (code, text.count("\n")) == (0, 1)
    assert "NOT GUARDED" in text


def test_the_end_of_a_run_takes_its_approval_away(stage: Stage) -> None:
    with daemon(stage, PASS) as server:
        stage.judge(INSTALL)
        assert announce(stage, "finish") == (0, "")
    assert stage.approvals() == []
    assert len(server.requests) == 1  # there was nothing to tell


def test_the_end_of_a_run_that_had_an_override_is_told_with_the_run(stage: Stage) -> None:
    with daemon(stage, {**PASS, "outcome": "pass by override"}) as server:
        stage.judge(REMOVE)
        announce(stage, "finish")
    judge, finish = server.requests
    assert finish["method"] == "io.github.aptguard.Finish"
    assert finish["parameters"]["run"] == judge["parameters"]["run"]
    assert finish["parameters"]["run"].startswith(f"{os.getpid()}-")


def test_the_end_of_a_run_fails_nothing_when_nobody_can_be_told(stage: Stage) -> None:
    with daemon(stage, {**PASS, "outcome": "pass by override"}):
        stage.judge(REMOVE)
    assert announce(stage, "finish")[0] == 0
    assert stage.approvals() == []


def test_the_end_of_somebody_elses_run_takes_nothing_away(stage: Stage) -> None:
    (stage.run / "approved").mkdir(mode=0o700)
    (stage.run / "approved" / f"{os.getpid()}-1").write_text("outcome pass\nend\n")
    assert announce(stage, "finish") == (0, "")
    assert len(stage.approvals()) == 1
