# SPDX-License-Identifier: GPL-3.0-or-later
"""Each deed to aptguard's own package by each front end, and on machines where something is broken.

It takes a quarter of an hour, so it runs on demand: ``make test-lifecycle``. test_its_own_life_cycle.py has a
part of it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.drivers import put_drivers
from system.front_ends import PACKAGES
from system.own_life import AFTERWARDS, COMMANDS, Machine, furnish, life_of
from system.test_nobody_is_locked_out import AILMENTS, OTHER_VERSION, Ailment
from testbed.guest import Guest
from testbed.server import install_aptguard
from testbed.trees import Tree, guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

QUERY = ["dpkg-query", "-W", "-f", "${Version}", "aptguard"]
LIFE_WHEN_ILL = ("reinstall", "upgrade", "downgrade", "remove with its libraries")
# Without Python nobody can remove Debian's libraries for it: their own prerm calls py3clean.
LIFE_WITHOUT_PYTHON = (*LIFE_WHEN_ILL[:-1], "remove")
IN_PYTHON = ("python-apt", "unattended-upgrades")


@pytest.fixture(scope="module")
def furnished_tree(
    needs_guest: None,
    version: str,
    aptguard_deb: str,
    newer_aptguard_deb: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tree]:
    """All front ends, aptguard and both of its versions; made once, booted many times."""
    base = guest_tree_with(version, PACKAGES)
    directory = tmp_path_factory.mktemp("furnished")
    layer = Path(directory, "layer")
    layer.mkdir(mode=0o755)
    with Guest(version, tree=base, upper=str(layer)) as guest:
        put_drivers(guest)
        furnish(guest, str(directory), aptguard_deb, newer_aptguard_deb)
        guest.write("/root/other-version.py", OTHER_VERSION)
        install_aptguard(guest, aptguard_deb)
        guest.shut_down()
    for name in ("var/log/journal", "etc/machine-id"):
        subprocess.run(["rm", "-rf", str(layer / name)], check=True)
    (layer / "etc/machine-id").write_text("")
    yield Tree(version, (str(layer), *base.layers))


@pytest.fixture
def machine(version: str, furnished_tree: Tree) -> Iterator[Machine]:
    with Guest(version, tree=furnished_tree) as guest:
        yield Machine(guest, guest.run(QUERY).stdout)


@pytest.mark.parametrize("front_end", COMMANDS)
def test_each_front_end_does_every_deed_that_it_has(machine: Machine, front_end: str) -> None:
    for by, deed in life_of(front_end):
        machine.does(by, deed)


@pytest.mark.parametrize("ailment", AILMENTS, ids=lambda ailment: ailment.name)
def test_an_ill_guard_can_be_renewed_and_then_be_taken_away_by_each_front_end(
    machine: Machine, ailment: Ailment
) -> None:
    guest = machine.guest
    guest.run(ailment.script)
    able = [name for name in COMMANDS if ailment.effect == "judged" or name not in IN_PYTHON]
    number = AILMENTS.index(ailment) + (guest.version == "13") * len(able) // 2
    life = LIFE_WITHOUT_PYTHON if ailment.without_python else LIFE_WHEN_ILL
    if machine.status().startswith("rc"):
        life = ("install", *life[1:])  # aptitude reinstalls only what is installed
    for step, deed in enumerate(life):
        name = able[(number + step) % len(able)]
        name = name if deed in COMMANDS[name] else "dpkg"
        done = guest.run(COMMANDS[name][deed].replace("OLD", machine.old), check=False, timeout=300)
        said = f"{name}: {deed}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        assert machine.status() in [state.replace("OLD", machine.old) for state in AFTERWARDS[deed]], said
        assert guest.run(["dpkg", "--audit"]).stdout == "", said
