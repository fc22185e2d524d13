# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way out of a rehearsal leads nowhere, judged by a witness outside; and leads somewhere without it."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from aptguard.rehearsal.model import Step
from escape.routes import ANSWERED, WITNESSED, Route, program
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root

Witness = Callable[[], bool]


def attack(machine: Machine, route: Route, argument: str, inside: bool) -> str:
    """Run the route inside of a rehearsal, or on the machine itself, and return what it printed."""
    if not inside:
        done = machine.run(
            "/usr/bin/python3", "-c", program(route), argument, pass_fds=_open_on_root(machine)
        )
        return done.stdout + done.stderr
    leaked = _open_on_root(machine)
    try:
        step = Step((b"/usr/bin/python3", b"-c", program(route).encode(), argument.encode()))
        result = machine.rehearse(step)
    finally:
        for fd in leaked:
            os.close(fd)
    assert result.steps[0].status is not None, (result.unknowns, result.output)
    return result.output.decode()


def _open_on_root(machine: Machine) -> tuple[int, ...]:
    fd = os.open(machine.path("/"), os.O_RDONLY)
    os.set_inheritable(fd, True)
    return (fd,)


@contextmanager
def witness_for(route: Route, machine: Machine) -> Iterator[tuple[str, Witness]]:
    """Yield the argument of the route and the witness: whether it reached the outside."""
    token = "aptguard-" + uuid.uuid4().hex[:12]
    if route.name.startswith("kill"):
        with subprocess.Popen(["sleep", "60"]) as victim:
            try:
                yield str(victim.pid), lambda: victim.poll() is not None
            finally:
                victim.kill()
    elif "kernel setting" in route.name:
        with open("/proc/sys/vm/swappiness", encoding="ascii") as file:
            before = file.read().strip()
        other = "61" if before != "61" else "60"
        try:
            yield other, lambda: _content("/proc/sys/vm/swappiness").strip() == other
        finally:
            with open("/proc/sys/vm/swappiness", "w", encoding="ascii") as file:
                file.write(before)
    elif "socket" in route.name or "loopback" in route.name:
        with _listener(route, machine, token) as (argument, listener):
            yield argument, lambda: _somebody_came(listener)
    elif "control group" in route.name:
        places = [f"/sys/fs/cgroup/unified/{token}", f"/sys/fs/cgroup/{token}"]
        try:
            yield token, lambda: any(map(os.path.isdir, places))
        finally:
            for place in places:
                if os.path.isdir(place):
                    os.rmdir(place)
    elif "kernel's log" in route.name:
        yield token, lambda: token in subprocess.check_output(["dmesg"], text=True)
    elif "shared memory" in route.name:
        try:
            yield token, lambda: os.path.exists("/dev/shm/" + token)
        finally:
            if os.path.exists("/dev/shm/" + token):
                os.unlink("/dev/shm/" + token)
    else:
        places = [machine.path(p) for p in ("/srv/escaped", "/srv/data/escaped")] + ["/srv/escaped"]
        yield token, lambda: any(map(os.path.lexists, places))


def _content(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


@contextmanager
def _listener(route: Route, machine: Machine, token: str) -> Iterator[tuple[str, socket.socket]]:
    if "loopback" in route.name:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield str(listener.getsockname()[1]), listener
        return
    address = {"on disk": machine.path("/srv/door"), "below": machine.path("/run/door")}
    where = next((path for words, path in address.items() if words in route.name), "\0" + token)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(where)
        listener.listen()
        yield token, listener


def _somebody_came(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.mark.parametrize("route", WITNESSED, ids=lambda route: route.name)
def test_no_witness_outside_is_reached_from_a_rehearsal(machine: Machine, route: Route) -> None:
    with witness_for(route, machine) as (argument, reached):
        attack(machine, route, argument, inside=True)
        assert not reached()


@pytest.mark.parametrize("route", [r for r in WITNESSED if not r.unproved], ids=lambda route: route.name)
def test_the_witness_is_reached_without_the_rehearsal(machine: Machine, route: Route) -> None:
    with witness_for(route, machine) as (argument, reached):
        said = attack(machine, route, argument, inside=False)
        assert reached(), said


@pytest.fixture
def prepared(machine: Machine) -> Iterator[tuple[Machine, str]]:
    os.mknod(machine.path("/srv/node"), 0o20666, os.makedev(1, 5))
    key = "aptguard-" + uuid.uuid4().hex[:12]
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
