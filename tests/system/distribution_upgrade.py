# SPDX-License-Identifier: GPL-3.0-or-later
"""A server goes from Debian 12 to Debian 13 with the guard live, Python from 3.11 to 3.13 included.

It takes minutes and asks Debian's archive for all of the new packages, so it runs on demand only:
``make test-upgrade``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from packages.builder import build_deb
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard, rows_of_customers, tree_with_postgresql
from testbed.trees import CODENAMES, apt_sources

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


def upgrade(machine: Guest) -> Completed:
    """Do what Debian's release notes say, without questions."""
    text, suffix = apt_sources("13")
    machine.run("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
    machine.write(f"/etc/apt/sources.list.d/debian.{suffix}", text)
    machine.run(["apt-get", "-q", "update"], timeout=300)
    options = ["-o", "DPkg::Options::=--force-confold", "-o", "DPkg::Options::=--force-confdef"]
    return machine.run(["apt", "-y", *options, "full-upgrade"], timeout=2400, env=QUIET, check=False)


def test_the_upgrade_completes_and_the_guard_works_before_and_after(
    aptguard_deb: str, tmp_path: Path
) -> None:
    with Guest("12", tree=tree_with_postgresql("12")) as machine:
        machine.install(*COMPANY)
        rows = rows_of_customers(machine)
        install_aptguard(machine, aptguard_deb)
        machine.write(TREASURE, "treasure\n")
        deb = build_deb(tmp_path, "heir", scripts={"postrm": f'[ "$1" != purge ] || rm -f {TREASURE}'})
        machine.install(machine.copy_in(deb, "/root/heir.deb"))
        assert machine.run(["apt-get", "-y", "purge", "heir"], check=False).returncode == 100

        done = upgrade(machine)
        said = done.stdout[-8000:] + done.stderr[-8000:]
        assert done.returncode == 0, said
        assert "BLOCKED" not in done.stderr and "NOT " not in done.stderr, done.stderr

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
