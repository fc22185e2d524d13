# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the caller's control group is delegated to it, each rehearsal runs in a group of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from aptguard.rehearsal.mountinfo import read_mountinfo
from rehearsal.machine import Machine
from rehearsal.test_bounds import eventually, tree_of

pytestmark = pytest.mark.needs_root

_CALLER = """
import os, sys, json
sys.path[:0] = json.loads(sys.argv[1])
# A group whose children have controllers takes no process itself.
group = sys.argv[2] + "/guard" if os.path.exists(sys.argv[2] + "/guard") else sys.argv[2]
with open(group + "/cgroup.procs", "w") as file: file.write(str(os.getpid()))
from dataclasses import replace
from rehearsal.machine import shell, ENVIRONMENT, LIMITS
from aptguard.rehearsal import control_group
control_group._NEW_SECONDS = float(sys.argv[5])
from aptguard.rehearsal.model import RehearsalRequest
from aptguard.rehearsal.rehearse import rehearse
namespace = os.open(sys.argv[3], os.O_RDONLY)
request = RehearsalRequest((shell(sys.argv[4]),), ENVIRONMENT, limits=LIMITS)
result = rehearse(request, mount_namespace=namespace)
print(json.dumps([result.complete, result.notes, result.output.decode()]))
"""


@pytest.fixture
def group() -> Iterator[str]:
    """A group as systemd makes it for a unit with Delegate=yes."""
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = [m for m in read_mountinfo(file.read()) if m.kind == b"cgroup2" and m.root == b"/"]
    if not mounts:
        pytest.skip("no control group file system of version 2 is mounted here")
    directory = f"{os.fsdecode(mounts[-1].point)}/aptguard-test-{uuid.uuid4().hex[:12]}"
    os.mkdir(directory)
    try:
        os.setxattr(directory, "trusted.delegate", b"1")
        yield directory
    finally:
        with open(directory + "/cgroup.kill", "w", encoding="ascii") as file:
            file.write("1")
        for below in (*rehearsals(directory), directory + "/guard", directory):
            with suppress(FileNotFoundError):
                assert eventually(lambda below=below: _removed(below))


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def rehearsals(group: str) -> list[str]:
    return [f"{group}/{name}" for name in os.listdir(group) if name.startswith("rehearsal-")]


def members(group: str) -> set[int]:
    with open(group + "/cgroup.procs", encoding="ascii") as file:
        return set(map(int, file.read().split()))


@contextmanager
def caller(
    machine: Machine, group: str, script: str, new_seconds: float = 10.0
) -> Iterator[subprocess.Popen[str]]:
    namespace = f"/proc/{machine.pid}/ns/mnt"
    command = [sys.executable, "-c", _CALLER, json.dumps(sys.path), group, namespace, script]
    command.append(str(new_seconds))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_rehearsal_has_a_group_of_its_own_and_leaves_none(machine: Machine, group: str) -> None:
    with caller(
        machine, group, "cat /proc/self/cgroup; cut -d -f3 /proc/mounts | grep -c cgroup; true"
    ) as process:
        said, _ = process.communicate(timeout=60)
    complete, notes, output = json.loads(said)
    assert complete
    assert not [note for note in notes if note.startswith("no control group")]
    # inside, its own group is all there is, and there is no file system of groups
    assert "0::/\n" in output
    assert output.endswith("\n0\n")
    assert rehearsals(group) == []


def while_it_runs(machine: Machine, group: str, act: Callable[[int, list[int], str], None]) -> None:
    with caller(machine, group, "sleep 779 & sleep 779") as process:
        assert eventually(lambda: len(tree_of(process.pid)) == 6)
        everybody = tree_of(process.pid)
        (own,) = rehearsals(group)
        assert members(own) == set(everybody[1:])
        act(process.pid, everybody, own)
        process.wait(timeout=60)
        assert eventually(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in everybody[1:]))


@pytest.mark.parametrize("victim", [1, 2], ids=["the helper", "the init process"])
def test_no_group_stays_whoever_is_killed(machine: Machine, group: str, victim: int) -> None:
    def act(_caller: int, everybody: list[int], _own: str) -> None:
        os.kill(everybody[victim], signal.SIGKILL)

    while_it_runs(machine, group, act)
    assert rehearsals(group) == []


def test_a_stopped_helper_and_init_process_end_with_the_group(machine: Machine, group: str) -> None:
    def act(_caller: int, everybody: list[int], own: str) -> None:
        for pid in everybody[1:]:
            os.kill(pid, signal.SIGSTOP)
        with open(own + "/cgroup.kill", "w", encoding="ascii") as file:
            file.write("1")

    while_it_runs(machine, group, act)
    assert rehearsals(group) == []


def test_what_a_killed_caller_left_is_removed_by_the_next(machine: Machine, group: str) -> None:
    while_it_runs(machine, group, lambda caller, _everybody, _group: os.kill(caller, signal.SIGKILL))
    (left,) = rehearsals(group)
    assert eventually(lambda: members(left) == set())
    for new_seconds, expected in ((3600.0, [left]), (-1.0, [])):  # one just made, by another caller, stays
        with caller(machine, group, "true", new_seconds) as process:
            process.communicate(timeout=60)
        assert rehearsals(group) == expected


def test_without_delegation_no_group_is_touched(machine: Machine, group: str) -> None:
    os.removexattr(group, "trusted.delegate")
    with caller(machine, group, "true") as process:
        said, _ = process.communicate(timeout=60)
    complete, notes, _ = json.loads(said)
    assert complete
    assert [note for note in notes if note.startswith("no control group")]
    assert os.listdir(group) == [name for name in os.listdir(group) if not os.path.isdir(f"{group}/{name}")]
