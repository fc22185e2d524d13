# SPDX-License-Identifier: GPL-3.0-or-later
"""apt-hook, run as apt runs it, against a real socket."""

from __future__ import annotations

import base64
import json
import os
import pty
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hook_stage import BLOCK, INSTALL, PASS, REMOVE, Daemon, Stage, daemon, progress

ENGINE_PASSES = f"cat >/dev/null; printf '%s\\n' '{json.dumps(PASS)}'\n"
ENGINE_BLOCKS = f"cat >/dev/null; printf '%s\\n' '{json.dumps(BLOCK)}'\n"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_an_allowed_transaction_passes_in_silence(stage: Stage) -> None:
    with daemon(stage, PASS):
        assert stage.judge(REMOVE) == (0, "")


def test_a_blocked_transaction_stops_apt_with_the_guards_text(stage: Stage) -> None:
    with daemon(stage, BLOCK):
        assert stage.judge(REMOVE) == (10, "aptguard: BLOCKED\n")


def test_the_daemon_gets_every_byte_and_the_surroundings(stage: Stage) -> None:
    data = REMOVE + b"x" * 200_000 + b"\xff\n"
    with daemon(stage, PASS) as server:
        stage.judge(data, cwd="/usr", umask=0o027, env={"LC_ALL": "C.UTF-8", "ODD": "\udcff"})
    (request,) = server.requests
    parameters = request["parameters"]
    assert request["method"] == "io.github.aptguard.JudgeApt"
    assert request["more"] is True
    assert base64.b64decode(parameters["input"]) == data
    assert parameters["cwd"] == "/usr"
    assert parameters["umask"] == 0o027
    assert parameters["environment"]["ODD"] == "\udcff"
    assert parameters["terminal"] is False
    assert parameters["colour"] is False
    assert parameters["ascii"] is False


def test_the_front_end_is_the_process_above_the_shells(stage: Stage) -> None:
    with daemon(stage, PASS) as server:
        stage.judge(REMOVE)
    parameters = server.requests[0]["parameters"]
    own = Path("/proc/self/cmdline").read_bytes().decode().split("\0")[:-1]
    assert parameters["frontend"] == own
    assert parameters["run"].startswith(f"{os.getpid()}-")


def test_the_mount_namespace_comes_with_the_message(stage: Stage) -> None:
    with daemon(stage, PASS) as server:
        stage.judge(REMOVE)
    (namespace,) = server.namespaces
    assert namespace.st_ino == os.stat("/proc/self/ns/mnt").st_ino


def test_progress_is_not_shown_where_there_is_no_terminal(stage: Stage) -> None:
    with daemon(stage, progress("rehearsing"), PASS):
        assert stage.judge(REMOVE) == (0, "")


def on_a_terminal(stage: Stage, server_answers: Any) -> tuple[int, bytes]:
    ours, theirs = pty.openpty()
    server = Daemon(stage, server_answers)
    process = stage.start(["apt-hook"], REMOVE, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # EIO: the other side is closed
        pass
    server.close()
    os.close(ours)
    return process.wait(timeout=60), seen


def test_progress_is_one_line_that_is_taken_away(stage: Stage) -> None:
    def answer(request: dict[str, Any], connection: socket.socket) -> None:
        for text in ("preparing", "running\x1b[31m toy.prerm", "judging"):
            connection.sendall(progress(text))
            time.sleep(0.4)  # later than the delay before the line appears, not measured
        connection.sendall(json.dumps({"parameters": BLOCK}).encode() + b"\0")

    code, seen = on_a_terminal(stage, answer)
    assert code == 10
    before, _, last = seen.rpartition(b"\r")
    assert last == b"\n" or b"BLOCKED" in seen
    assert b"aptguard: running?[31m toy.prerm" in before
    assert b"\x1b" not in seen
    shown = max(len(part) for part in before.split(b"\r") if b"BLOCKED" not in part)
    assert b"\r" + b" " * len("aptguard: judging") in seen
    assert shown <= 80


def test_a_quick_answer_shows_no_progress(stage: Stage) -> None:
    def answer(request: dict[str, Any], connection: socket.socket) -> None:
        connection.sendall(progress("rehearsing") + json.dumps({"parameters": PASS}).encode() + b"\0")

    assert on_a_terminal(stage, answer) == (0, b"")


@pytest.mark.parametrize(
    "replies",
    [
        (),
        (progress("x"),),
        (b"no json\0",),
        (b"[]\0",),
        (b'{"parameters": 1}\0',),
        (b'{"error": "io.github.aptguard.OtherRoot", "parameters": {}}\0',),
        ({"exit": 3, "text": ""},),
        ({"exit": "0", "text": ""},),
        ({"exit": False, "text": ""},),
        ({"exit": 0.0, "text": ""},),
        ({"exit": 0},),
        (b"{" * 1000,),
    ],
)
def test_a_daemon_that_gives_no_verdict_is_replaced_by_the_engine(
    stage: Stage, replies: tuple[Any, ...]
) -> None:
    stage.set_engine(ENGINE_BLOCKS)
    with daemon(stage, *replies):
        assert stage.judge(REMOVE) == (10, "aptguard: BLOCKED\n")
    stage.set_engine(ENGINE_PASSES)


def test_without_a_daemon_the_engine_gets_the_same_question(stage: Stage) -> None:
    stage.set_engine(f"cat >{stage.directory}/request; echo '{json.dumps(PASS)}'\n")
    assert stage.judge(REMOVE) == (0, "")
    request = json.loads((stage.directory / "request").read_bytes())
    assert request["method"] == "JudgeApt"
    assert base64.b64decode(request["parameters"]["input"]) == REMOVE


def test_a_socket_that_nobody_serves_is_no_daemon(stage: Stage) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stage.run / "io.github.aptguard"))
    stage.set_engine(ENGINE_PASSES)
    assert stage.judge(REMOVE) == (0, "")


def test_a_silent_daemon_is_left_for_the_engine(stage: Stage) -> None:
    source = stage.libexec / "hooklib" / "conversation.py"
    source.write_text(source.read_text().replace("FIRST_BYTE_SECONDS = 15.0", "FIRST_BYTE_SECONDS = 0.2"))
    stage.set_engine(ENGINE_BLOCKS)
    server = Daemon(stage, lambda request, connection: server.hung_up.wait(30) and None)
    assert stage.judge(REMOVE)[0] == 10
    server.hung_up.set()
    server.close()


@pytest.mark.parametrize(
    "engine", ["exit 1\n", "cat >/dev/null; echo '{}'\n", "kill -SEGV $$\n", "echo nonsense\n", ""]
)
def test_where_nobody_can_judge_a_removal_is_stopped_and_told_the_ways_out(stage: Stage, engine: str) -> None:
    if engine:
        stage.set_engine(engine)
    code, text = stage.judge(REMOVE)
    assert code == 10
    assert "nothing has been changed" in text
    assert "apt-get purge aptguard" in text
    assert "aptguard pause" in text
    assert "/etc/apt/apt.conf.d/05aptguard" in text
    assert stage.approvals() == []


def test_where_nobody_can_judge_a_run_without_removals_goes_on_loudly(stage: Stage) -> None:
    code, text = stage.judge(INSTALL)
    assert code == 0
    assert "NOT JUDGED" in text
    assert "\neverything\n" in stage.approvals()[0]


def removals(*names: str) -> bytes:
    head = REMOVE.partition(b"\n\n")[0] + b"\n\n"
    return head + b"".join(f"{name} 1 all none > - - none **REMOVE**\n".encode() for name in names)


def test_where_nobody_can_judge_aptguard_itself_can_be_removed(stage: Stage) -> None:
    assert stage.judge(removals("aptguard"))[0] == 0
    assert stage.judge(removals("python3-structlog", "aptguard", "python3-pydantic"))[0] == 0
    assert stage.judge(removals("python3-pydantic"))[0] == 10
    assert stage.judge(removals("aptguard", "bash"))[0] == 10
    assert stage.judge(removals("aptguardian"))[0] == 10


def test_an_archive_named_like_a_removal_is_none(stage: Stage) -> None:
    odd = INSTALL.replace(b"toy_1%3a0.deb", b"x **REMOVE**")
    assert stage.judge(odd)[0] == 0


def pause(stage: Stage, until: float) -> None:
    (stage.run / "pause").write_text(json.dumps({"until": until, "reason": "test until tomorrow"}))


def test_a_pause_counts_even_when_nobody_can_judge(stage: Stage) -> None:
    pause(stage, time.time() + 3600)
    code, text = stage.judge(REMOVE)
    assert code == 0
    assert "paused" in text


def test_a_pause_that_is_over_counts_no_more(stage: Stage) -> None:
    pause(stage, time.time() - 1)
    assert stage.judge(REMOVE)[0] == 10


@pytest.mark.parametrize("data", [b"", b"/x/toy.deb\n", b"VERSION 2\n\n", b"\0\0", b"VERSION 30\n\n"])
def test_where_nobody_can_judge_unreadable_input_counts_as_a_removal(stage: Stage, data: bytes) -> None:
    assert stage.judge(data)[0] == 10


@pytest.mark.parametrize(
    ("interpreter", "code"),
    [
        ("exit 1\n", 10),
        ("exit 2\n", 10),
        ("kill -SEGV $$\n", 10),
        ("kill -KILL $$\n", 10),
        ("head -c 20 <&9 >/dev/null; exit 1\n", 10),
        ("cat <&9 >/dev/null; exit 1\n", 10),
        ("exit 126\n", 0),
        ("exit 127\n", 0),
        ("", 0),
    ],
)
def test_a_python_that_fails_stops_removals_and_one_that_is_gone_stops_nothing(
    stage: Stage, interpreter: str, code: int
) -> None:
    stage.break_client(interpreter)
    assert stage.judge(REMOVE)[0] == code


def test_a_python_that_fails_before_it_reads_leaves_the_rule_its_input(stage: Stage) -> None:
    stage.break_client("exit 1\n")
    code, text = stage.judge(INSTALL)
    assert (code, "removes nothing" in text) == (0, True)
    assert stage.judge(removals("aptguard"))[0] == 0


@pytest.mark.parametrize(
    ("asked", "code"),
    [(REMOVE, 10), (INSTALL, 0), (removals("aptguard"), 0)],
    ids=["heir", "install", "self"],
)
def test_a_python_that_dies_after_it_has_read_leaves_the_rule_its_input(
    stage: Stage, asked: bytes, code: int
) -> None:
    (stage.libexec / "hooklib" / "conversation.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    assert stage.judge(asked)[0] == code


def test_the_rule_needs_no_program(stage: Stage) -> None:
    stage.break_client("exit 1\n")
    without_programs = {"PATH": str(stage.directory / "nothing")}
    code, text = stage.judge(REMOVE, env=without_programs)
    assert (code, "aptguard pause" in text) == (10, True)


def test_a_missing_part_of_the_client_is_a_guard_that_cannot_judge(stage: Stage) -> None:
    (stage.libexec / "hooklib" / "conversation.py").write_text("import nothing_of_that_name\n")
    assert stage.judge(REMOVE)[0] == 10
    assert stage.judge(INSTALL)[0] == 0


def test_the_scripts_that_are_half_removed_stop_nothing(stage: Stage) -> None:
    (stage.libexec / "hooklib" / "rules.sh").unlink()
    assert stage.judge(REMOVE)[0] == 0


def test_an_allowed_run_leaves_an_approval_for_this_process_alone(stage: Stage) -> None:
    with daemon(stage, PASS):
        stage.judge(INSTALL)
    (file,) = (stage.run / "approved").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (stage.run / "approved").stat().st_mode & 0o777 == 0o700
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert file.name == f"{os.getpid()}-{started}"
    first, *lines, last = file.read_text().splitlines()
    assert (first, last) == ("outcome pass", "end")
    assert set(lines) == {"unpack /a dir/toy_1%3a0.deb", "configure toy:amd64", "option --force-confold x"}


def test_a_removal_is_approved_as_a_purge_only_where_it_was_judged_as_one(stage: Stage) -> None:
    with daemon(stage, PASS):
        stage.judge(REMOVE)
    assert "purge toy:amd64" in stage.approvals()[0]
    stage_reply = {**PASS, "purge": []}
    os.unlink(stage.run / "io.github.aptguard")
    with daemon(stage, stage_reply):
        stage.judge(REMOVE)
    assert "remove toy:amd64" in stage.approvals()[0]
    assert "purge" not in stage.approvals()[0]


def test_a_blocked_run_takes_away_the_approval_of_the_one_before(stage: Stage) -> None:
    with daemon(stage, PASS):
        stage.judge(INSTALL)
    assert len(stage.approvals()) == 1
    os.unlink(stage.run / "io.github.aptguard")
    with daemon(stage, BLOCK):
        stage.judge(REMOVE)
    assert stage.approvals() == []


def test_a_run_into_another_root_leaves_no_approval(stage: Stage) -> None:
    with daemon(stage, {"exit": 0, "text": "", "verdict": "", "outcome": "not this machine", "id": ""}):
        assert stage.judge(REMOVE)[0] == 0
    assert stage.approvals() == []


def test_approvals_of_processes_that_are_gone_are_cleared_away(stage: Stage) -> None:
    (stage.run / "approved").mkdir(mode=0o700)
    (stage.run / "approved" / "999999999-1").write_text("outcome pass\nend\n")
    (stage.run / "approved" / "1-1").write_text("outcome pass\nend\n")
    with daemon(stage, PASS):
        stage.judge(INSTALL)
    assert [file.name.split("-")[0] for file in (stage.run / "approved").iterdir()] == [str(os.getpid())]


def test_an_approval_that_cannot_be_left_stops_nothing(stage: Stage) -> None:
    (stage.run / "approved").write_text("no directory")
    with daemon(stage, PASS):
        code, text = stage.judge(INSTALL)
    assert (code, "cannot leave its approval" in text) == (0, True)


def is_running(pid: int) -> bool:
    """Whether a process is there that is no zombie (nobody may reap it here)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_hook_that_is_told_to_stop_stops_apt_and_its_engine(stage: Stage, number: signal.Signals) -> None:
    pid_path = f"{stage.directory}/pid"
    stage.set_engine(f"echo $$ >{pid_path}.new; mv {pid_path}.new {pid_path}; exec setsid sleep 60\n")
    process = stage.start(["apt-hook"], REMOVE, start_new_session=True)
    pid_file = stage.directory / "pid"
    while not pid_file.exists():
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, text = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert b"Traceback" not in text
    while is_running(int(pid_file.read_text())):  # for ever, if it is not ended
        time.sleep(0.01)


def test_a_hook_ends_when_apt_is_gone(stage: Stage) -> None:
    server = Daemon(stage, lambda request, connection: connection.recv(1) and None)
    command = f"{stage.libexec}/apt-hook 9</dev/stdin; echo $? >{stage.directory}/code"
    program = f"import subprocess; subprocess.run(['/bin/sh', '-c', {command!r}])"
    apt = subprocess.Popen(
        ["/usr/bin/python3", "-c", program],
        stdin=subprocess.PIPE,
        env={**os.environ, "APT_HOOK_INFO_FD": "9"},
    )
    assert apt.stdin
    apt.stdin.write(REMOVE)
    apt.stdin.close()
    while not server.requests:
        time.sleep(0.01)
    apt.kill()
    apt.wait()
    assert server.hung_up.wait(30)
    server.close()
    while not (stage.directory / "code").exists() or not (stage.directory / "code").read_text():
        time.sleep(0.01)
    assert (stage.directory / "code").read_text() == "10\n"
