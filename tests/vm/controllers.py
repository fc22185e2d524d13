# SPDX-License-Identifier: GPL-3.0-or-later
"""Where control groups have their controllers, the kernel itself keeps a rehearsal's bounds."""

from __future__ import annotations

import json
import time

import pytest

from rehearsal import test_control_group
from rehearsal.machine import Machine
from rehearsal.test_control_group import caller, group, rehearsals

__all__ = ["group"]

pytestmark = pytest.mark.needs_root

# What the kernel grants lies far below the bounds that are looked at every some milliseconds.
_SMALL = """
granted = {b"memory.max": b"209715200", b"pids.max": b"30"}
write = control_group._write
control_group._write = lambda path, value: write(path, granted.get(os.path.basename(path), value))
"""
FORKS = "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done; wait; exit 0"
EATS = "/usr/bin/python3 -c 'x = bytearray(900 << 20)' || exit 0"


@pytest.fixture(autouse=True)
def controlled(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(group + "/cgroup.controllers", encoding="ascii") as file:
        missing = {"memory", "pids"} - set(file.read().split())
    if missing:
        pytest.skip(f"control groups have no controller for {' and '.join(sorted(missing))} here")
    whole = test_control_group._CALLER
    told = whole.replace("[result.complete,", "[[u.reason for u in result.unknowns], result.complete,")
    assert told != whole
    monkeypatch.setattr(test_control_group, "_CALLER", told)


def rehearsed(machine: Machine, group: str, script: str) -> tuple[list[str], bool, list[str]]:
    """Return the reasons of what is unknown, whether the run was complete, and the notes."""
    with caller(machine, group, script) as process:
        said, _ = process.communicate(timeout=300)
    reasons, complete, notes, _ = json.loads(said)
    return reasons, complete, notes


def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    code = test_control_group._CALLER.replace("namespace = os.open", _SMALL + "namespace = os.open")
    monkeypatch.setattr(test_control_group, "_CALLER", code)


def test_the_group_of_a_rehearsal_has_bounds_for_memory_and_tasks(machine: Machine, group: str) -> None:
    with caller(machine, group, "sleep 300") as process:
        limits: list[str] = []
        while len(limits) < 2 or "max" in limits:
            assert process.poll() is None
            limits = [
                _read(f"{own}/{name}") for own in rehearsals(group) for name in ("memory.max", "pids.max")
            ]
            time.sleep(0.05)
        for own in rehearsals(group):
            with open(f"{own}/cgroup.kill", "w", encoding="ascii") as file:
                file.write("1")
        process.communicate(timeout=60)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:  # its controllers are not there yet
        return "max"


def test_nothing_is_said_of_missing_controllers(machine: Machine, group: str) -> None:
    reasons, complete, notes = rehearsed(machine, group, "true")
    assert complete and not reasons
    assert [note for note in notes if "control group" in note] == []


def test_a_process_that_the_groups_own_bound_refuses_makes_it_unknown(
    machine: Machine, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller(monkeypatch)
    reasons, complete, _ = rehearsed(machine, group, FORKS)
    assert not complete
    assert [reason for reason in reasons if "ran too many at once" in reason], reasons


def test_a_process_that_a_bound_further_up_refuses_makes_it_unknown(machine: Machine, group: str) -> None:
    with open(group + "/pids.max", "w", encoding="ascii") as file:
        file.write("30")
    reasons, complete, _ = rehearsed(machine, group, FORKS)
    assert not complete
    assert [reason for reason in reasons if "the kernel refused a process" in reason], reasons


def test_a_process_that_the_kernel_ends_for_want_of_memory_makes_it_unknown(
    machine: Machine, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller(monkeypatch)
    reasons, complete, _ = rehearsed(machine, group, EATS)
    assert not complete
    assert [reason for reason in reasons if "used all its memory" in reason], reasons
