# SPDX-License-Identifier: GPL-3.0-or-later
"""aptitude's wishes for a run that was blocked are no longer in dpkg's selections once it has ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from system.drivers import LOCKS, put_drivers
from system.front_ends import FORGOTTEN, PACKAGES
from testbed.guest import Completed, Guest
from testbed.repository import publish
from testbed.server import install_aptguard
from testbed.trees import guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

HARM = "rm -f /srv/treasure"
# What needs what, so that aptitude wishes away more than it is told.
TOYS = {
    "bad-user": {"scripts": {"prerm": f"[ $1 != remove ] || {HARM}"}, "depends": "needless"},
    "needless": {"depends": "deeper"},
    "deeper": {},
    "other": {"scripts": {"postrm": ":"}},
    "bad-replace": {"scripts": {"preinst": f"[ $1 != upgrade ] || {HARM}"}},
}
SCREEN = "aptitude-screen bad-user"
# Nothing may be left of a session for which it could be done: it goes on for a while, as a shell does.
A_SESSION = """
{command}
code=$?
for _ in $(seq 200); do
    dpkg --get-selections | cmp -s - /root/selections && ! ls /run/aptguard/wishes/* > /dev/null 2>&1 && break
    sleep 0.05
done
exit $code
"""
# aptitude's own memory of wishes goes with dpkg's.
OWN = "/var/lib/aptitude/pkgstates"
AS_BEFORE = f"{FORGOTTEN}; cp /root/pkgstates {OWN}; dpkg --set-selections < /root/selections"
MASK = "systemctl stop aptguard.socket aptguard.service; systemctl mask aptguard.socket aptguard.service"
UNMASK = "systemctl unmask aptguard.socket aptguard.service; systemctl start aptguard.socket"
# aptitude calls dpkg once more after a run that failed: after the verdict, before it writes its wishes again.
KILLED = "pre-invoke=systemctl kill -s KILL aptguard.service || :\n"


@pytest.fixture(scope="module")
def machine(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    directory = tmp_path_factory.mktemp("toys")
    toys = [build_deb(directory, name, files={f"/usr/lib/{name}": "x\n"}, **TOYS[name]) for name in TOYS]
    toys.append(build_deb(directory, "bad-replace", "2.0", scripts=TOYS["bad-replace"]["scripts"]))
    with Guest(version, tree=guest_tree_with(version, PACKAGES)) as guest:
        publish(guest, toys, alone=True)
        put_drivers(guest)
        install_aptguard(guest, aptguard_deb)
        guest.run("apt-mark showauto | xargs --no-run-if-empty apt-mark -qq manual")
        guest.run("apt-get -q -y install bad-user other bad-replace=1.0; aptitude -q hold bad-replace")
        assert guest.run(["apt-mark", "showauto"]).stdout.split() == ["deeper", "needless"]
        guest.write("/srv/treasure", "treasure\n")
        guest.run(f"dpkg --get-selections > /root/selections; cp {OWN} /root/pkgstates")
        yield guest


def in_a_session(machine: Guest, command: str) -> Completed:
    return machine.run(["bash", "-c", A_SESSION.format(command=command)], check=False)


def assert_as_before(machine: Guest, done: Completed) -> None:
    said = done.stdout + done.stderr
    assert "BLOCKED" in said and machine.exists("/srv/treasure"), said
    now = machine.run(["dpkg", "--get-selections"]).stdout
    assert now == machine.read("/root/selections"), said
    assert machine.run(["python3", "-c", LOCKS]).stderr == ""
    assert machine.journal("APTGUARD_EVENT=degraded") == []


@pytest.mark.parametrize(
    "command",
    [
        "aptitude -q -y remove bad-user",
        "aptitude -q -y purge bad-user",
        "aptitude -q -y install bad-replace",  # which is held
        f"{SCREEN} -",
        f"{SCREEN} _",
    ],
)
def test_selections_are_as_before(machine: Guest, command: str) -> None:
    machine.run(AS_BEFORE)
    assert_as_before(machine, in_a_session(machine, command))


@pytest.mark.parametrize("command", ["aptitude -q -y purge bad-user", f"{SCREEN} _"])
def test_selections_are_as_before_without_a_daemon(machine: Guest, command: str) -> None:
    machine.run(f"{MASK}; {AS_BEFORE}")
    try:
        assert_as_before(machine, in_a_session(machine, command))
    finally:
        machine.run(UNMASK)


@pytest.mark.parametrize("first", [":", MASK], ids=["with a daemon", "without a daemon"])
def test_the_next_command_neither_finds_a_lock_nor_fulfils_a_wish(machine: Guest, first: str) -> None:
    machine.run(f"{first}; {AS_BEFORE}")
    again = "apt-get -q -y purge other && apt-get -q -y install other"
    try:
        done = in_a_session(machine, f"aptitude -q -y remove bad-user; {again}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert_as_before(machine, done)
        for name in TOYS:
            assert machine.exists(f"/usr/lib/{name}"), name
    finally:
        machine.run(UNMASK)


def test_selections_are_as_before_when_the_daemon_is_killed_meanwhile(machine: Guest) -> None:
    machine.run(AS_BEFORE)
    machine.write("/etc/dpkg/dpkg.cfg.d/killed", KILLED)
    try:
        done = in_a_session(machine, "aptitude -q -y purge bad-user")
    finally:
        machine.run("rm /etc/dpkg/dpkg.cfg.d/killed")
    assert_as_before(machine, done)


def test_what_ends_with_the_session_is_done_by_the_next_run(machine: Guest) -> None:
    machine.run(MASK)
    try:
        # The end of the unit ends all that has been started in it.
        machine.run(f"{AS_BEFORE}; aptitude -q -y purge bad-user", check=False)
        done = in_a_session(machine, "apt-get -q -y remove bad-user")
    finally:
        machine.run(UNMASK)
    assert_as_before(machine, done)


def test_a_wish_that_somebody_else_has_changed_since_stays(machine: Guest) -> None:
    machine.run(f"{MASK}; {AS_BEFORE}")
    try:
        machine.run("aptitude -q -y purge bad-user", check=False)
        machine.run("echo deeper hold | dpkg --set-selections")
        in_a_session(machine, "apt-get -q -y remove bad-user")
        now = dict(line.split() for line in machine.run(["dpkg", "--get-selections"]).stdout.splitlines())
        assert (now["bad-user"], now["needless"], now["deeper"]) == ("install", "install", "hold")
    finally:
        machine.run(f"{UNMASK}; dpkg --set-selections < /root/selections")
