# SPDX-License-Identifier: GPL-3.0-or-later
"""The package on a machine with a kernel of its own; run in a virtual machine, one test after the other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from packages.builder import build_deb
from packages.obsolete import OBSOLETE, build_obsolete
from testbed import snapshot
from testbed.guest import Completed
from testbed.here import Here, missing_throw_away
from testbed.server import install_aptguard, rows_of_customers

TREASURE = "/srv/treasure"
HEIR = f'if [ "$1" = remove ]; then rm -f {TREASURE}; fi'
SLOW = 600.0  # seconds; the processor is emulated
# What stands below them is the tests' own, or that of the kernel and systemd.
PLACES = ("/bin", "/boot", "/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var/lib", "/var/www")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    reason = missing_throw_away()
    if reason:
        pytest.skip(reason)
    debs = tmp_path_factory.mktemp("debs")
    with Here() as here:
        here.run(["systemctl", "start", "postgresql.service"], timeout=SLOW)
        toys = [build_obsolete(debs, package) for package in OBSOLETE]
        toys.append(build_deb(debs, "heir", scripts={"postrm": HEIR}))
        here.install(*toys)
        here.write(TREASURE, "treasure\n")
        install_aptguard(here, os.environ["APTGUARD_TEST_DEB"])
        yield here


def apt(machine: Here, *words: str) -> Completed:
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    return machine.run(["apt-get", "-q", "-y", *words], env=env, timeout=SLOW, check=False)


def identifier(ended: Completed) -> str:
    found = re.search(r"aptguard override (\S+)", ended.stderr + ended.stdout)
    assert found, ended.stdout + ended.stderr
    return found[1]


def test_apparmor_is_on_and_no_unit_has_failed(machine: Here) -> None:
    assert machine.read("/sys/module/apparmor/parameters/enabled").strip() == "Y"
    assert machine.run(["systemctl", "--failed", "--no-legend"]).stdout == ""
    sockets = machine.run(["systemctl", "is-active", "aptguard.socket", "aptguard-readers.socket"])
    assert sockets.stdout.split() == ["active", "active"]


def test_the_selftest_passes(machine: Here) -> None:
    done = machine.run(["aptguard", "selftest"], timeout=SLOW)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_hooks_are_wired_and_nothing_is_degraded(machine: Here) -> None:
    done = machine.run(["aptguard", "status", "--json"], timeout=SLOW, check=False)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for name in ("apt hook", "dpkg hook"):
        assert checks[name]["state"] == "ok", checks[name]
    assert [check for check in checks.values() if check["state"] not in {"ok", "dormant"}] == []


@dataclass(frozen=True, slots=True)
class Day:
    """Each of the obsolete packages was to be purged, and one was to be removed by dpkg itself."""

    ended: dict[str, Completed]
    before: snapshot.Snapshot
    after: snapshot.Snapshot
    rows: tuple[str, str]


@pytest.fixture(scope="module")
def day(machine: Here) -> Day:
    rows = rows_of_customers(machine)
    before = snapshot.take("/", PLACES)
    ended = {package.name: apt(machine, "purge", package.name) for package in OBSOLETE}
    ended["dpkg"] = machine.run(["dpkg", "--remove", OBSOLETE[0].name], timeout=SLOW, check=False)
    after = snapshot.take("/", PLACES)
    return Day(ended, before, after, (rows, rows_of_customers(machine)))


def test_each_attempt_of_the_day_is_blocked(day: Day) -> None:
    for package in OBSOLETE:
        ended = day.ended[package.name]
        assert ended.returncode == 100, ended.stdout + ended.stderr
        assert package.script in ended.stdout + ended.stderr
        assert identifier(ended)
    assert day.ended["dpkg"].returncode != 0, day.ended["dpkg"].stderr
    assert identifier(day.ended["dpkg"])


def test_every_file_is_as_it_was_on_that_day(day: Day) -> None:
    assert len(day.before) > 10_000
    harm = snapshot.harm(day.before, day.after, snapshot.POSTGRESQL_WRITES)
    assert harm == [], [str(difference) for difference in harm[:40]]
    assert day.rows[0].startswith("5000|")
    assert day.rows[1] == day.rows[0]


def test_the_journal_has_an_event_of_each_attempt(machine: Here, day: Day) -> None:
    events = machine.journal("SYSLOG_IDENTIFIER=aptguard", "APTGUARD_EVENT=blocked")
    assert {identifier(ended) for ended in day.ended.values()} <= {event["APTGUARD_ID"] for event in events}
    assert {event["APTGUARD_VERDICT"] for event in events} == {"block"}


def test_a_rehearsal_of_the_daemon_is_complete_and_bounded_by_the_kernel(machine: Here, day: Day) -> None:
    """The machine has all controllers: no note says that a bound is kept by polling only."""
    shown = machine.run(["aptguard", "show", identifier(day.ended[OBSOLETE[0].name]), "--json"], timeout=SLOW)
    report = json.loads(shown.stdout)
    notes = [note for note in report["notes"] if "control group" in note or "Landlock" in note]
    assert notes == []


def test_an_override_lets_one_transaction_through_once(machine: Here) -> None:
    blocked = apt(machine, "remove", "heir")
    assert blocked.returncode == 100, blocked.stderr
    name = identifier(blocked)
    machine.run(["aptguard", "override", name, "--reason", "ticket 4711"], timeout=SLOW)
    passed = apt(machine, "remove", "heir")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert not machine.exists(TREASURE)
    events = machine.journal("SYSLOG_IDENTIFIER=aptguard", f"APTGUARD_ID={name}")
    kinds = [event["APTGUARD_EVENT"] for event in events]
    assert kinds.count("override-granted") == 1 and kinds.count("override-used") == 1
    listed = json.loads(machine.run(["aptguard", "override", "--list", "--json"], timeout=SLOW).stdout)
    assert [(o["id"], o["state"]) for o in listed["overrides"]] == [(name, "used")]


def test_an_ordinary_package_comes_and_goes(machine: Here, tmp_path_factory: pytest.TempPathFactory) -> None:
    deb = build_deb(tmp_path_factory.mktemp("toy"), "bystander", files={"/usr/share/bystander/x": "x"})
    for words in (("install", deb), ("purge", "bystander")):
        ended = apt(machine, *words)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_purge_of_the_guard_leaves_nothing_and_apt_works_without_it(machine: Here) -> None:
    ended = apt(machine, "purge", "aptguard")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    left = machine.run(
        "find / -xdev -regex '/proc\\|/run/testbed\\|/tmp\\|/root\\|/var/tmp' -prune"
        " -o -iname '*aptguard*' -print",
        timeout=SLOW,
    ).stdout.splitlines()
    # systemd keeps the time of a timer, and pytest the package that it was given.
    assert [path for path in left if not path.startswith("/var/log")] == []
    ended = apt(machine, "check")
    assert ended.returncode == 0, ended.stderr
    assert machine.run(["dpkg", "--audit"]).stdout == ""
