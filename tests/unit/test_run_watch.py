# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run that was approved is over: its process, its approval, and a daemon that comes later."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from aptguard.guard import run_watch
from aptguard.guard.expectation import Expectation, ExpectedPackage
from aptguard.guard.run_watch import RunWatch, parent_run, start_time


def run_of(process: subprocess.Popen[bytes]) -> str:
    return f"{process.pid}-{start_time(str(process.pid))}"


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[bytes]:
    monkeypatch.setattr(run_watch, "APPROVALS", str(tmp_path / "approved"))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def watch(tmp_path: Path, ended: list[Expectation]) -> RunWatch[Expectation]:
    return RunWatch(ended.append, Expectation, directory=str(tmp_path / "runs"))


EXPECTED = Expectation("7F3K-92QX", 1, 0.0, ("toy",), packages=(ExpectedPackage("toy", "", "", "", ()),))


def test_a_run_is_over_when_its_process_has_ended(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    seen: list[Expectation] = []
    runs = watch(tmp_path, seen)
    assert runs.follow(run_of(sleeper), EXPECTED, of_apt=True)
    sleeper.kill()
    runs.follow_to_the_end(runs.waiting[0])
    assert seen == [EXPECTED]
    assert os.listdir(tmp_path / "runs") == []


def test_a_run_is_over_when_its_approval_is_taken_away_and_no_other_one(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    vanished: list[str] = []
    real = run_watch.vanished_names

    def recorded(descriptor: int) -> list[str]:
        names = list(real(descriptor))
        vanished.extend(names)
        return names

    monkeypatch.setattr(run_watch, "vanished_names", recorded)
    seen: list[Expectation] = []
    runs = watch(tmp_path, seen)
    runs.threaded = True
    run = run_of(sleeper)
    assert runs.follow(run, EXPECTED, of_apt=True)
    for name in ("1-1", "2-2", run):  # whoever goes at the first one never sees the second
        assert seen == []
        approval = tmp_path / "approved" / name
        approval.with_suffix(".new").touch()
        approval.with_suffix(".new").rename(approval)
        approval.unlink()
        for _ in range(1000):
            if name in vanished:
                break
            time.sleep(0.01)
        assert name in vanished
    while runs.following:
        time.sleep(0.01)
    assert seen == [EXPECTED]
    assert sleeper.poll() is None


def test_a_number_that_belongs_to_another_process_by_now_is_not_followed(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    runs = watch(tmp_path, [])
    assert not runs.follow(f"{sleeper.pid}-1", EXPECTED, of_apt=False)
    assert not runs.follow("peer 77", EXPECTED, of_apt=False)
    assert runs.waiting == []


def test_a_later_daemon_follows_what_a_dead_one_has_followed(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    run = run_of(sleeper)
    before = watch(tmp_path, [])
    assert before.follow(run, EXPECTED, of_apt=True)
    note = before._write(before.waiting[0])
    assert note is not None
    lost: list[Expectation] = []
    after = watch(tmp_path, [])

    def lose(_run: str, expected: Expectation) -> None:
        lost.append(expected)

    after.adopt(lose)
    assert after.waiting == []  # the one that follows it lives
    text = Path(note).read_text().replace(f'"{os.getpid()}-', '"1-')
    Path(note).write_text(text)
    (tmp_path / "approved" / run).touch()
    after.adopt(lose)
    assert [one.what for one in after.waiting] == [EXPECTED] and lost == []
    Path(note).write_text(text)
    after.adopt(lose, follow=False)
    assert len(after.waiting) == 1 and lost == []  # left for somebody who stays
    (tmp_path / "approved" / run).unlink()
    after.adopt(lose, follow=False)
    assert lost == [EXPECTED]  # over, and nobody has seen it
    assert os.listdir(tmp_path / "runs") == []


def test_the_run_that_a_call_of_dpkg_belongs_to_is_its_parents(sleeper: subprocess.Popen[bytes]) -> None:
    assert parent_run(run_of(sleeper)) == f"{os.getpid()}-{start_time(str(os.getpid()))}"
