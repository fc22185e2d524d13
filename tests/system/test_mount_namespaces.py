# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions in the mount namespace of a service (systemd.exec(5), PrivateTmp=): its files are judged."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

TREASURE = "/srv/treasure"
HARM = f"rm -f {TREASURE}"


@pytest.fixture(scope="module")
def machine(version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    scripts = {"good": ":", "bad": HARM, "worse": f"# of another content\n{HARM}"}
    with Guest(version) as guest:
        for name, postinst in scripts.items():
            directory = tmp_path_factory.mktemp(name)
            package = "good" if name == "good" else "bad"
            deb = build_deb(
                directory, package, files={f"/usr/share/{package}": "x\n"}, scripts={"postinst": postinst}
            )
            guest.copy_in(deb, f"/root/{name}.deb")
        install_aptguard(guest, aptguard_deb)
        yield guest


@pytest.fixture
def sound(machine: Guest) -> Guest:
    machine.write(TREASURE, "treasure\n")
    machine.run("dpkg --purge good bad 2>/dev/null || true")
    return machine


def privately(guest: Guest, archive: str, command: str) -> Completed:
    """Run a command as a service with a /tmp of its own, in which the archive is named toy.deb."""
    script = f"cp /root/{archive}.deb /tmp/toy.deb; {command}"
    service = "systemd-run --quiet --wait --pipe --collect --property=PrivateTmp=yes"
    return guest.run(f"{service} sh -c {shlex.quote(script)}", check=False)


COMMANDS = ("dpkg -i /tmp/toy.deb", "apt-get -y install /tmp/toy.deb")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_harmless_is_installed_without_a_word(sound: Guest, command: str) -> None:
    done = privately(sound, "good", command)
    assert done.returncode == 0, done.stderr
    assert "aptguard" not in done.stdout + done.stderr
    assert sound.exists("/usr/share/good")


@pytest.mark.parametrize("command", COMMANDS)
def test_harm_is_stopped_by_its_name_and_an_override_of_it_fits_no_other_content(
    sound: Guest, command: str
) -> None:
    done = privately(sound, "bad", command)
    assert done.returncode != 0 and f"DELETED   {TREASURE}" in done.stderr, done.stderr
    identifier = re.search(r"aptguard override (\S+)", done.stderr)
    assert identifier is not None
    sound.run(["aptguard", "override", identifier[1], "--reason", "wanted"])
    assert privately(sound, "worse", command).returncode != 0
    assert sound.exists(TREASURE)
    assert privately(sound, "bad", command).returncode == 0
    assert not sound.exists(TREASURE)


def test_a_check_is_about_the_files_of_the_service(sound: Guest) -> None:
    assert privately(sound, "good", "aptguard check install /tmp/toy.deb").returncode == 0
    assert privately(sound, "bad", "aptguard check install /tmp/toy.deb").returncode == 10
