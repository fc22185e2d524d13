# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way out of tests/escape on one machine: all in few rehearsals, for an emulated processor is slow.

One Python forks for each way. In a rehearsal all ways run one after the other, with all witnesses outside;
without it each has its witness for itself, so that it is seen to be this way that reaches it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aptguard.rehearsal.model import Step
from escape import all_routes, witnesses
from escape.all_routes import ANSWERED, WITNESSED
from escape.routes import Route, program
from escape.test_routes import _leaked, attack, prepared, token
from rehearsal.machine import ENVIRONMENT, LIMITS, Machine, running_machine

pytestmark = pytest.mark.needs_root

__all__ = ["prepared"]

# They would see the others beside them, or end them.
ALONE = {"see another process", "kill all at once"}
# It changes the setting that another one looks at.
_LATER = {id(witnesses.the_crash_handler)}
_LIMITS = replace(LIMITS, seconds=1800.0)

# Reads lines of [name, program, argument] and answers each with [name, output]; ends with its input.
SERVER = r"""
import ctypes, fcntl, glob, json, os, signal, socket, struct, sys, time, traceback
def run(name, program, argument):
    file = open("/tmp/output", "w+b", buffering=0)
    os.unlink("/tmp/output")
    child = os.fork()
    if child == 0:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            sys.argv = ["-c", argument]
            space = {"__name__": "__main__"}
            exec(compile(program, name, "exec"), space)
            space.clear()
        except BaseException:
            traceback.print_exc()
        finally:
            with open(1, "w", closefd=False): pass
            sys.stdout.flush()
            os._exit(0)
    deadline = time.monotonic() + 90
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    file.seek(0)
    return file.read().decode("utf-8", "replace")
for line in sys.stdin:
    name, program, argument = json.loads(line)
    print(json.dumps([name, run(name, program, argument)]), flush=True)
"""


@pytest.fixture(scope="module")
def shared(debian_tree: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running_machine(debian_tree, str(tmp_path_factory.mktemp("machine"))) as machine:
        os.mknod(machine.path("/srv/node"), 0o20666, os.makedev(1, 5))
        machine.write("/opt/server.py", SERVER)
        yield machine


@contextlib.contextmanager
def leaked(machine: Machine) -> Iterator[tuple[int, ...]]:
    descriptors = _leaked(machine)
    try:
        yield descriptors
    finally:
        for fd in descriptors:
            os.close(fd)


def inside(machine: Machine, asked: Sequence[tuple[Route, str]]) -> dict[str, str]:
    """Run the routes in one rehearsal and return what each said."""
    lines = "".join(json.dumps([route.name, program(route), argument]) + "\n" for route, argument in asked)
    with leaked(machine):
        step = Step((b"/usr/bin/python3", b"/opt/server.py"), stdin=lines.encode())
        result = machine.rehearse(step, limits=_LIMITS)
    assert result.steps[0].status == 0, (result.unknowns, result.output)
    return dict(json.loads(line) for line in result.output.decode().splitlines() if line.startswith("["))


Without = Callable[[Route, str], str]


@pytest.fixture(scope="module")
def without(shared: Machine) -> Iterator[Without]:
    """Runs a route on the machine itself and returns what it said."""
    command = ["nsenter", f"--mount=/proc/{shared.pid}/ns/mnt", "--", "/usr/bin/python3", "/opt/server.py"]
    env = {name.decode(): value.decode() for name, value in ENVIRONMENT.items()}
    with (
        leaked(shared) as descriptors,
        subprocess.Popen(
            command, env=env, pass_fds=descriptors, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdin is not None and server.stdout is not None
        requests, replies = server.stdin, server.stdout

        def run(route: Route, argument: str) -> str:
            print(json.dumps([route.name, program(route), argument]), file=requests, flush=True)
            name, said = json.loads(replies.readline())
            assert name == route.name
            return str(said)

        yield run
        requests.close()


@pytest.fixture(scope="module")
def witnessed(shared: Machine) -> dict[str, tuple[str, bool]]:
    """For each route with a witness what it said in a rehearsal, and whether its witness was reached."""
    found: dict[str, tuple[str, bool]] = {}
    for later in (False, True):
        together = [route for route in WITNESSED if route.name not in ALONE]
        batch = [route for route in together if (id(route.witness) in _LATER) is later]
        with contextlib.ExitStack() as stack:
            seen: dict[int, Any] = {}
            for route in batch:
                if id(route.witness) not in seen:
                    seen[id(route.witness)] = stack.enter_context(route.witness(shared, token()))
            said = inside(shared, [(route, seen[id(route.witness)][0]) for route in batch])
            reached = {key: question() for key, (_, question) in seen.items()}
            found.update({r.name: (said.get(r.name, "no answer"), reached[id(r.witness)]) for r in batch})
    for route in WITNESSED:
        if route.name in ALONE:
            with route.witness(shared, token()) as (argument, question):
                found[route.name] = attack(shared, route, argument, inside=True), question()
    return found


@pytest.fixture(scope="module")
def answered(shared: Machine) -> dict[str, str]:
    """For each route that only answers what it said in a rehearsal."""
    return inside(shared, [(route, token()) for route in ANSWERED if route.name not in ALONE])


@pytest.mark.parametrize("route", WITNESSED, ids=lambda route: route.name)
def test_no_witness_outside_is_reached_from_a_rehearsal(
    witnessed: dict[str, tuple[str, bool]], route: Route
) -> None:
    said, reached = witnessed[route.name]
    assert said != "no answer"
    assert not reached, said


@pytest.mark.parametrize("route", ANSWERED, ids=lambda route: route.name)
def test_the_kernel_refuses_it_in_a_rehearsal(
    shared: Machine, answered: dict[str, str], route: Route
) -> None:
    said = answered.get(route.name) or attack(shared, route, token(), inside=True)
    if "REACHED" in said and route.name in all_routes.IN_THE_OVERLAY:
        assert not os.path.lexists(shared.path(all_routes.IN_THE_OVERLAY[route.name]))
        return
    assert "REACHED" not in said


@pytest.mark.parametrize("route", [r for r in WITNESSED if not r.unproved], ids=lambda route: route.name)
def test_the_witness_is_reached_without_the_rehearsal(
    shared: Machine, without: Without, route: Route
) -> None:
    for name in ("escaped", "data/escaped", "data/target", "data/partner", "data/fifo", "data/lock", "door"):
        Path(shared.path(f"/srv/{name}")).unlink(missing_ok=True)
    Path(shared.path("/run/door")).unlink(missing_ok=True)
    with route.witness(shared, token()) as (argument, reached):
        said = without(route, argument)
        assert reached(), said


@pytest.mark.parametrize("route", [r for r in ANSWERED if not r.unproved], ids=lambda route: route.name)
def test_the_kernel_allows_it_without_the_rehearsal(
    prepared: tuple[Machine, str], without: Without, route: Route
) -> None:
    said = without(route, prepared[1])
    assert "REACHED" in said, said


@pytest.fixture
def machine(shared: Machine) -> Iterator[Machine]:
    """The one machine, for the fixture with the key and the node."""
    Path(shared.path("/srv/node")).unlink(missing_ok=True)
    yield shared
