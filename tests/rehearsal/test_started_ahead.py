# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper process that is started before its rehearsal is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from aptguard.rehearsal import helper_process
from aptguard.rehearsal.rehearse import expect_rehearsal
from rehearsal.machine import Machine


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    yield
    for helper in list(helper_process._waiting):
        waiting = helper_process._waiting.pop(helper)
        waiting.kill()
        waiting.bury()


def waiting_pid() -> int:
    (waiting,) = helper_process._waiting.values()
    return waiting.process.pid


def test_a_rehearsal_uses_the_helper_that_waits_and_the_next_one_a_process_of_its_own(
    machine: Machine,
) -> None:
    expect_rehearsal()
    expect_rehearsal()
    first = waiting_pid()
    asked = machine.rehearse_shell("ps -o ppid= -p 1 >/srv/data/x 2>&1; echo hello >/srv/data/y")
    assert asked.complete
    assert helper_process._waiting == {}
    assert {change.path for change in asked.changes} >= {b"/srv/data/y"}
    again = machine.rehearse_shell("test ! -e /srv/data/y")
    assert again.complete
    expect_rehearsal()
    assert waiting_pid() != first


def test_a_waiting_helper_that_has_ended_is_replaced(machine: Machine) -> None:
    expect_rehearsal()
    os.kill(waiting_pid(), 9)
    os.waitid(os.P_PID, waiting_pid(), os.WEXITED | os.WNOWAIT)
    assert machine.rehearse_shell("true").complete


def test_a_waiting_helper_ends_when_nobody_can_ask_it_any_more() -> None:
    script = (
        "from aptguard.rehearsal import helper_process, rehearse\n"
        "rehearse.expect_rehearsal()\n"
        "(waiting,) = helper_process._waiting.values()\n"
        "print(waiting.process.pid, flush=True)\n"
        "import os; os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}/exe") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{pid}/exe")
