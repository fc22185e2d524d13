# SPDX-License-Identifier: GPL-3.0-or-later
"""Where root may mount nothing, as in an unprivileged container: the status says off, the policy decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard

pytestmark = pytest.mark.needs_guest

# Root without CAP_SYS_ADMIN, capabilities(7): neither namespaces nor mounts.
POWERLESS = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
POLICY = "/etc/aptguard/policy.d/unable.toml"


@pytest.fixture(scope="module")
def machine(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    with Guest(version) as guest:
        install_aptguard(guest, aptguard_deb)
        guest.copy_in(build_deb(tmp_path_factory.mktemp("toys"), "toy"), "/root/toy.deb")
        guest.run(["systemctl", "mask", "--now", "aptguard.socket", "aptguard.service"])
        yield guest


@pytest.fixture
def installed(machine: Guest) -> Iterator[Guest]:
    machine.run("dpkg-query -W toy >/dev/null 2>&1 || dpkg -i /root/toy.deb")
    yield machine
    machine.run(["rm", "-f", POLICY])


def powerless(machine: Guest, *command: str) -> Completed:
    return machine.run([*POWERLESS, *command], check=False)


def own_lines(done: Completed) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("aptguard: ")]


def test_the_status_is_off_and_says_why(machine: Guest) -> None:
    done = powerless(machine, "aptguard", "status")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "no rehearsal can be made here" in " ".join(done.stdout.split())


def test_what_takes_nothing_away_goes_on_with_one_line(installed: Guest) -> None:
    done = powerless(installed, "apt-get", "-q", "-y", "install", "--reinstall", "/root/toy.deb")
    assert done.returncode == 0, done.stderr
    assert len(own_lines(done)) == 1, done.stderr
    assert "not fully rehearsed" in done.stderr


def test_a_removal_is_stopped(installed: Guest) -> None:
    done = powerless(installed, "apt-get", "-q", "-y", "remove", "toy")
    assert done.returncode == 100
    assert "BLOCKED" in done.stderr and "when_unable" in done.stderr
    assert powerless(installed, "dpkg", "-r", "toy").returncode == 2
    assert installed.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "toy"]).stdout == "ii "


def test_the_policy_can_let_all_pass_as_image_builds_want_it(installed: Guest) -> None:
    installed.write(POLICY, 'when_unable = "allow"\n')
    done = powerless(installed, "apt-get", "-q", "-y", "remove", "toy")
    assert done.returncode == 0, done.stderr
    assert len(own_lines(done)) == 1, done.stderr


def test_the_policy_can_stop_everything(installed: Guest) -> None:
    installed.write(POLICY, 'when_unable = "block"\n')
    done = powerless(installed, "apt-get", "-q", "-y", "install", "--reinstall", "/root/toy.deb")
    assert done.returncode == 100, done.stderr


def test_aptguard_can_be_taken_away(machine: Guest) -> None:
    assert powerless(machine, "apt-get", "-q", "-y", "purge", "aptguard").returncode == 0
