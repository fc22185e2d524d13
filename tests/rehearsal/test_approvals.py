# SPDX-License-Identifier: GPL-3.0-or-later
"""An approval is good for one process, one transaction and one run: the real hooks, the real dpkg."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.builder import build_deb
from rehearsal.hooked import LIBEXEC, HookedMachine
from rehearsal.machine import running_machine
from testbed.trees import base_tree

pytestmark = pytest.mark.needs_root

# A front end, as far as the hooks see: no shell, with apt's ways to call them.
FRONT_END = f"""
import json, os, subprocess

def judge(*removed):
    lines = "".join(f"{{name}} 1.0 all none > - - none **REMOVE**\\n" for name in removed)
    ours, theirs = os.pipe()
    os.write(theirs, b"VERSION 3\\nAPT::Get::Purge=1\\nBinary=apt-get\\nDir=/\\n\\n" + lines.encode())
    os.close(theirs)
    os.dup2(ours, 9)
    environment = {{**os.environ, "APT_HOOK_INFO_FD": "9", "DPKG_FRONTEND_LOCKED": "true"}}
    return subprocess.run(["sh", "-c", "{LIBEXEC}/apt-hook"], pass_fds=[9], env=environment).returncode

def finish():
    subprocess.run(["sh", "-c", "{LIBEXEC}/apt-announce finish"], check=True)

def dpkg(*words):
    return subprocess.call(["dpkg", "--no-triggers", *words], stdin=subprocess.DEVNULL)

def answer(code):
    reply = {{"exit": code, "text": "", "verdict": "allow", "outcome": "pass", "id": ""}}
    with open("/srv/answer", "w") as file:
        json.dump(reply, file)

"""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("toys")
    return [build_deb(directory, name, files={f"/srv/{name}/file": "x\n"}) for name in ("toy", "other")]


@pytest.fixture(params=["12", "13"])
def hooked(request: pytest.FixtureRequest, toys: list[str], tmp_path: Path) -> Iterator[HookedMachine]:
    with running_machine(base_tree(request.param), str(tmp_path)) as machine:
        hooked = HookedMachine(machine)
        hooked.publish(toys)
        hooked.install("toy", "other")
        yield hooked


def results(hooked: HookedMachine, program: str) -> list[int]:
    """Run ``program`` below FRONT_END and return the numbers that it prints last."""
    done = hooked.run("python3", "-c", FRONT_END + program)
    assert done.returncode == 0, done.stdout
    return [int(word) for word in done.stdout.splitlines()[-1].split()]


def test_a_call_of_another_process_is_judged_while_the_run_goes_on(hooked: HookedMachine) -> None:
    program = """
allowed = judge("toy")
answer(10)
call = ["dpkg", "--no-triggers", "--purge", "toy:all"]
child = f"import subprocess; print(subprocess.call({call!r}, stdin=subprocess.DEVNULL))"
another = int(subprocess.run(["python3", "-c", child], stdout=-1, text=True).stdout.split()[-1])
print(allowed, another, dpkg("--purge", "toy:all"))
"""
    assert results(hooked, program) == [0, 2, 0]
    assert hooked.methods() == ["JudgeApt", "JudgeDpkg"]


def test_when_the_run_has_ended_the_same_process_is_judged_again(hooked: HookedMachine) -> None:
    program = """
allowed = judge("toy")
finish()
answer(10)
print(allowed, dpkg("--purge", "toy:all"))
"""
    assert results(hooked, program) == [0, 2]
    assert hooked.methods() == ["JudgeApt", "JudgeDpkg"]
    assert hooked.approvals() == []
    assert hooked.status("toy") == "ii"


@pytest.mark.parametrize("second", [0, 10], ids=["allowed", "blocked"])
def test_the_next_transaction_of_a_process_ends_the_leave_of_the_one_before(
    hooked: HookedMachine, second: int
) -> None:
    program = f"""
first = judge("toy")
answer({second})
second = judge("other")
answer(10)
print(first, second, dpkg("--purge", "toy:all"))
"""
    assert results(hooked, program) == [0, second, 2]
    assert hooked.methods() == ["JudgeApt", "JudgeApt", "JudgeDpkg"]
    assert hooked.status("toy") == "ii"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (("--purge", "toy:all"), 0),
        (("--purge", "other:all"), 2),
        (("--purge", "toy:all", "other:all"), 2),
        (("--unpack", "/srv/repository/toy_1.0_all.deb"), 2),
        (("--configure", "other:all"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_what_the_transaction_did_not_name_is_judged_in_the_middle_of_its_run(
    hooked: HookedMachine, call: tuple[str, ...], code: int
) -> None:
    program = f"""
allowed = judge("toy")
answer(10)
print(allowed, dpkg(*{call!r}))
"""
    assert results(hooked, program) == [0, code]
    assert hooked.methods() == (["JudgeApt"] if code == 0 else ["JudgeApt", "JudgeDpkg"])
