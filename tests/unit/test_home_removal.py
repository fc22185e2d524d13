# SPDX-License-Identifier: GPL-3.0-or-later
"""When a deluser at its walk ends a rehearsal, and when it does not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from change_sets import default_policy

from aptguard.policy.check_attempts import attempt_findings
from aptguard.policy.finding import Severity
from aptguard.rehearsal.early_stop import EarlyStop
from aptguard.rehearsal.home_removal import HomeRemovals, account_of, home_in
from aptguard.rehearsal.model import Effect, RehearsalResult

DELUSER = (b"/usr/bin/perl", b"/usr/sbin/deluser")


@pytest.mark.parametrize(
    ("argv", "account"),
    [
        ((*DELUSER, b"--quiet", b"--remove-home", b"toy"), b"toy"),
        ((*DELUSER, b"--system", b"--remove-all-files", b"toy"), b"toy"),
        ((b"deluser", b"--remove-home", b"toy"), b"toy"),
        ((*DELUSER, b"toy"), None),
        ((*DELUSER, b"--remove-home", b"toy", b"group"), None),
        ((*DELUSER, b"--remove-home"), None),
        ((b"grep", b"deluser", b"--remove-home", b"a", b"b"), None),
        ((b"userdel", b"-r", b"toy"), None),
        ((), None),
    ],
)
def test_a_command_line_names_the_account_that_goes_with_its_home(
    argv: tuple[bytes, ...], account: bytes | None
) -> None:
    assert account_of(argv, lambda: False) == account


def test_the_configuration_may_ask_for_it_too() -> None:
    assert account_of((*DELUSER, b"toy"), lambda: True) == b"toy"


def test_a_home_is_the_sixth_field_made_plain() -> None:
    passwd = b"root:x:0:0::/root:/bin/sh\ntoy:x:99:99::/srv//data/:/bin/sh\nodd:x\n"
    assert home_in(passwd, b"toy") == b"/srv/data"
    assert home_in(passwd, b"odd") is None and home_in(passwd, b"nobody") is None


def test_an_attempt_is_a_finding_about_its_place() -> None:
    effect = Effect("attempt", "deluser was collecting", "toy postrm purge", b"/")
    result = RehearsalResult(steps=(), changes=(), complete=False, effects=(effect,))
    (finding,) = attempt_findings(result, default_policy())
    assert (finding.path, finding.change, finding.severity) == (b"/", "attempted", Severity.BLOCK)
    assert (finding.package, finding.script) == ("toy", "postrm purge")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"toy:x:99:99::{tmp_path}/home:/bin/sh\n")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def walking(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads a directory of the home, as the walk does."""
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    with subprocess.Popen(["sleep", "1000"], pass_fds=[fd]) as process:
        os.close(fd)
        yield process
        process.kill()


def removals(home: Path, stop: bytes, clock: Clock) -> HomeRemovals:
    found = HomeRemovals(EarlyStop([stop]).concerns, clock)
    found.attach(os.open(home.parent, os.O_RDONLY | os.O_DIRECTORY))
    return found


def test_a_walk_ends_the_run_after_its_grace(home: Path, walking: subprocess.Popen[bytes]) -> None:
    clock = Clock()
    found = removals(home, bytes(home / "data"), clock)
    assert found.seconds_until_stop() is None
    found.program_started(walking.pid, (*DELUSER, b"--remove-home", b"toy"), "toy postrm purge")
    assert found.seconds_until_stop() == 15.0
    clock.now += 14.0
    assert found.seconds_until_stop() == 1.0
    clock.now += 1.5
    assert found.seconds_until_stop() == 0.0
    (attempt,) = found.attempts
    assert (attempt.kind, attempt.path, attempt.cause) == ("attempt", bytes(home), "toy postrm purge")


def test_a_walk_that_comes_to_its_end_ends_nothing(home: Path, walking: subprocess.Popen[bytes]) -> None:
    clock = Clock()
    found = removals(home, bytes(home / "data"), clock)
    found.program_started(walking.pid, (*DELUSER, b"--remove-home", b"toy"), None)
    assert found.seconds_until_stop() == 15.0
    walking.kill()
    walking.wait()
    clock.now += 20.0
    assert found.seconds_until_stop() is None and found.attempts == ()


def test_a_home_where_nothing_decides_ends_nothing(home: Path, walking: subprocess.Popen[bytes]) -> None:
    found = removals(home, b"/somewhere/else", Clock())
    found.program_started(walking.pid, (*DELUSER, b"--remove-home", b"toy"), None)
    assert found.seconds_until_stop() is None


def test_a_deluser_that_has_not_begun_to_walk_is_looked_at_again(home: Path) -> None:
    clock = Clock()
    found = removals(home, bytes(home / "data"), clock)
    with subprocess.Popen(["sleep", "1000"]) as idle:
        found.program_started(idle.pid, (*DELUSER, b"--remove-home", b"toy"), None)
        clock.now += 60.0
        assert found.seconds_until_stop() == 0.2 and found.attempts == ()
        idle.kill()
