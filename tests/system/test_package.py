# SPDX-License-Identifier: GPL-3.0-or-later
"""The package on booted Debians: it installs, and it leaves nothing and breaks nothing when it goes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.builder import build_deb
from testbed import snapshot
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = pytest.mark.needs_guest

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

INSTALLED = {
    "/usr/bin/aptguard": "755",
    "/usr/lib/python3/dist-packages/aptguard/cli/main.py": "644",
    "/usr/libexec/aptguard/apt-hook": "755",
    "/usr/libexec/aptguard/apt-announce": "755",
    "/usr/libexec/aptguard/dpkg-hook": "755",
    "/usr/libexec/aptguard/aptguardd": "755",
    "/etc/apt/apt.conf.d/05aptguard": "644",
    "/etc/dpkg/dpkg.cfg.d/aptguard": "644",
    "/usr/lib/systemd/system/aptguard.service": "644",
    "/usr/lib/systemd/system/aptguard.socket": "644",
    "/usr/lib/systemd/system/aptguard-readers.socket": "644",
    "/usr/lib/systemd/catalog/aptguard.catalog": "644",
    "/etc/aptguard/policy.d": "755",
    "/run/aptguard": "700",
    "/usr/share/man/man8/aptguard.8.gz": "644",
}

# Made by dpkg, systemd and Python for any package that comes and goes.
LEFT_BY_OTHERS = (
    ("/var/lib/dpkg/triggers/*", "dpkg's own book"),
    ("/var/lib/systemd/catalog/*", "computed from all catalogs"),
    ("/root/aptguard.deb", "the test's own copy"),
)


@pytest.fixture(scope="module")
def installed(version: str, aptguard_deb: str) -> Iterator[Guest]:
    """One machine for the tests that only look."""
    with Guest(version) as machine:
        install_aptguard(machine, aptguard_deb)
        yield machine


def test_every_file_is_in_its_place_with_its_mode(installed: Guest) -> None:
    found = installed.run(["stat", "--dereference", "--format=%a %n", *INSTALLED], check=False)
    modes = dict(reversed(line.split(" ", 1)) for line in found.stdout.splitlines())
    assert modes == INSTALLED, found.stderr
    assert installed.run("ls /usr/share/aptguard/policy.d/*.toml").stdout


def test_the_sockets_are_enabled_and_listening_and_no_unit_failed(installed: Guest) -> None:
    units = ["aptguard.socket", "aptguard-readers.socket"]
    assert installed.run(["systemctl", "is-enabled", *units]).stdout.split() == ["enabled"] * 2
    assert installed.run(["systemctl", "is-active", *units]).stdout.split() == ["active"] * 2
    assert installed.run(["systemctl", "--failed", "--no-legend"]).stdout == ""
    verify = ["systemd-analyze", "verify", "--man=no", "aptguard.service", *units]
    assert installed.run(verify).stderr == ""


def test_the_catalog_explains_the_events(installed: Guest) -> None:
    assert "aptguard" in installed.run(["journalctl", "--list-catalog"]).stdout


def test_purge_leaves_the_machine_as_it_was_before(guest: Guest, aptguard_deb: str) -> None:
    before = snapshot.take(guest.path("/"))
    install_aptguard(guest, aptguard_deb)
    guest.run(["apt-get", "-y", "purge", "aptguard"])
    harm = snapshot.harm(before, snapshot.take(guest.path("/")), LEFT_BY_OTHERS)
    assert harm == [], [str(difference) for difference in harm]
    assert not guest.exists("/var/lib/aptguard") and not guest.exists("/run/aptguard")


def test_after_remove_apt_and_dpkg_work_without_a_word_of_aptguard(guarded: Guest, toys: Path) -> None:
    guarded.run(["apt-get", "-y", "remove", "aptguard"])
    deb = guarded.copy_in(build_deb(toys, "toy"), "/root/toy.deb")
    for command in (["apt-get", "-y", "install", deb], ["apt-get", "-y", "purge", "toy"]):
        done = guarded.run(command)
        assert "aptguard" not in done.stdout + done.stderr
    for command in (["dpkg", "-i", deb], ["dpkg", "-P", "toy"]):
        done = guarded.run(command)
        assert "aptguard" not in done.stdout + done.stderr


def test_a_reinstallation_after_remove_arms_the_hooks_again(guarded: Guest, aptguard_deb: str) -> None:
    guarded.run(["apt-get", "-y", "remove", "aptguard"])
    install_aptguard(guarded, aptguard_deb)
    assert guarded.exists("/etc/apt/apt.conf.d/05aptguard")
    assert not guarded.exists("/etc/apt/apt.conf.d/05aptguard.disabled")
    assert guarded.run(["systemctl", "is-active", "aptguard.socket"]).stdout.strip() == "active"
    assert guarded.run(["dpkg", "--verify", "aptguard"]).stdout == ""


def test_a_second_build_gives_the_same_bytes(aptguard_deb: str, tmp_path: Path) -> None:
    with open(aptguard_deb, "rb") as file:
        first = file.read()
    (source,) = (path for path in (Path(aptguard_deb).parent / "package").iterdir() if path.is_dir())
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(source, elsewhere, symlinks=True)
    subprocess.run(["make", "deb"], cwd=elsewhere, check=True, capture_output=True, env=another_surrounding())
    (second,) = (elsewhere / "build").glob("aptguard_*_all.deb")
    assert second.read_bytes() == first


def another_surrounding() -> dict[str, str]:
    """Return an environment that differs in what builds are known to depend on."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TZ": "Asia/Kathmandu", "LANG": "C"}
