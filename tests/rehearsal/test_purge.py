# SPDX-License-Identifier: GPL-3.0-or-later
"""The purge of a toy package is rehearsed: what it would do is said, and nothing of it is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.changes.model import Kind
from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import RehearsalResult, Step
from aptguard.transaction.model import Action, Item, Transaction
from packages.builder import build_deb
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root


def purge(name: str, action: Action = Action.PURGE) -> tuple[Step, ...]:
    item = Item(name, "all", action, old_version="1.0")
    return steps(Transaction("apt-get", (item,)), triggers=False)


def kinds(result: RehearsalResult, path: str) -> set[Kind]:
    return {kind for change in result.changes if change.path == path.encode() for kind in change.kinds}


@pytest.fixture
def toy(machine: Machine, tmp_path: Path) -> Machine:
    postrm = """
case "$1" in
purge)
    rm -rf /srv/data/cluster /opt/other /etc/toy-left
    chmod 700 /srv/data
    systemctl stop toy.service || :
    invoke-rc.d toy stop || :
    ;;
esac
"""
    machine.install(
        build_deb(
            tmp_path / "debs",
            "toy",
            files={"/usr/share/toy/a": "a", "/etc/toy.conf": "c"},
            scripts={"postrm": postrm},
        )
    )
    for path in ("/srv/data/cluster/base/1", "/srv/data/cluster/base/2", "/opt/other/file", "/etc/toy-left"):
        machine.write(path)
    return machine


def test_a_purge_tells_every_deleted_path_on_every_file_system(toy: Machine) -> None:
    result = toy.rehearse(*purge("toy"))
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    for path in (
        "/usr/share/toy/a",
        "/usr/share/toy",
        "/etc/toy.conf",
        "/etc/toy-left",
        "/opt/other/file",
        "/srv/data/cluster",
        "/srv/data/cluster/base/1",
        "/srv/data/cluster/base/2",
    ):
        assert kinds(result, path) == {Kind.DELETED}, path
    assert kinds(result, "/srv/data") == {Kind.MODE}
    assert [step.status for step in result.steps] == [0] * len(result.steps)


@pytest.mark.parametrize("wish", ["deinstall", "purge"])
def test_what_somebody_has_wished_away_earlier_stays_as_it_does_when_apt_purges(
    toy: Machine, tmp_path: Path, wish: str
) -> None:
    toy.install(build_deb(tmp_path / "debs", "bystander", files={"/usr/share/bystander": "b"}))
    status = toy.read("/var/lib/dpkg/status")
    head, name, tail = status.partition("Package: bystander\n")
    toy.write("/var/lib/dpkg/status", head + name + tail.replace("Status: install", f"Status: {wish}", 1))
    result = toy.rehearse(*purge("toy"))
    assert result.complete, (result.unknowns, result.output)
    assert kinds(result, "/etc/toy.conf") == {Kind.DELETED}
    assert kinds(result, "/usr/share/bystander") == set()


def test_nothing_of_a_rehearsed_purge_happens(toy: Machine) -> None:
    before = toy.read("/var/lib/dpkg/status")
    assert toy.rehearse(*purge("toy")).complete
    assert toy.read("/srv/data/cluster/base/1") == toy.read("/opt/other/file") == "kept\n"
    assert os.stat(toy.path("/srv/data")).st_mode & 0o777 == 0o751
    assert toy.read("/var/lib/dpkg/status") == before


def test_the_real_purge_does_what_the_rehearsal_said(toy: Machine) -> None:
    said = {c.path for c in toy.rehearse(*purge("toy")).changes if c.deleted}
    assert toy.run("dpkg", "--purge", "toy").returncode == 0
    assert said
    gone = {path for path in said if not os.path.lexists(toy.path(path.decode()))}
    assert gone == said


def test_a_removal_keeps_what_only_a_purge_deletes(toy: Machine) -> None:
    result = toy.rehearse(*purge("toy", Action.REMOVE))
    assert kinds(result, "/usr/share/toy/a") == {Kind.DELETED}
    assert not kinds(result, "/etc/toy.conf")
    assert not kinds(result, "/srv/data/cluster")


def test_services_are_recorded_and_the_recorders_are_no_change(toy: Machine) -> None:
    result = toy.rehearse(*purge("toy"))
    told = [effect for effect in result.effects if effect.detail == "would stop toy.service"]
    assert [(effect.kind, effect.cause) for effect in told] == [("service", "toy postrm")]
    assert not kinds(result, "/usr/bin/systemctl")
    assert not kinds(result, "/usr/sbin/policy-rc.d")


def test_a_recorder_that_a_script_deletes_is_a_change(machine: Machine) -> None:
    result = machine.rehearse_shell("rm /usr/bin/systemctl")
    assert kinds(result, "/usr/bin/systemctl") == {Kind.DELETED}


def test_a_failing_call_ends_the_sequence_and_keeps_what_was_done(machine: Machine, tmp_path: Path) -> None:
    machine.install(
        build_deb(tmp_path / "debs", "toy", scripts={"prerm": "rm /srv/data/one; echo no reason; exit 3"})
    )
    machine.write("/srv/data/one")
    result = machine.rehearse(*purge("toy"))
    assert not result.complete
    assert kinds(result, "/srv/data/one") == {Kind.DELETED}
    assert "no reason" in result.unknowns[0].reason
    assert result.steps[-1].status is None


def test_an_installation_is_rehearsed_with_its_archive(machine: Machine, tmp_path: Path) -> None:
    archive = build_deb(
        tmp_path / "debs",
        "fresh",
        files={"/usr/share/fresh": "f"},
        scripts={"postinst": "touch /srv/data/new"},
    )
    with open(archive, "rb") as source, open(machine.path("/var/tmp/fresh.deb"), "wb") as copy:
        copy.write(source.read())
    item = Item("fresh", "all", Action.INSTALL, new_version="1.0", archive=b"/var/tmp/fresh.deb")
    result = machine.rehearse(*steps(Transaction("apt-get", (item,)), triggers=True))
    assert result.complete, (result.unknowns, result.output)
    assert kinds(result, "/srv/data/new") == kinds(result, "/usr/share/fresh") == {Kind.CREATED}
    assert not os.path.lexists(machine.path("/srv/data/new"))


def test_wanted_files_are_collected_as_they_are_afterwards(machine: Machine) -> None:
    machine.write("/srv/data/list/one", "1")
    result = machine.rehearse(
        Step((b"/bin/sh", b"-c", b"echo new >/etc/hostname; ln -s /etc/hostname /srv/link")),
        collect=(b"/etc/hostname", b"/srv/link", b"/nowhere", b"/srv/data/list"),
    )
    assert result.collected[b"/etc/hostname"] == result.collected[b"/srv/link"] == b"new\n"
    assert result.collected[b"/nowhere"] is None
    assert result.collected[b"/srv/data/list/one"] == b"1"
