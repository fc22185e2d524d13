# SPDX-License-Identifier: GPL-3.0-or-later
"""aptguard itself is upgraded, downgraded, reinstalled, removed, purged, alone and with what it needs.

Every deed by some front end and every front end with some deed on each Debian; each deed by each front end,
and on machines where something is broken, in whole_life_cycle.py (``make test-lifecycle``).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from system.drivers import put_drivers
from system.front_ends import PACKAGES
from system.own_life import COMMANDS, DEEDS, Machine, furnish
from testbed.guest import Guest
from testbed.server import install_aptguard
from testbed.trees import guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

# By front end, in the order of DEEDS.
LIVES = {
    "12": ("PackageKit", "aptitude", "python-apt", "PackageKit", "apt", "aptitude", "dpkg", "apt-get"),
    "13": (
        *("unattended-upgrades", "PackageKit", "apt", "dpkg"),
        *("aptitude", "python-apt", "apt-get", "python-apt"),
    ),
}


@pytest.fixture(scope="module")
def machine(
    needs_guest: None,
    version: str,
    aptguard_deb: str,
    newer_aptguard_deb: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    with Guest(version, tree=guest_tree_with(version, PACKAGES)) as guest:
        put_drivers(guest)
        furnish(guest, str(tmp_path_factory.mktemp("toys")), aptguard_deb, newer_aptguard_deb)
        install_aptguard(guest, aptguard_deb)
        query = ["dpkg-query", "-W", "-f", "${Version}", "aptguard"]
        yield Machine(guest, guest.run(query).stdout)


def test_each_deed_and_each_front_end_is_among_the_lives() -> None:
    assert {front_end for life in LIVES.values() for front_end in life} == set(COMMANDS)
    assert all(len(life) == len(DEEDS) for life in LIVES.values())


def test_it_goes_through_a_life_and_guards_as_long_as_it_is_there(machine: Machine) -> None:
    for front_end, deed in zip(LIVES[machine.guest.version], DEEDS, strict=True):
        machine.does(front_end, deed)


def test_it_goes_together_with_python_itself(machine: Machine) -> None:
    guest = machine.guest
    guest.run("rm -f /var/lib/aptitude/pkgstates*; apt-get -q -y install /root/toys/old.deb python3-apt")
    machine.assert_guarded("")
    done = guest.run(["apt-get", "-q", "-y", "purge", "python3", "python3-minimal"], check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert machine.status() == "un" and not guest.exists("/usr/bin/python3"), said
    assert "BLOCKED" not in said and "NOT " not in done.stderr, said
    assert guest.run(["dpkg", "--audit"]).stdout == ""
    machine.assert_free(said)
