# SPDX-License-Identifier: GPL-3.0-or-later
"""Without systemd there is no daemon: the hook runs the same engine itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.obsolete import OBSOLETE, Obsolete, build_obsolete
from testbed import snapshot
from testbed.guest import Container
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]


@pytest.fixture(scope="module")
def container(
    version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    """A container without an init system, with the obsolete packages and the guard."""
    directory: Path = tmp_path_factory.mktemp("obsolete")
    with Container(version) as machine:
        debs = [
            machine.copy_in(build_obsolete(directory, package), f"/root/{package.name}.deb")
            for package in OBSOLETE
        ]
        machine.install(*debs)
        install_aptguard(machine, aptguard_deb)
        yield machine


@pytest.mark.parametrize("package", OBSOLETE, ids=lambda package: package.name)
def test_the_deadly_purge_is_blocked_and_nothing_changes(container: Container, package: Obsolete) -> None:
    before = snapshot.take(container.path("/"))
    ended = container.run(["apt-get", "-y", "purge", package.name], check=False)
    harm = snapshot.harm(before, snapshot.take(container.path("/")))
    assert ended.returncode == 100, ended.stdout + ended.stderr
    assert "aptguard: BLOCKED" in ended.stderr
    assert harm == [], [str(difference) for difference in harm[:40]]


def test_a_harmless_package_comes_and_goes_without_a_word_of_the_guard(container: Container) -> None:
    for action in ("install", "purge"):
        ended = container.run(["apt-get", "-y", action, "hello"], check=False)
        assert ended.returncode == 0, ended.stderr
        assert "aptguard" not in ended.stderr


def test_the_status_is_degraded_for_want_of_a_daemon_and_the_record_is_kept(container: Container) -> None:
    status = container.run(["aptguard", "status", "--json"], check=False)
    document = json.loads(status.stdout)
    assert (status.returncode, document["state"]) == (1, "degraded")
    assert {danger["account"] for danger in document["dormant"]} >= {one.account for one in OBSOLETE}
    states = {check["name"]: check["state"] for check in document["checks"]}
    assert states["daemon"] == "degraded"
    assert states["apt hook"] == states["rehearsal"] == states["ledger"] == "ok"
    text = container.run(["aptguard", "status"], check=False).stdout
    assert "Dangers lying dormant" in text and OBSOLETE[0].account in text
    container.run(["aptguard", "check", "install", "hello"])
    assert container.run(["aptguard", "check", "purge", OBSOLETE[0].name], check=False).returncode == 10
    log = json.loads(container.run(["aptguard", "log", "--json"]).stdout)
    assert {entry["verdict"] for entry in log["transactions"]} == {"allow", "block"}


def test_the_selftest_passes(container: Container) -> None:
    assert container.run(["aptguard", "selftest"]).stdout.endswith("selftest: the guard works\n")
