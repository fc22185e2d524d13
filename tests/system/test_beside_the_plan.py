# SPDX-License-Identifier: GPL-3.0-or-later
"""What dpkg is told besides the packages: other roots, forces, and wishes in its own selections."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from packages.builder import build_deb
from testbed.guest import Guest
from testbed.repository import publish
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian(together=True)]

TREASURE = "/srv/customers/db"
HARM = "rm -rf /srv/customers"
ELSEWHERE = "-o DPkg::Options::=--root=/alt"
NOT_SET_ASIDE = "-o dpkg::selection::current::saveandrestore=false"
REMOVED_AND_WISHED = "dpkg -r mine; echo mine purge | dpkg --set-selections"


@pytest.fixture(scope="module")
def machine(version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    toys = tmp_path_factory.mktemp("toys")
    debs = {
        "grave": build_deb(toys, "grave", scripts={"postinst": HARM}),
        "toy": build_deb(toys, "toy", files={"/etc/toy.conf": "x\n"}),
        "bare": build_deb(toys, "bare", files={"/usr/share/bare": "x\n"}),
        "good": build_deb(toys, "good", files={"/etc/good.conf": "x\n"}),
        "mine": build_deb(
            toys, "mine", files={"/etc/mine": "x"}, scripts={"postrm": f'[ "$1" != purge ] || {HARM}'}
        ),
    }
    with Guest(version) as guest:
        for name, path in debs.items():
            guest.copy_in(path, f"/root/{name}.deb")
        guest.run("mkdir -p /alt/var/lib/dpkg/info /alt/var/lib/dpkg/updates; : >/alt/var/lib/dpkg/status")
        install_aptguard(guest, aptguard_deb)
        publish(guest, debs.values(), alone=True)
        yield guest


@pytest.fixture
def sound(machine: Guest) -> Guest:
    machine.run(
        "mkdir -p /srv/customers; echo 1 >/srv/customers/db\n"
        "aptguard pause --for 1min --reason set-up >/dev/null\n"
        "dpkg -P grave >/dev/null 2>&1 || true\n"
        "dpkg -i /root/toy.deb /root/bare.deb /root/mine.deb /root/good.deb >/dev/null 2>&1\n"
        "aptguard resume >/dev/null"
    )
    return machine


def reports(guest: Guest) -> list[dict[str, Any]]:
    log = json.loads(guest.run("aptguard log --json -n 1000").stdout)
    found: list[dict[str, Any]] = log["transactions"]
    return found


def end_of_last_run(guest: Guest) -> str:
    """Return how the newest transaction ended, once that has been compared with its rehearsal."""
    for _ in range(200):
        end = reports(guest)[0].get("real_run")
        if end:
            return str(end)
        time.sleep(0.1)
    raise AssertionError("nobody compared the last run")


@pytest.mark.parametrize(
    "command",
    [
        "dpkg --root=/alt --force-all -i /root/grave.deb",
        "dpkg --root=/alt --force-script-chrootless -i /root/grave.deb",
        "DPKG_FORCE=script-chrootless dpkg --root=/alt -i /root/grave.deb",
        f"apt-get -y {ELSEWHERE} -o DPkg::Options::=--force-script-chrootless install grave",
        f"DPKG_FORCE=script-chrootless apt-get -y {ELSEWHERE} install grave",
        "dpkg --instdir=/alt --admindir=/var/lib/dpkg --force-all -P mine",
    ],
)
def test_scripts_that_would_run_outside_of_the_other_root_are_stopped_with_a_way_out(
    sound: Guest, command: str
) -> None:
    before = len(reports(sound))
    done = sound.run(command, check=False)
    words = " ".join((done.stdout + done.stderr).split())  # apt gives dpkg a terminal of its own
    # What DPKG_FORCE says is only heard by dpkg's own hook, before each call of a run.
    own = "this call of dpkg has changed nothing" if "apt-get" in command else "nothing has been changed"
    assert done.returncode != 0
    assert "BLOCKED - nothing has been changed" in words or f"BLOCKED - {own}" in words, words
    assert sound.exists(TREASURE)
    assert len(reports(sound)) == before + 1
    assert "aptguard pause --for" in words or "say --root" in words


def test_the_database_of_this_machine_is_not_changed_for_another_root(sound: Guest) -> None:
    sound.run("dpkg --instdir=/alt --admindir=/var/lib/dpkg -P good", check=False)
    assert sound.run("dpkg-query -W -f '${Status}' good").stdout == "install ok installed"


def test_another_root_with_its_own_database_is_left_alone(sound: Guest) -> None:
    before = len(reports(sound))
    sound.run("dpkg --root=/alt --force-bad-path -i /root/good.deb")
    assert sound.exists("/alt/etc/good.conf")
    sound.run("dpkg --root=/alt -P good")
    assert not sound.exists("/alt/etc/good.conf")
    assert len(reports(sound)) == before


@pytest.mark.parametrize(
    "command",
    [
        "dpkg --root=/ -i /root/good.deb",
        "dpkg --root=/proc/self/root -i /root/good.deb",
        "dpkg --admindir=/var/lib/dpkg/ -i /root/good.deb",
        "cd /var/lib; dpkg --admindir=dpkg -i /root/good.deb",
        "dpkg --force depends -i /root/good.deb",
        "dpkg --no-force downgrade -i /root/good.deb",
        "dpkg --refuse downgrade --force all -i /root/good.deb",
        "apt-get -y -o DPkg::Options::=--force -o DPkg::Options::=depends install --reinstall good",
    ],
)
def test_what_dpkg_takes_is_judged_in_whichever_spelling(sound: Guest, command: str) -> None:
    done = sound.run(command)
    assert "aptguard" not in done.stderr
    assert reports(sound)[0]["verdict"] == "allow"


def test_harm_is_seen_under_any_spelling(sound: Guest) -> None:
    for command in ("dpkg --root=/ -P mine", "dpkg --force depends -P mine"):
        assert "BLOCKED" in sound.run(command, check=False).stderr
        assert sound.exists(TREASURE)


def test_a_file_that_does_not_exist_is_said_in_a_line_and_leaves_no_record(sound: Guest) -> None:
    before = len(reports(sound))
    done = sound.run("cd /root; dpkg -i good.deb nosuch.deb", check=False)
    assert done.returncode == 2
    assert "aptguard: stopped, nothing has been changed: there is no file nosuch.deb\n" in done.stderr
    assert "override" not in done.stderr
    assert len(reports(sound)) == before


@pytest.mark.parametrize(
    ("wish", "command"),
    [
        ("echo mine purge | dpkg --set-selections", f"apt-get -y {NOT_SET_ASIDE} purge toy"),
        (REMOVED_AND_WISHED, f"apt-get -y {NOT_SET_ASIDE} purge toy"),
        (REMOVED_AND_WISHED, "apt-get -y purge toy"),
        (REMOVED_AND_WISHED, "apt-get -y install --purge toy- good"),
    ],
)
def test_a_wish_that_apt_does_not_set_aside_is_not_fulfilled_unjudged(
    sound: Guest, wish: str, command: str
) -> None:
    sound.run(wish)
    done = sound.run(command, check=False)
    assert done.returncode == 100 and "BLOCKED - nothing has been changed" in done.stderr
    assert sound.exists(TREASURE)
    assert sound.run("dpkg-query -W -f '${db:Status-Abbrev}' toy").stdout == "ii "


def test_a_harmless_wish_stops_nothing_and_is_named(sound: Guest) -> None:
    sound.run("dpkg -r good; echo good purge | dpkg --set-selections")
    done = sound.run("apt-get -y purge toy")
    assert "aptguard" not in done.stderr
    assert sound.run("dpkg-query -W good", check=False).returncode != 0
    report = reports(sound)[0]
    assert report["verdict"] == "allow"
    assert "good" in sound.run(["aptguard", "show", report["id"]]).stdout


def test_a_wish_that_apt_does_not_come_to_is_no_divergence(sound: Guest) -> None:
    sound.run(f"{REMOVED_AND_WISHED}; rm -f /var/lib/dpkg/info/mine.postrm")
    sound.run("apt-get -y purge bare")  # nothing of it is left to be purged
    assert sound.run("dpkg-query -W -f '${db:Status-Abbrev}' mine").stdout == "pc "
    assert end_of_last_run(sound) == "as rehearsed"


def test_the_setting_alone_stops_nothing(sound: Guest) -> None:
    sound.run("dpkg -r good")
    assert "aptguard" not in sound.run(f"apt-get -y {NOT_SET_ASIDE} purge toy").stderr
