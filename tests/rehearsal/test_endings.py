# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes are read only when nothing runs any more, and nothing outlives its supervisor.

Each property has more than one wall; each wall is shown to hold alone, and without any the test sees it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from rehearsal.machine import Machine
from rehearsal.test_bounds import eventually, tree_of

pytestmark = pytest.mark.needs_root

# A supervisor in this process, whose walls can be taken out. It prints what still runs when the changes are
# about to be read.
_SUPERVISOR = """
import json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
from aptguard.rehearsal import linux, sandbox, supervisor
from aptguard.rehearsal.model import RehearsalRequest
from rehearsal.machine import ENVIRONMENT, LIMITS, shell
from rehearsal.test_bounds import tree_of
from aptguard.rehearsal.observer import NoObserver
import aptguard.changes.upper
removed = json.loads(sys.argv[3])
if "init kills" in removed:
    sandbox._kill_the_rest = lambda: None
if "supervisor kills" in removed:
    supervisor.Supervisor._kill = lambda self: None
if "death signal" in removed:
    real = linux.prctl
    linux.prctl = lambda option, *rest: None if option == linux.PR_SET_PDEATHSIG else real(option, *rest)
class Observer(NoObserver):
    def finish(self):
        names = [open(f"/proc/{pid}/cmdline").read() for pid in tree_of(os.getpid())[1:]]
        print(json.dumps([name for name in names if name.startswith("sleep")]), flush=True)
request = RehearsalRequest((shell(sys.argv[4]),), ENVIRONMENT, limits=LIMITS)
linux.setns(os.open(sys.argv[2], os.O_RDONLY), linux.CLONE_NEWNS)
supervisor.Supervisor(request, None, lambda request: Observer((), ""), lambda line: None).run()
"""


@contextmanager
def supervisor(machine: Machine, script: str, *removed: str) -> Iterator[subprocess.Popen[str]]:
    namespace = f"/proc/{machine.pid}/ns/mnt"
    command = [
        sys.executable,
        "-c",
        _SUPERVISOR,
        json.dumps(sys.path),
        namespace,
        json.dumps(removed),
        script,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        everybody: list[int] = []
        try:
            yield process
        finally:
            everybody = tree_of(process.pid)
            for pid in everybody:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        ([], []),
        (["init kills"], []),
        (["supervisor kills"], []),
        (["init kills", "supervisor kills"], ["sleep\x004343\x00"]),
    ],
    ids=["as it is", "without the init process", "without the supervisor", "without both: the test can fail"],
)
def test_nothing_runs_while_the_changes_are_read(
    machine: Machine, removed: list[str], expected: list[str]
) -> None:
    with supervisor(machine, "setsid sleep 4343 & exit 0", *removed) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == expected


@pytest.mark.parametrize("removed", [[], ["death signal"]], ids=["as it is", "without it: the test can fail"])
def test_an_init_process_that_cannot_act_dies_with_its_supervisor(
    machine: Machine, removed: list[str]
) -> None:
    """It is stopped, so that it cannot see for itself that its supervisor is gone."""
    with supervisor(machine, "exec sleep 4344", *removed) as process:
        assert eventually(lambda: len(tree_of(process.pid)) == 3)
        _, init, script = tree_of(process.pid)
        assert eventually(lambda: _command_line(script) == b"sleep\x004344\x00")
        os.kill(init, signal.SIGSTOP)
        process.kill()
        process.wait()
        if not removed:
            assert eventually(lambda: _command_line(init) == _command_line(script) == b"")
            return
        try:
            assert _command_line(script)
        finally:
            os.kill(init, signal.SIGKILL)
        assert eventually(lambda: _command_line(script) == b"")


def _command_line(pid: int) -> bytes:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""
