# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings: written only where they are wanted, read by nobody else, judged the same again."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from change_sets import PURGE, TODAY, default_policy, facts, gone, link, result

from aptguard.guard.recording import DIRECTORY, Recording, read_recording, write_recording
from aptguard.policy.finding import Verdict
from aptguard.policy.judge import judge

RUN = result(gone("/srv/\udcff\n name/data"), gone("/usr/bin/toy", link(b"\xfe")))
KNOWN = facts(mine=["/usr/bin/toy"], owners={"/usr/bin/toy": "toy other"})


@pytest.fixture
def recording() -> Recording:
    judgement = judge(PURGE, RUN, KNOWN, default_policy(), TODAY)
    return Recording(PURGE, RUN, KNOWN, TODAY.isoformat(), judgement)


def test_a_recording_is_judged_the_same_again(tmp_path: Path, recording: Recording) -> None:
    (tmp_path / DIRECTORY).mkdir()
    write_recording(str(tmp_path), "7F3K-92QX", recording)
    again = read_recording(str(tmp_path / DIRECTORY / "7F3K-92QX.json"))
    assert again == recording
    assert again.judgement.verdict is Verdict.BLOCK
    assert again.judged_again(default_policy()) == recording.judgement
    other = replace(again, result=result())
    assert other.judged_again(default_policy()) != recording.judgement


def test_nothing_is_recorded_where_nobody_wants_it(tmp_path: Path, recording: Recording) -> None:
    write_recording(str(tmp_path), "7F3K-92QX", recording)
    assert os.listdir(tmp_path) == []


def test_a_recording_is_for_its_owner_only_and_follows_no_link(tmp_path: Path, recording: Recording) -> None:
    directory = tmp_path / DIRECTORY
    directory.mkdir()
    write_recording(str(tmp_path), "a", recording)
    assert stat.S_IMODE((directory / "a.json").stat().st_mode) == 0o600
    (directory / "b.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        write_recording(str(tmp_path), "b", recording)
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_no_recording_is_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"transaction": 7}')
    with pytest.raises(ValueError, match="transaction"):
        read_recording(str(tmp_path / "x.json"))
