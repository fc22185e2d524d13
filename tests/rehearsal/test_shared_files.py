# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that several packages of one transaction write: the one that did the harm is named, and no other."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.gather import files_to_collect, gather_facts
from aptguard.policy.finding import Finding, Judgement, Verdict
from aptguard.policy.judge import judge
from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import RehearsalResult
from aptguard.transaction.model import Action, Item, Transaction
from incidents.replay import shipped_policy
from packages.builder import build_deb
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root

NAMES = ("first", "second", "third")
# Each rewrites passwd(5) and group(5) in each of its scripts, as useradd and gpasswd do.
TOUCH = "useradd --system --no-create-home {0}-$$ && userdel {0}-$$"


def install(machine: Machine, where: Path, deeds: dict[str, str], script: str = "postrm") -> None:
    argument = {"postrm": "purge", "postinst": "configure"}[script]
    for name in NAMES:
        lines = [TOUCH.format(name), deeds.get(name, ""), TOUCH.format(name)]
        deed = "\n".join([f'[ "$1" = {argument} ] || exit 0', "[ ! -e /run/installing ] || exit 0", *lines])
        machine.write("/run/installing")
        machine.install(build_deb(where, name, files={f"/usr/share/{name}/x": "x"}, scripts={script: deed}))
    os.unlink(machine.path("/run/installing"))


def judged(
    machine: Machine, action: Action, archives: Path | None = None
) -> tuple[RehearsalResult, Judgement]:
    items = tuple(
        Item(
            name,
            "all",
            action,
            old_version="1.0",
            new_version=None if archives is None else "1.0",
            archive=None if archives is None else f"/var/tmp/{name}_1.0_all.deb",
        )
        for name in NAMES
    )
    transaction = Transaction("apt-get", items)
    database = DpkgDatabase(os.fsencode(machine.path("/")))
    result = machine.rehearse(
        *steps(transaction, triggers=False), collect=files_to_collect(transaction, database)
    )
    assert result.complete and result.unknowns == (), (result.unknowns, result.output)
    facts = gather_facts(transaction, result, database)
    return result, judge(transaction, result, facts, shipped_policy(), date(2026, 11, 23))


def the_account(judgement: Judgement, name: str) -> Finding:
    (found,) = [one for one in judgement.findings if one.account == name]
    return found


@pytest.mark.parametrize("guilty", ["second", "third"])
def test_of_three_postrms_that_write_the_account_files_the_one_that_removes_an_account_is_named(
    machine: Machine, tmp_path: Path, guilty: str
) -> None:
    assert machine.run("useradd", "--uid", "1234", "alice").returncode == 0
    install(machine, tmp_path, {guilty: "userdel alice"})
    result, judgement = judged(machine, Action.PURGE)
    found = the_account(judgement, "alice")
    assert (found.package, found.script) == (guilty, "postrm purge")
    assert found.command == (b"userdel", b"alice")
    assert judgement.verdict is Verdict.BLOCK
    assert {one.path for one in result.account_steps} == {b"/etc/passwd", b"/etc/group"}


@pytest.mark.parametrize("guilty", ["second", "third"])
@pytest.mark.parametrize(
    ("deed", "change"), [("usermod --uid 4321 daemon-x", "number"), ("usermod --home / daemon-x", "home")]
)
def test_of_three_postinsts_the_one_that_alters_an_account_is_named(
    machine: Machine, tmp_path: Path, guilty: str, deed: str, change: str
) -> None:
    account = ("useradd", "--system", "--no-create-home", "--home-dir", "/var/lib/x", "daemon-x")
    assert machine.run(*account).returncode == 0
    install(machine, tmp_path, {guilty: deed}, "postinst")
    _, judgement = judged(machine, Action.REINSTALL, tmp_path)
    found = the_account(judgement, "daemon-x")
    assert (found.package, found.script, found.change) == (guilty, "postinst configure", change)
    assert found.command[0] == b"usermod"


def test_an_account_that_a_shell_takes_out_by_itself_is_put_down_to_its_script(
    machine: Machine, tmp_path: Path
) -> None:
    assert machine.run("useradd", "--uid", "1234", "alice").returncode == 0
    install(machine, tmp_path, {"second": "grep -v ^alice: /etc/passwd > /etc/p; mv /etc/p /etc/passwd"})
    _, judgement = judged(machine, Action.PURGE)
    found = the_account(judgement, "alice")
    assert (found.package, found.script) == ("second", "postrm purge")


def test_where_the_steps_are_not_known_all_who_wrote_the_file_are_named_and_none_is_accused(
    machine: Machine, tmp_path: Path
) -> None:
    assert machine.run("useradd", "--uid", "1234", "alice").returncode == 0
    install(machine, tmp_path, {"second": "userdel alice"})
    transaction = Transaction("apt-get", tuple(Item(one, "all", Action.PURGE, "1.0") for one in NAMES))
    database = DpkgDatabase(os.fsencode(machine.path("/")))
    collect = files_to_collect(transaction, database)
    result = machine.rehearse(*steps(transaction, triggers=False), collect=collect)
    facts = gather_facts(transaction, result, database)
    blind = replace(result, account_steps=())
    judgement = judge(transaction, blind, facts, shipped_policy(), date(2026, 11, 23))
    found = the_account(judgement, "alice")
    assert (found.package, found.script) == (None, None)
    assert all(f"{name} postrm purge" in found.reason for name in NAMES)
    assert judgement.verdict is Verdict.BLOCK


def test_of_a_protected_file_that_two_of_three_scripts_change_both_are_told(
    machine: Machine, tmp_path: Path
) -> None:
    machine.write("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n")
    deeds = {
        "first": "cat /etc/fstab; : >> /etc/fstab",
        "second": "echo '/dev/sdb1 / ext4 defaults 0 1' > /etc/fstab",
        "third": "sed -i s/sdb1/sdb2/ /etc/fstab",
    }
    install(machine, tmp_path, deeds)
    _, judgement = judged(machine, Action.PURGE)
    told = {(one.package, one.script) for one in judgement.findings if one.path == b"/etc/fstab"}
    assert told == {("second", "postrm purge"), ("third", "postrm purge")}


def test_a_file_that_a_foreign_package_deletes_and_its_own_one_makes_anew_is_put_down_to_the_foreign_one(
    machine: Machine, tmp_path: Path
) -> None:
    machine.write("/srv/third/data", "rows\n")
    deeds = {"second": "rm /srv/third/data", "third": "echo other > /srv/third/data"}
    install(machine, tmp_path, deeds)
    _, judgement = judged(machine, Action.PURGE)
    told = {(one.package, one.script) for one in judgement.findings if one.path == b"/srv/third/data"}
    assert ("second", "postrm purge") in told
