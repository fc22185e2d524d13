# SPDX-License-Identifier: GPL-3.0-or-later
"""What an administrator mistypes, and what may be wrong with the record: one sentence, the right code."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_command import make_report, write_command

from aptguard.cli import connection
from aptguard.cli.main import main
from aptguard.daemon.client import Unreachable
from aptguard.guard import records
from aptguard.guard.service import Guard
from aptguard.ledger.override import Grantor, findings_digest
from aptguard.ledger.store import Ledger
from aptguard.policy.finding import Verdict
from aptguard.report.model import Report

pytestmark = pytest.mark.needs_root

BLOCKED, ALLOWED = make_report(1), make_report(2, Verdict.ALLOW)
ERROR, USAGE = 1, 2
_captures: list[pytest.CaptureFixture[str]] = []


@pytest.fixture
def state() -> Iterator[Path]:
    # Not below pytest's directory, into which nobody else may look.
    with tempfile.TemporaryDirectory(prefix="aptguard-state-") as directory:
        os.chmod(directory, 0o755)
        ledger = Ledger(f"{directory}/state")
        ledger.record(BLOCKED)
        ledger.record(ALLOWED)
        ledger.close()
        yield Path(directory)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], state: Path) -> None:
    """Let ``run`` work on ``state`` without a daemon, and without a word to this machine's own hooks."""

    def nobody(*_arguments: object, **_named: object) -> None:
        raise Unreachable("a test has no daemon")

    monkeypatch.setattr(connection, "call", nobody)
    monkeypatch.setitem(Guard.__init__.__kwdefaults__, "state_directory", str(state / "state"))
    monkeypatch.setattr(records, "write_marker", lambda *_arguments: None, raising=False)
    monkeypatch.setattr(records, "remove_marker", lambda *_arguments: None, raising=False)
    _captures[:] = [capfd]


def run(_state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process; what goes to stderr for want of a journal is left out."""
    try:
        code = main(list(words))
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = _captures[0].readouterr()
    told = [line for line in err.splitlines(keepends=True) if not line.startswith("aptguard[")]
    return subprocess.CompletedProcess(list(words), code, out, "".join(told))


def run_outside(
    state: Path, *words: str, user: int | None = None, shell: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command as a program of its own."""
    command = write_command(state / "bin", state / "state")
    return subprocess.run(
        ["/bin/bash", "-c", f'set -o pipefail; "$@" {shell}', "bash", command, *words],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        user=user,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        cwd="/",
    )


def assert_one_sentence(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("aptguard: ")
    assert line.isprintable()
    for word in words:
        assert word in line


def grant(state: Path, report: Report, *, expires_in: float) -> None:
    ledger = Ledger(str(state / "state"))
    now = time.time()
    ledger.grant_override(
        report,
        findings_digest=findings_digest(report.findings, report.unknowns),
        granted_at=now - 3600,
        expires_at=now + expires_in,
        reason="x",
        grantor=Grantor(0),
    )
    ledger.close()


def test_an_id_that_nobody_knows(state: Path) -> None:
    for words in (["show", "2345-6789"], ["override", "2345-6789", "--reason", "x"]):
        assert_one_sentence(run(state, *words), USAGE, "2345-6789", "aptguard log")


@pytest.mark.parametrize("text", ["", "7F3K", "7F3K-92Q0", "7F3K-92QX-2", "a\x1b[2J\nb", "../../etc"])
def test_an_id_that_is_none(state: Path, text: str) -> None:
    assert_one_sentence(run(state, "show", text), USAGE)


def test_an_id_in_small_letters_and_without_its_hyphen_is_understood(state: Path) -> None:
    assert run(state, "show", BLOCKED.id.lower().replace("-", "")).returncode == 0


def test_an_override_of_what_was_allowed(state: Path) -> None:
    done = run(state, "override", ALLOWED.id, "--reason", "x")
    assert_one_sentence(done, USAGE, "nothing to override")


@pytest.mark.parametrize("reason", [[], ["--reason", ""], ["--reason", " \t "]])
def test_an_override_without_a_reason(state: Path, reason: list[str]) -> None:
    assert_one_sentence(run(state, "override", BLOCKED.id, *reason), USAGE, "reason")
    assert Ledger(str(state / "state")).overrides() == ()


def test_an_override_that_was_used_or_has_expired_or_was_revoked_cannot_be_revoked(state: Path) -> None:
    grant(state, BLOCKED, expires_in=-10)
    assert_one_sentence(run(state, "override", "--revoke", BLOCKED.id), USAGE, "expired")
    grant(state, BLOCKED, expires_in=600)
    ledger = Ledger(str(state / "state"))
    (override,) = (one for one in ledger.overrides() if one.state.value == "granted")
    ledger.apply_override(override.number, run="1-1", now=time.time())
    ledger.mark_overrides_used(now=time.time())
    ledger.close()
    assert_one_sentence(run(state, "override", "--revoke", BLOCKED.id), USAGE, "used up")
    grant(state, BLOCKED, expires_in=600)
    assert run(state, "override", "--revoke", BLOCKED.id).returncode == 0
    assert_one_sentence(run(state, "override", "--revoke", BLOCKED.id), USAGE, "revoked already")
    assert_one_sentence(run(state, "override", "--revoke", ALLOWED.id), USAGE, "no override")


@pytest.mark.parametrize("text", ["0", "soon", "1y", "-5min", "31d", "15 minutes", "\u0663min"])
def test_a_time_that_is_no_time(state: Path, text: str) -> None:
    for words in (
        ["pause", "--reason", "x", f"--for={text}"],
        ["override", BLOCKED.id, "--reason", "x", f"--for={text}"],
        ["log", f"--since={text.replace('31d', '31f')}"],  # a record may be older than a pause is long
    ):
        assert_one_sentence(run(state, *words), USAGE)


def test_a_number_that_is_too_small_or_too_large(state: Path) -> None:
    for number in ("0", "-3", "99999999999"):
        assert_one_sentence(run(state, "log", f"-n{number}"), USAGE)


@pytest.mark.parametrize(
    "words", [["chek"], ["log", "--verdict", "bad"], ["check", "purg", "x"], ["sho\x1b[2Jw", "x"], ["\udcff"]]
)
def test_a_word_that_is_not_known(state: Path, words: list[str]) -> None:
    assert_one_sentence(run(state, *words), USAGE)


def test_somebody_who_is_not_root_is_told_so(state: Path) -> None:
    for words in (["log"], ["override", BLOCKED.id, "--reason", "x"]):
        assert_one_sentence(run_outside(state, *words, user=65534), ERROR, "root", "sudo")


def test_a_closed_pipe_ends_the_command_without_a_word(state: Path) -> None:
    ledger = Ledger(str(state / "state"))
    for number in range(100):
        ledger.record(make_report(number))
    ledger.close()
    for words in (["log", "-n", "400"], ["log", "-n", "400", "--json"], ["show", BLOCKED.id], ["--help"]):
        done = run_outside(state, *words, shell="| head -c 1")
        assert (done.returncode, done.stderr) == (0, ""), words
        closed = run_outside(state, *words, shell=">&-")
        assert closed.returncode in (0, ERROR) and "Traceback" not in closed.stderr, closed


def test_a_verdict_that_nobody_reads_to_its_end_is_still_the_exit_code(state: Path) -> None:
    for words, code in ((["policy", "test", "/etc/shadow", "/root"], 10), (["policy", "test", "/tmp/x"], 0)):
        for reader in ("| true", "| head -c 1", "2>&1 | head -c 1"):
            done = run_outside(state, *words, shell=reader)
            assert done.returncode == code, (words, reader)
            assert "Traceback" not in done.stderr and "pipe" not in done.stderr


def test_a_full_disk_under_the_output_is_an_error_and_no_traceback(state: Path) -> None:
    done = run_outside(state, "log", shell="> /dev/full")
    assert done.returncode == ERROR
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(state: Path) -> None:
    path = state / "state" / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    for words in (["log"], ["show", BLOCKED.id], ["override", BLOCKED.id, "--reason", "x"], ["resume"]):
        assert_one_sentence(run(state, *words), ERROR, "newer")
    assert path.read_bytes() == before


def test_names_with_control_characters_stay_on_their_line(state: Path) -> None:
    ledger = Ledger(str(state / "state"))
    ledger.record(make_report(7, user="eve\n\x1b[31mroot", host="h\nx"))
    ledger.close()
    for words in (["log"], ["show", make_report(7).id], ["log", "--json"]):
        text = run(state, *words).stdout
        assert "\x1b" not in text and "\nroot" not in text


def test_a_page_that_cannot_be_written(state: Path) -> None:
    done = run(state, "show", BLOCKED.id, "--html", "/nonexistent/page.html")
    assert_one_sentence(done, USAGE, "/nonexistent/page.html", "No such file")
