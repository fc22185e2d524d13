# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever is killed while a transaction is being judged: nothing is changed, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from testbed import snapshot
from testbed.guest import Completed, Guest
from testbed.repository import publish
from testbed.server import install_aptguard

pytestmark = pytest.mark.needs_guest

# A removal that takes long as long as a file is there; its sleep is known by its odd number.
SLOW = '[ "$1" != remove ] || [ ! -e /root/slow ] || sleep 631'

# Starts COMMAND, waits until its rehearsal is in the script, does DEED, prints the exit code of COMMAND.
RUN = """
set +e
: > /root/slow
setsid {command} < /dev/null > /root/said 2>&1 &
started=$!
for _ in $(seq 600); do pgrep -x sleep -a | grep -q 631 && break; sleep 0.05; done
pgrep -x sleep -a | grep -q 631 || {{ echo "never got there"; cat /root/said; exit 1; }}
{deed}
wait $started
echo "exit $?"
"""
REMOVE = "apt-get -q -y remove slow"
APT = "$(pgrep -x apt-get)"
CLIENT = "$(pgrep -f 'hook-client judge')"

# Everything that a rehearsal consists of, as the guest's PID 1 sees it.
LEFT = """
for _ in $(seq 100); do
    left=$(pgrep -x sleep -a | grep 631; pgrep -x dpkg -a; pgrep -f guard.embedded -a)
    # A rehearsal's layers are mounted nowhere else than at such places.
    mounts=$(grep -l layers/.*/merged /proc/[0-9]*/mountinfo 2>/dev/null)
    test -z "$left$mounts" && break
    sleep 0.05
done
echo "$left$mounts"
"""


@pytest.fixture(scope="module")
def machine(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    toys = tmp_path_factory.mktemp("toys")
    with Guest(version) as guest:
        publish(guest, [build_deb(toys, "slow", scripts={"prerm": SLOW})])
        guest.run(["apt-get", "-y", "install", "slow"])
        install_aptguard(guest, aptguard_deb)
        yield guest


@pytest.fixture
def usable(machine: Guest) -> Iterator[Guest]:
    yield machine
    machine.run("rm -f /root/slow; systemctl reset-failed")
    machine.run("dpkg-query -W slow >/dev/null 2>&1 || apt-get -q -y install slow")


def run(machine: Guest, command: str, deed: str) -> Completed:
    """Do RUN; as a file, so that no command line but theirs has the names of the victims in it."""
    machine.write("/root/run", RUN.format(command=command, deed=deed))
    return machine.run(["bash", "/root/run"])


def look(machine: Guest) -> snapshot.Snapshot:
    found = snapshot.take(machine.path("/"), ["/var/lib/dpkg"])
    return {path: entry for path, entry in found.items() if not path.endswith((b"/lock", b"/lock-frontend"))}


# Fails when anybody holds one.
LOCKS = """
import fcntl
for name in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/cache/apt/archives/lock"):
    with open(name, "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""


def assert_nothing_left(machine: Guest) -> None:
    machine.write("/root/left", LEFT)
    assert machine.run(["bash", "/root/left"]).stdout.strip() == ""
    assert machine.run(["dpkg", "--audit"]).stdout == ""
    assert machine.run(["python3", "-c", LOCKS]).stderr == ""


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        (f"kill -INT {CLIENT}", 100),  # apt itself ignores ^C while its hook runs
        (f"kill -TERM {APT}", 143),
        (f"kill -HUP {APT}", 129),
        (f"kill -KILL {APT}", 137),
        (f"kill -KILL {CLIENT}", 100),
        ("kill -KILL $(pgrep -f 'libexec/aptguard/apt-hook' | head -n 1)", 100),
    ],
    ids=["interrupted", "apt terminated", "apt hung up", "apt killed", "hook killed", "hook's shell killed"],
)
def test_a_run_that_is_ended_while_it_is_judged_changes_nothing(usable: Guest, deed: str, code: int) -> None:
    before = look(usable)
    done = run(usable, REMOVE, deed)
    assert done.stdout.strip() == f"exit {code}", done.stdout + usable.read("/root/said")
    assert_nothing_left(usable)
    assert snapshot.differences(before, look(usable)) == []


def test_a_killed_call_of_dpkg_leaves_nothing_behind(usable: Guest) -> None:
    before = look(usable)
    done = run(usable, "dpkg -r slow", "kill -KILL $started")
    assert done.stdout.strip() == "exit 137", done.stdout
    assert_nothing_left(usable)
    assert snapshot.differences(before, look(usable)) == []


def test_where_the_daemon_is_killed_the_hook_judges_itself(usable: Guest) -> None:
    deed = "rm /root/slow; systemctl kill --signal KILL aptguard.service"
    done = run(usable, REMOVE, deed)
    assert done.stdout.strip() == "exit 0", usable.read("/root/said")
    assert "NOT" not in usable.read("/root/said")
    assert usable.run(["dpkg-query", "-W", "slow"], check=False).returncode == 1
    assert_nothing_left(usable)


def test_where_the_rehearsal_is_killed_the_verdict_is_unknown(usable: Guest) -> None:
    before = look(usable)
    done = usable.run(RUN.format(command=REMOVE, deed="kill -KILL $(ps -o ppid= -C dpkg | head -n 1)"))
    assert done.stdout.strip() == "exit 100", usable.read("/root/said")
    assert "BLOCKED" in usable.read("/root/said")
    assert_nothing_left(usable)
    assert snapshot.differences(before, look(usable)) == []
