# SPDX-License-Identifier: GPL-3.0-or-later
"""Front ends that do not call apt's hook, or tell it too little: dpkg's hook judges each of their calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from system.front_ends import PACKAGES
from testbed.guest import Completed, Guest
from testbed.repository import publish
from testbed.server import install_aptguard
from testbed.trees import guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

TREASURE = "/srv/treasure"
HARM = f"rm -f {TREASURE}"
# As one that was started before the hook was installed.
WITHOUT_APTS_HOOK = """
mkdir -p /root/parts && cp /etc/apt/apt.conf.d/* /root/parts && rm -f /root/parts/05aptguard
printf 'Dir::Etc::parts "/root/parts";\\n' >/root/apt.conf
export APT_CONFIG=/root/apt.conf
"""
# Without apt's lock, so that dpkg is told of none.
A_PROGRAM_WITHOUT_LOCK = """
import sys, apt, apt_pkg
cache = apt.Cache()
cache[sys.argv[1]].mark_delete(purge=True)
apt_pkg.PackageManager(cache._depcache).do_install()
"""
OWN = "/var/lib/good/old"
PURGES = ("aptitude -q -y purge mine", "apt-get -y purge mine")
UNCHANGED = "this call of dpkg has changed nothing"


@pytest.fixture(scope="module")
def machine(version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    toys = tmp_path_factory.mktemp("toys")
    with Guest(version, tree=guest_tree_with(version, PACKAGES)) as guest:
        archives = [
            build_deb(toys, "grave", scripts={"postinst": HARM}),
            build_deb(toys, "hurried", scripts={"preinst": HARM}),
            build_deb(
                toys, "mine", files={"/etc/mine": "x"}, scripts={"postrm": f'[ "$1" != purge ] || {HARM}'}
            ),
            build_deb(toys, "toy", files={"/etc/toy.conf": "x\n"}),
            build_deb(toys, "needs", fields={"Depends": "absent"}, scripts={"postinst": "absent --now"}),
            build_deb(toys, "good", scripts={"postinst": f"rm -f {OWN}"}),
        ]
        for archive in archives:
            guest.copy_in(archive, f"/root/{archive.rpartition('/')[2].partition('_')[0]}.deb")
        install_aptguard(guest, aptguard_deb)
        publish(guest, archives, alone=True)
        guest.write("/root/a-program", A_PROGRAM_WITHOUT_LOCK)
        yield guest


@pytest.fixture
def sound(machine: Guest) -> Guest:
    machine.write(TREASURE, "treasure\n")
    machine.write(OWN, "of its own\n")
    machine.run(
        "aptguard pause --for 1min --reason set-up >/dev/null\n"
        "dpkg -P grave hurried needs good >/dev/null 2>&1 || true\n"
        "dpkg -i /root/toy.deb /root/mine.deb >/dev/null 2>&1; echo mine install | dpkg --set-selections\n"
        "aptguard resume >/dev/null"
    )
    return machine


def states(guest: Guest) -> str:
    """Return where the packages stand. Not dpkg's selections: those of aptitude's stay (selections.py)."""
    asked = (
        "dpkg-query -W -f '${Package} ${db:Status-Status}\\n' grave hurried mine toy needs good 2>/dev/null"
    )
    return guest.run(asked, check=False).stdout


def unhooked(guest: Guest, command: str) -> Completed:
    return guest.run(WITHOUT_APTS_HOOK + command, check=False, env={"DEBIAN_FRONTEND": "noninteractive"})


@pytest.mark.parametrize("command", ["apt-get -y install grave", "aptitude -q -y install grave", *PURGES])
def test_harm_that_a_later_call_would_do_stops_the_first_one(sound: Guest, command: str) -> None:
    before = states(sound)
    done = unhooked(sound, command)
    assert done.returncode != 0 and UNCHANGED in done.stdout + done.stderr, done.stdout + done.stderr
    assert sound.exists(TREASURE)
    assert states(sound) == before


def test_a_program_without_apts_lock_that_purges_is_stopped_before_it_removes(sound: Guest) -> None:
    before = states(sound)
    done = sound.run("python3 /root/a-program mine", check=False)
    assert UNCHANGED in done.stdout + done.stderr, done.stdout + done.stderr
    assert sound.exists(TREASURE)
    assert states(sound) == before


def test_what_is_stopped_half_way_is_not_said_to_have_changed_nothing(sound: Guest) -> None:
    done = unhooked(sound, "apt-get -y install hurried toy-")
    said = " ".join((done.stdout + done.stderr).split())
    assert f"{UNCHANGED}; what was done before it stays." in said
    assert "nothing has been changed" not in said
    assert sound.exists(TREASURE)
    assert "toy config-files" in states(sound)


def test_a_harmless_run_is_done_without_a_word_and_is_as_it_was_rehearsed(sound: Guest) -> None:
    done = unhooked(sound, "apt-get -y install good toy-")
    assert done.returncode == 0 and "aptguard" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert "good installed" in states(sound) and not sound.exists(OWN)
    assert sound.journal("SYSLOG_IDENTIFIER=aptguard", "APTGUARD_EVENT=diverged") == []


def test_what_cannot_be_configured_yet_may_be_unpacked(sound: Guest) -> None:
    done = sound.run("dpkg --status-fd 1 --unpack /root/needs.deb", check=False)
    assert done.returncode == 0 and "aptguard" not in done.stderr, done.stderr
    assert "needs unpacked" in states(sound)


def test_an_override_of_harm_that_a_later_call_would_do_lets_the_first_one_pass(sound: Guest) -> None:
    call = "dpkg --status-fd 1 --unpack /root/grave.deb"
    identifier = sound.run(f"{call} 2>&1 | sed -n 's/.*aptguard override \\([^ ]*\\).*/\\1/p'", check=False)
    sound.run(["aptguard", "override", identifier.stdout.strip(), "--reason", "wanted"])
    assert sound.run(call, check=False).returncode == 0
    assert "grave unpacked" in states(sound)
    assert sound.run("dpkg --status-fd 1 --configure --pending", check=False).returncode == 2
    assert sound.exists(TREASURE)
