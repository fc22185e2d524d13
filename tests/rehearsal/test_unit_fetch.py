# SPDX-License-Identifier: GPL-3.0-or-later
"""What asks for the states of units on the machine holds nothing of the rehearsal, and ends with it."""

from __future__ import annotations

import os
import select
from dataclasses import replace

import pytest

from aptguard.rehearsal.model import UNANSWERED
from rehearsal.machine import LIMITS, Machine
from rehearsal.test_bounds import eventually
from rehearsal.test_endings import supervisor

pytestmark = pytest.mark.needs_root

# Each call says who it is and what it holds, and then waits for longer than any of them may.
_SLOW = """#!/bin/sh
[ -n "$SYSTEMD_OFFLINE" ] && exit 0
{ echo $$; readlink /proc/$$/fd/*; } > /run/asking.new
mv /run/asking.new /run/asking
exec sleep 4345
"""
_ASKS = "systemctl is-active web & sleep 0.7; exit 0"


def asking(machine: Machine) -> tuple[int, list[str]]:
    """Return the process that asks on the machine, once there is one, and what its descriptors are."""
    assert eventually(lambda: os.path.exists(machine.path("/run/asking")))
    pid, *held = machine.read("/run/asking").split("\n")
    return int(pid), [one for one in held if one]


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"4345" not in file.read()
    except OSError:
        return True


def test_what_asks_on_the_machine_holds_no_descriptor_of_the_rehearsal(machine: Machine) -> None:
    machine.write("/usr/bin/systemctl", _SLOW, 0o755)
    machine.rehearse_shell(_ASKS, replace(LIMITS, leftover_seconds=0.1))
    _, held = asking(machine)
    # Its standard ones, the script that the shell reads, and what it puts by for that.
    own = ("/dev/null", "pipe:", "/usr/bin/systemctl", "/run/asking.new")
    assert [one for one in held if not one.startswith(own)] == []
    assert sum(one.startswith("pipe:") for one in held) <= 1, held


def test_what_asks_on_the_machine_has_ended_when_the_rehearsal_has(machine: Machine) -> None:
    machine.write("/usr/bin/systemctl", _SLOW, 0o755)
    machine.rehearse_shell(_ASKS, replace(LIMITS, leftover_seconds=0.1))
    assert is_gone(asking(machine)[0])


@pytest.mark.parametrize("waits_for", ["is-system-running", "show"])
def test_what_asks_on_the_machine_ends_with_a_supervisor_that_is_killed(
    machine: Machine, waits_for: str
) -> None:
    slow = _SLOW.replace("{ echo", f'[ "$1" = {waits_for} ] || exit 0; {{ echo', 1)
    machine.write("/usr/bin/systemctl", slow, 0o755)
    with supervisor(machine, "exec systemctl is-active web") as process:
        pid, _ = asking(machine)
        assert eventually(lambda: not is_gone(pid))
        process.kill()
        process.wait()
        # Not by timeout(1), which gives it five seconds.
        assert any(is_gone(pid) or select.select([], [], [], 0.05)[0] for _ in range(40))


def test_where_nobody_can_be_started_to_ask_only_the_question_is_open(machine: Machine) -> None:
    machine.write("/srv/data/file")
    assert machine.run("rm", "/usr/bin/setpriv").returncode == 0
    result = machine.rehearse_shell("systemctl is-active web || true; sleep 0.1; rm /srv/data/file")
    assert result.complete and result.unknowns == (), (result.unknowns, result.output)
    assert [one.kind for one in result.effects] == [UNANSWERED]
    assert [change.path for change in result.changes if change.deleted] == [b"/srv/data/file"]
