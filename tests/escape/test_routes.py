# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way out of a rehearsal leads nowhere, judged by a witness outside; and leads somewhere without it."""

from __future__ import annotations

import ctypes
import os
import uuid
from collections.abc import Iterator

import pytest

from aptguard.rehearsal.model import Step
from escape.all_routes import ANSWERED, WITNESSED
from escape.routes import Route, program
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root


def attack(machine: Machine, route: Route, argument: str, inside: bool) -> str:
    """Run the route inside of a rehearsal, or on the machine itself, and return what it printed."""
    leaked = _leaked(machine)
    try:
        if not inside:
            command = ("/usr/bin/python3", "-c", program(route), argument)
            done = machine.run(*command, pass_fds=leaked)
            return done.stdout + done.stderr
        step = Step((b"/usr/bin/python3", b"-c", program(route).encode(), argument.encode()))
        result = machine.rehearse(step)
    finally:
        for fd in leaked:
            os.close(fd)
    assert result.steps[0].status is not None, (result.unknowns, result.output)
    return result.output.decode()


def _leaked(machine: Machine) -> tuple[int, ...]:
    """Return descriptors that a careless caller would hand on: the machine's root, namespaces of the host."""
    paths = (machine.path("/"), "/proc/self/ns/uts", "/proc/self/ns/net")
    descriptors = tuple(os.open(path, os.O_RDONLY) for path in paths)
    for fd in descriptors:
        os.set_inheritable(fd, True)
    return descriptors


def token() -> str:
    return "aptguard-" + uuid.uuid4().hex[:12]


@pytest.mark.parametrize("route", WITNESSED, ids=lambda route: route.name)
def test_no_witness_outside_is_reached_from_a_rehearsal(machine: Machine, route: Route) -> None:
    with route.witness(machine, token()) as (argument, reached):
        attack(machine, route, argument, inside=True)
        assert not reached()


@pytest.mark.parametrize("route", [r for r in WITNESSED if not r.unproved], ids=lambda route: route.name)
def test_the_witness_is_reached_without_the_rehearsal(machine: Machine, route: Route) -> None:
    with route.witness(machine, token()) as (argument, reached):
        said = attack(machine, route, argument, inside=False)
        assert reached(), said


@pytest.fixture
def prepared(machine: Machine) -> Iterator[tuple[Machine, str]]:
    os.mknod(machine.path("/srv/node"), 0o20666, os.makedev(1, 5))
    key = token()
    libc = ctypes.CDLL(None)
    # add_key(2) into the keyring of user 0 (KEY_SPEC_USER_KEYRING)
    number = libc.syscall(
        ctypes.c_long(248), b"user", key.encode(), b"x", ctypes.c_size_t(1), ctypes.c_long(-4)
    )
    yield machine, key
    if number > 0:
        libc.syscall(ctypes.c_long(250), ctypes.c_long(9), ctypes.c_long(number), ctypes.c_long(-4))


@pytest.mark.parametrize("route", ANSWERED, ids=lambda route: route.name)
def test_the_kernel_refuses_it_in_a_rehearsal(prepared: tuple[Machine, str], route: Route) -> None:
    assert "REACHED" not in attack(prepared[0], route, prepared[1], inside=True)


@pytest.mark.parametrize("route", [r for r in ANSWERED if not r.unproved], ids=lambda route: route.name)
def test_the_kernel_allows_it_without_the_rehearsal(prepared: tuple[Machine, str], route: Route) -> None:
    said = attack(prepared[0], route, prepared[1], inside=False)
    assert "REACHED" in said, said
