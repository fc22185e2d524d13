# SPDX-License-Identifier: GPL-3.0-or-later
"""A server goes from Debian 12 to Debian 13 with the guard live, Python from 3.11 to 3.13 included.

Once aptguard stays as it is; once the upgrade brings a newer one, built with the tools of Debian 13. It takes
minutes and asks Debian's archive for all of the new packages, so it runs on demand: ``make test-upgrade``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from packages.builder import build_deb
from packages.other_version import NEWER, build_there
from testbed.guest import Completed, Guest
from testbed.repository import publish
from testbed.server import install_aptguard, rows_of_customers, tree_with_postgresql
from testbed.trees import CODENAMES, apt_sources, guest_tree_with

pytestmark = pytest.mark.needs_guest

# A few dozen packages with their dependencies: a server's usual company.
COMPANY = (
    *("cron", "openssh-server", "nginx-light", "rsyslog", "logrotate", "man-db", "less"),
    *("vim-tiny", "git", "curl", "rsync", "sudo", "unattended-upgrades", "aptitude", "locales", "dialog"),
)
TREASURE = "/srv/treasure"
QUIET = {
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_MODE": "l",
}


@pytest.fixture(scope="module")
def newer_deb(needs_guest: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A newer aptguard, built on Debian 13."""
    with Guest("13", tree=guest_tree_with("13", ["make"])) as machine:
        return build_there(machine, NEWER, tmp_path_factory.mktemp("newer"))


def new_sources(machine: Guest) -> None:
    """Have apt look into Debian 13 and nothing else."""
    text, suffix = apt_sources("13")
    machine.run("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
    machine.write(f"/etc/apt/sources.list.d/debian.{suffix}", text)


def upgrade(machine: Guest) -> Completed:
    """Do what Debian's release notes say, without questions."""
    machine.run(["apt-get", "-q", "update"], timeout=300)
    options = ["-o", "DPkg::Options::=--force-confold", "-o", "DPkg::Options::=--force-confdef"]
    return machine.run(["apt", "-y", *options, "full-upgrade"], timeout=2400, env=QUIET, check=False)


def installed_version(machine: Guest) -> str:
    """Return the version of aptguard that dpkg has on record as installed."""
    query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", "aptguard"]
    state, version = machine.run(query).stdout.split()
    assert state == "ii"
    return version


@pytest.mark.parametrize("brings_newer", [False, True], ids=["the same aptguard", "a newer aptguard"])
def test_the_upgrade_completes_and_the_guard_works_before_and_after(
    aptguard_deb: str, request: pytest.FixtureRequest, tmp_path: Path, brings_newer: bool
) -> None:
    with Guest("12", tree=tree_with_postgresql("12")) as machine:
        machine.install(*COMPANY)
        rows = rows_of_customers(machine)
        install_aptguard(machine, aptguard_deb)
        machine.write(TREASURE, "treasure\n")
        deb = build_deb(tmp_path, "heir", scripts={"postrm": f'[ "$1" != purge ] || rm -f {TREASURE}'})
        machine.install(machine.copy_in(deb, "/root/heir.deb"))
        assert machine.run(["apt-get", "-y", "purge", "heir"], check=False).returncode == 100

        new_sources(machine)
        version = installed_version(machine)
        if brings_newer:
            version = NEWER
            publish(machine, [request.getfixturevalue("newer_deb")])
        done = upgrade(machine)
        said = done.stdout[-8000:] + done.stderr[-8000:]
        assert done.returncode == 0, said
        assert "BLOCKED" not in done.stderr and "NOT " not in done.stderr, done.stderr

        assert installed_version(machine) == version
        assert machine.run(["aptguard", "--version"]).stdout.strip().endswith(version)
        assert CODENAMES["13"] in machine.read("/etc/os-release")
        assert machine.run(["python3", "--version"]).stdout.startswith("Python 3.13")
        assert machine.run(["dpkg", "--audit"]).stdout == ""
        status = machine.run(["aptguard", "status", "--json"], check=False)
        assert json.loads(status.stdout)["state"] == "live", status.stdout
        assert machine.run(["apt-get", "-y", "purge", "heir"], check=False).returncode == 100
        assert machine.exists(TREASURE)
        assert machine.run(["dpkg", "-P", "heir"], check=False).returncode == 2
        machine.run(["apt-get", "-y", "remove", "heir"])
        assert rows_of_customers(machine) == rows
