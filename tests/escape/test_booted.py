# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways out on booted machines: systemd is pid 1, and its sockets and those of its services are live."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from escape import all_routes, routes
from escape.routes import program
from testbed.guest import Guest
from testbed.trees import CODENAMES

pytestmark = pytest.mark.needs_guest

_SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "src")

# Runs in the guest, in a rehearsal or not: all programs one after the other, each in a process of its own.
_RUN_ALL = """
import json, subprocess, sys
for name, program in json.load(open("/opt/routes.json")).items():
    try:
        argv = [sys.executable, "-c", program, "token"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
        print(json.dumps([name, done.stdout + done.stderr]), flush=True)
    except subprocess.TimeoutExpired:
        print(json.dumps([name, "timeout"]), flush=True)
"""
_REHEARSE = """
import sys
sys.path.append("/opt/aptguard-under-test")
from aptguard.rehearsal.model import Limits, RehearsalRequest, Step
from aptguard.rehearsal.rehearse import rehearse
step = Step((b"/usr/bin/python3", b"/opt/run-all.py"))
environment = {b"PATH": b"/usr/sbin:/usr/bin:/sbin:/bin"}
result = rehearse(RehearsalRequest((step,), environment, limits=Limits(seconds=100)))
sys.stdout.write(result.output.decode())
sys.stderr.write(repr(result.unknowns) + repr(result.notes))
sys.exit(0 if result.complete else 1)
"""
# Every socket that somebody listens on, as the machine itself lists them (proc_net(5)).
_SOCKETS = """
lines = open("/opt/sockets").read().splitlines()[1:]
names = [line.split(None, 7)[7] for line in lines if line.count(" /") or "@" in line]
reached = []
for name in sorted(set(names)):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as end:
            end.settimeout(2)
            try: end.connect("\\0" + name[1:] if name.startswith("@") else name)
            except OSError: continue
            reached.append(name)
print(reached)
answer(bool(reached))
"""
_LIVE = "talk to any socket of the machine"


@pytest.fixture(scope="module", params=sorted(CODENAMES), ids=lambda version: f"debian{version}")
def booted(needs_guest: None, request: pytest.FixtureRequest) -> Iterator[Guest]:
    with Guest(str(request.param)) as guest:
        guest.copy_in(_SOURCE, "/opt/aptguard-under-test")
        guest.write("/opt/run-all.py", _RUN_ALL)
        guest.write("/opt/rehearse.py", _REHEARSE)
        guest.run("cp /proc/net/unix /opt/sockets; mkdir -p /srv/data; mknod -m 666 /srv/node c 1 5")
        yield guest


def answers(guest: Guest, chosen: dict[str, str], command: str) -> dict[str, str]:
    guest.write("/opt/routes.json", json.dumps(chosen))
    done = guest.run(["/usr/bin/python3", command], timeout=200)
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


def test_no_live_socket_of_the_machine_is_reached(booted: Guest) -> None:
    chosen = {_LIVE: routes.PRELUDE + _SOCKETS}
    without = answers(booted, chosen, "/opt/run-all.py")[_LIVE]
    assert "REACHED" in without
    assert "/run/systemd" in without
    inside = answers(booted, chosen, "/opt/rehearse.py")[_LIVE]
    assert inside == "[]\nrefused\n"


def test_every_way_out_is_closed_on_a_booted_machine(booted: Guest) -> None:
    said = answers(booted, {route.name: program(route) for route in all_routes.ANSWERED}, "/opt/rehearse.py")
    assert set(said) == {route.name for route in all_routes.ANSWERED}
    # the programs run one after the other in one rehearsal, so there is a process beside each
    reached = {name for name, output in said.items() if "REACHED" in output}
    in_the_overlay = {name for name, path in all_routes.IN_THE_OVERLAY.items() if not booted.exists(path)}
    assert reached <= {"see another process"} | in_the_overlay
    assert booted.run("systemctl is-system-running --wait || true").stdout.strip() in {"running", "degraded"}


def test_nothing_is_left_behind_on_a_booted_machine(booted: Guest) -> None:
    def traces() -> str:
        return booted.run(
            "find /sys/fs/cgroup -name 'rehearsal-*'; ls -A /srv /srv/data /dev/shm; ls -d /run/systemd; "
            "findmnt --noheadings --raw --output TARGET,FSTYPE,SOURCE | grep -E 'overlay|aptguard' | sort; "
            "ps -eo args | grep -c '[r]ehearsal/helper' || true"
        ).stdout

    before = traces()
    answers(booted, {"harm": "import os\nos.system('rm -rf /srv /tmp/* /run/systemd')"}, "/opt/rehearse.py")
    assert traces() == before
    assert booted.run("systemctl is-system-running --wait || true").stdout.strip() in {"running", "degraded"}
