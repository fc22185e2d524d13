# SPDX-License-Identifier: GPL-3.0-or-later
"""The test bed itself: guests are real, separate, and gone afterwards, however the test run ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from packages.builder import build_deb
from testbed import cache, snapshot
from testbed.guest import Container, Guest, GuestError
from testbed.repository import publish

pytestmark = pytest.mark.needs_guest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def wait_until_gone(pid: int) -> bool:
    """Tell whether the process ended within half a minute, which is far more than a kill takes."""
    for _ in range(300):
        if not os.path.exists(f"/proc/{pid}"):
            return True
        time.sleep(0.1)
    return False


def copies_disappear(owner: int) -> bool:
    """Tell whether the copies made for a process that is gone are deleted in the same time."""
    for _ in range(300):
        if not [name for name in os.listdir(cache.cache_directory("copies")) if name.startswith(f"{owner}-")]:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(("root", "kind"), [("overlay", "overlay"), ("memory", "tmpfs")])
def test_a_guest_is_booted_by_systemd_and_dies_with_the_test(version: str, root: str, kind: str) -> None:
    with Guest(version, root=root) as guest:
        assert guest.run("cat /proc/1/comm").stdout.strip() == "systemd"
        assert guest.run("findmnt -no FSTYPE /").stdout.strip() == kind
        assert guest.journal("_PID=1")
        leader = guest.leader
    assert wait_until_gone(leader)
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert cache.cache_directory() not in mounts.read()


def test_a_guest_dies_with_a_test_run_that_is_killed() -> None:
    version = "12"
    script = (
        f"import sys, time; sys.path.insert(0, {TESTS!r}); from testbed.guest import Guest\n"
        f"guest = Guest({version!r}, root='copy').__enter__()\n"
        "print(guest.leader, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    leader = int(run.stdout.readline())
    assert os.path.exists(f"/proc/{leader}")
    run.kill()
    run.wait()
    run.stdout.close()
    assert wait_until_gone(leader)
    assert copies_disappear(run.pid)


def test_what_is_done_in_one_guest_is_not_seen_in_the_next(version: str) -> None:
    with Container(version) as guest:
        before = snapshot.take(guest.path("/"), ["/etc"])
        guest.run("rm /etc/passwd; echo > /etc/new")
        assert snapshot.differences(before, snapshot.take(guest.path("/"), ["/etc"]))
    with Container(version) as guest:
        assert snapshot.differences(before, snapshot.take(guest.path("/"), ["/etc"])) == []


def test_streams_status_input_and_environment_come_through(guest: Guest) -> None:
    done = guest.run('cat; echo "$WORD" >&2; exit 3', input="a\n", env={"WORD": "b c"}, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("a\n", "b c\n", 3)
    with pytest.raises(GuestError, match="ended with 7"):
        guest.run("exit 7")
    assert guest.on_terminal(["tty"]).stdout.startswith("/dev/")


def test_apt_installs_from_a_local_repository_without_a_network(version: str, toys: os.PathLike[str]) -> None:
    with Container(version, network="private") as machine:
        publish(machine, [build_deb(toys, "toy", depends="toy-library"), build_deb(toys, "toy-library")])
        machine.install("toy")
        assert machine.run(["dpkg-query", "-W", "-f", "${Package} ", "toy*"]).stdout == "toy toy-library "
