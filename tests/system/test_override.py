# SPDX-License-Identifier: GPL-3.0-or-later
"""One blocked transaction is let through, once, on the record; nothing else is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from packages.builder import build_deb
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

TREASURE = "/srv/treasure"
REASON = "ticket 4711: the file is not needed any more"
POSTRM = f'if [ "$1" = remove ]; then rm -f {TREASURE} /srv/other; fi'


@dataclass
class Machine:
    """A booted machine on which a package is installed that deletes one unowned file when it is removed."""

    guest: Guest
    deb: str

    def put_back(self) -> None:
        """Have the package and its victim as they were at first."""
        self.guest.write(TREASURE, "treasure\n")
        self.guest.run(["dpkg", "-i", self.deb])

    def remove(self, *more: str, action: str = "remove") -> Completed:
        """Try to remove the package (and ``more``)."""
        return self.guest.run(["apt-get", "-y", "-q", action, "heir", *more], check=False)

    def blocked(self, *more: str, action: str = "remove") -> str:
        """Try it, see it blocked with nothing changed, and return the ID."""
        ended = self.remove(*more, action=action)
        assert ended.returncode == 100, ended.stdout + ended.stderr
        assert self.guest.exists(TREASURE)
        found = re.search(r"aptguard override (\S+)", ended.stderr + ended.stdout)
        assert found, ended.stderr
        return found[1]

    def override(self, identifier: str, *options: str) -> Completed:
        """Override the transaction."""
        return self.guest.run(["aptguard", "override", identifier, "--reason", REASON, *options], check=False)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the journal's events of that name."""
        return self.guest.journal("SYSLOG_IDENTIFIER=aptguard", f"APTGUARD_EVENT={name}")


@pytest.fixture
def machine(guest: Guest, aptguard_deb: str, toys: Path) -> Iterator[Machine]:
    install_aptguard(guest, aptguard_deb)
    deb = guest.copy_in(build_deb(toys, "heir", scripts={"postrm": POSTRM}), "/root/heir.deb")
    bystander = build_deb(toys, "bystander", files={"/usr/share/bystander/x": "x"})
    guest.run(["dpkg", "-i", guest.copy_in(bystander, "/root/bystander.deb")])
    machine = Machine(guest, deb)
    machine.put_back()
    yield machine


def test_an_override_lets_the_transaction_through_once_and_stands_in_the_journal(machine: Machine) -> None:
    identifier = machine.blocked()
    granted = machine.override(identifier)
    assert granted.returncode == 0, granted.stderr
    passed = machine.remove()
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert not machine.guest.exists(TREASURE)
    assert identifier in passed.stderr and REASON[:20] in passed.stderr

    machine.put_back()
    assert machine.blocked() == identifier

    (grant,) = machine.events("override-granted")
    (use,) = machine.events("override-used")
    for event in (grant, use):
        assert event["APTGUARD_ID"] == identifier
        assert event["APTGUARD_REASON"] == REASON
        assert event["APTGUARD_USER"]
    assert len(machine.events("blocked")) == 2
    (override,) = json.loads(machine.guest.run(["aptguard", "override", "--list", "--json"]).stdout)[
        "overrides"
    ]
    assert (override["id"], override["state"], override["reason"]) == (identifier, "used", REASON)


def test_an_override_of_a_call_of_plain_dpkg_is_used_up_by_that_call(machine: Machine) -> None:
    def call() -> Completed:
        return machine.guest.run(["dpkg", "-r", "heir"], check=False)

    ended = call()
    assert ended.returncode == 2 and machine.guest.exists(TREASURE)
    found = re.search(r"aptguard override (\S+)", ended.stderr)
    assert found, ended.stderr
    machine.override(found[1])
    assert call().returncode == 0
    assert not machine.guest.exists(TREASURE)
    machine.guest.write(TREASURE, "treasure\n")
    machine.guest.run(["dpkg", "-i", machine.deb])
    assert call().returncode == 2
    assert machine.guest.exists(TREASURE)
    (use,) = machine.events("override-used")
    assert use["APTGUARD_ID"] == found[1]


def test_another_transaction_is_not_covered(machine: Machine) -> None:
    identifier = machine.blocked()
    machine.override(identifier)
    assert machine.blocked("bystander") != identifier
    assert machine.blocked(action="purge") != identifier
    assert machine.remove().returncode == 0


def test_the_same_transaction_with_a_new_finding_is_not_covered(machine: Machine) -> None:
    identifier = machine.blocked()
    machine.override(identifier)
    machine.guest.write("/srv/other", "somebody put this here meanwhile\n")
    assert machine.blocked() == identifier
    assert machine.guest.exists("/srv/other")


def test_a_run_that_another_hook_stops_does_not_use_the_override_up(machine: Machine) -> None:
    identifier = machine.blocked()
    machine.override(identifier)
    machine.guest.write("/etc/apt/apt.conf.d/99stop", 'DPkg::Pre-Install-Pkgs { "test ! -e /root/stop"; };\n')
    machine.guest.write("/root/stop", "")
    assert machine.remove().returncode == 100
    assert machine.guest.exists(TREASURE)
    machine.guest.run(["rm", "/root/stop"])
    assert machine.remove().returncode == 0


def test_a_revoked_override_lets_nothing_through(machine: Machine) -> None:
    identifier = machine.blocked()
    machine.override(identifier)
    machine.guest.run(["aptguard", "override", "--revoke", identifier])
    assert machine.blocked() == identifier


def test_an_expired_override_lets_nothing_through_and_says_so_in_the_journal(machine: Machine) -> None:
    identifier = machine.blocked()
    machine.override(identifier, "--for", "1s")
    machine.guest.run(["sleep", "1.1"])
    assert machine.blocked() == identifier
    (event,) = machine.events("override-expired")
    assert event["APTGUARD_ID"] == identifier


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["override", "2222-2222", "--reason", "x"], "There is no transaction 2222-2222"),
        (["override", "no such id", "--reason", "x"], "no such id"),
        (["override", "2222-2222"], "reason"),
        (["override", "2222-2222", "--reason", "  "], "reason is required"),
        (["override", "2222-2222", "--reason", "x", "--for", "yesterday"], "is no duration"),
        (["override", "--revoke", "2222-2222"], "There is no override of 2222-2222"),
        (["show", "2222-2222"], "There is no transaction 2222-2222"),
    ],
)
def test_a_wrong_request_is_answered_by_one_sentence_and_exit_code_2(
    guarded: Guest, words: list[str], sentence: str
) -> None:
    ended = guarded.run(["aptguard", *words], check=False)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
