# SPDX-License-Identifier: GPL-3.0-or-later
"""``config`` scripts, which debconf's hook of apt runs as root before anything is unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.builder import build_deb
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard
from testbed.trees import guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

TREASURE = "/srv/customers/db"
TEMPLATES = "Template: toy/colour\nType: string\nDefault: red\nDescription: Colour?\n Which colour?\n"
CONFMODULE = ". /usr/share/debconf/confmodule"
# Relies on a file of its own package, which is not there before the package is unpacked.
EARLY = """[ ! -r /usr/share/toy/defaults ] || . /usr/share/toy/defaults
rm -rf "/srv/customers/$SPOOL"
"""
ASK = "db_input high toy/colour || true\ndb_go || true\n"


@pytest.fixture
def machine(version: str, aptguard_deb: str) -> Iterator[Guest]:
    with Guest(version, tree=guest_tree_with(version, ["apt-utils"])) as guest:
        install_aptguard(guest, aptguard_deb)
        guest.run("mkdir -p /srv/customers; echo 1 >/srv/customers/db")
        yield guest


def built(toys: Path, config: str, postinst: str) -> str:
    return build_deb(
        toys,
        "toy",
        files={"/usr/share/toy/defaults": "SPOOL=spool\n"},
        scripts={"config": f"{CONFMODULE}\n{config}", "postinst": postinst},
        control_files={"templates": TEMPLATES},
    )


def installed(machine: Guest, deb: str, *, on_terminal: bool) -> Completed:
    command = ["apt-get", "-y", "install", machine.copy_in(deb, "/root/toy.deb")]
    if on_terminal:
        return machine.on_terminal(command, check=False)
    return machine.run(command, check=False, env={"DEBIAN_FRONTEND": "noninteractive"})


@pytest.mark.parametrize("on_terminal", [False, True], ids=["noninteractive", "on a terminal"])
@pytest.mark.parametrize(
    "postinst", [f"{CONFMODULE}\ndb_get toy/colour", "true"], ids=["runs it again", "without debconf"]
)
def test_what_a_config_script_would_destroy_before_its_package_is_unpacked_is_blocked(
    machine: Guest, toys: Path, postinst: str, on_terminal: bool
) -> None:
    done = installed(machine, built(toys, EARLY, postinst), on_terminal=on_terminal)
    said = done.stdout + done.stderr
    assert machine.exists(TREASURE), said
    assert done.returncode == 100 and "BLOCKED" in said, said
    assert "by toy config configure" in said, said


def test_a_harmless_config_script_passes_and_its_question_is_still_asked(machine: Guest, toys: Path) -> None:
    deb = built(toys, ASK, f"{CONFMODULE}\ndb_get toy/colour\necho $RET >/srv/colour")
    done = installed(machine, deb, on_terminal=False)
    assert "Preconfiguring packages" in done.stdout and done.returncode == 0, done.stdout + done.stderr
    assert machine.read("/srv/colour") == "red\n"


def test_what_apt_does_not_run_before_unpacking_is_not_rehearsed(machine: Guest, toys: Path) -> None:
    machine.run(["rm", "/etc/apt/apt.conf.d/70debconf"])
    done = installed(machine, built(toys, EARLY, "true"), on_terminal=False)
    assert done.returncode == 0 and machine.exists(TREASURE), done.stdout + done.stderr


def test_a_debconf_that_cannot_run_the_config_scripts_leaves_the_verdict_unknown(
    machine: Guest, toys: Path
) -> None:
    machine.run("mv /usr/sbin/dpkg-preconfigure /root/kept; ln -s /bin/false /usr/sbin/dpkg-preconfigure")
    deb = machine.copy_in(built(toys, EARLY, "true"), "/root/toy.deb")
    done = machine.run(["aptguard", "check", "install", deb], check=False)
    assert done.returncode not in (0, 10), done.stdout + done.stderr
    machine.run("rm /usr/sbin/dpkg-preconfigure")
    assert machine.run(["aptguard", "check", "install", deb], check=False).returncode == 0


def test_check_sees_what_a_config_script_would_destroy(machine: Guest, toys: Path) -> None:
    deb = machine.copy_in(built(toys, EARLY, "true"), "/root/toy.deb")
    done = machine.run(["aptguard", "check", "install", deb], check=False)
    assert done.returncode == 10 and TREASURE in done.stdout, done.stdout + done.stderr
