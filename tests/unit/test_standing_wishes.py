# SPDX-License-Identifier: GPL-3.0-or-later
"""Which wishes in dpkg's selections a run of apt fulfils along with its plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from aptguard.guard.settling import as_removals
from aptguard.guard.standing_wishes import why_not_set_aside, with_standing_wishes
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.transaction.configuration import AptConfiguration
from aptguard.transaction.model import Action, Item, Transaction
from unit.dpkg_roots import Root

PURGE = Item("toy", "amd64", Action.PURGE, old_version="1")
REMOVE = Item("toy", "amd64", Action.REMOVE, old_version="1")
INSTALL = Item("toy", "amd64", Action.INSTALL, new_version="1", archive=b"/toy.deb")
CONFIGURE = Item("toy", "amd64", Action.CONFIGURE)


def database(directory: Path, status: str, *, same: bool = False) -> DpkgDatabase:
    root = Root(str(directory / "root"))
    root.package("toy", [])
    root.package("mine", [], status=status, same=same)
    return DpkgDatabase(root.path)


def plan(*items: Item) -> Transaction:
    return Transaction("apt-get", items)


def wished(transaction: Transaction, base: DpkgDatabase) -> list[str]:
    known = set(transaction.items)
    return [
        f"{item.action.value} {item.package}"
        for item in with_standing_wishes(transaction, base).items
        if item not in known
    ]


@pytest.mark.parametrize(
    ("status", "item", "expected"),
    [
        ("purge ok config-files", PURGE, ["purge mine"]),
        ("purge ok config-files", REMOVE, []),
        ("purge ok config-files", INSTALL, []),
        ("deinstall ok config-files", PURGE, []),
        ("install ok config-files", PURGE, []),
        ("purge ok installed", PURGE, []),  # set aside for the time of the run
        ("purge ok not-installed", PURGE, []),
    ],
)
def test_a_purge_fulfils_the_wishes_that_apt_does_not_set_aside(
    tmp_path: Path, status: str, item: Item, expected: list[str]
) -> None:
    assert wished(plan(item), database(tmp_path, status)) == expected


def test_a_wish_is_seen_however_the_status_file_writes_it(tmp_path: Path) -> None:
    base = database(tmp_path, "install ok installed")
    with open(base.administrative_directory + b"/status", "ab") as file:
        file.write(b"package: odd\nSTATUS:\tPurge ok config-files\narchitecture: all\nversion: 1\n")
    assert base.may_have_selected("purge")
    assert not base.may_have_selected("hold")


def test_what_the_plan_has_itself_is_no_wish(tmp_path: Path) -> None:
    base = database(tmp_path, "purge ok config-files")
    mine = Item("mine", "amd64", Action.PURGE, old_version="1")
    other_architecture = Item("mine", "all", Action.INSTALL, new_version="2", archive=b"/mine.deb")
    assert wished(plan(PURGE, mine), base) == []
    assert wished(plan(PURGE, other_architecture), base) == []


def test_of_what_is_there_for_two_architectures_each_has_a_wish_of_its_own(tmp_path: Path) -> None:
    base = database(tmp_path, "purge ok config-files", same=True)
    brought = Item("mine", "i386", Action.INSTALL, new_version="1", archive=b"/m.deb", multi_arch="same")
    assert wished(plan(PURGE, brought), base) == ["purge mine"]


def test_a_wish_stands_before_what_is_configured_in_the_end(tmp_path: Path) -> None:
    found = with_standing_wishes(
        plan(INSTALL, PURGE, CONFIGURE), database(tmp_path, "purge ok config-files")
    ).items
    assert [item.action for item in found] == [Action.INSTALL, Action.PURGE, Action.PURGE, Action.CONFIGURE]
    assert found[2].package == "mine" and found[2].purge_assumed  # apt may not get that far


def test_a_plan_that_turns_out_to_be_a_removal_fulfils_no_wish(tmp_path: Path) -> None:
    assumed = Item("toy", "amd64", Action.PURGE, old_version="1", purge_assumed=True)
    gentler = as_removals(plan(assumed))
    assert gentler is not None
    assert wished(gentler, database(tmp_path, "purge ok config-files")) == []


@pytest.mark.parametrize("status", ["purge ok installed", "deinstall ok installed", "deinstall ok unpacked"])
@pytest.mark.parametrize("item", [PURGE, REMOVE], ids=["purge", "remove"])
@pytest.mark.parametrize("value", [b"false", b"No", b"0", b"off", b"without", b"disable", b"FALSE"])
def test_a_wish_that_apt_was_told_not_to_set_aside_is_named(
    tmp_path: Path, status: str, item: Item, value: bytes
) -> None:
    configuration = AptConfiguration([(b"DPkg::Selection::Current::SaveAndRestore", value)])
    reason = why_not_set_aside(plan(item), configuration, database(tmp_path, status)) or ""
    assert f"'mine {status.split(maxsplit=1)[0]}'" in reason
    assert "echo mine install | dpkg --set-selections" in reason


@pytest.mark.parametrize(
    ("status", "item", "value"),
    [
        ("install ok installed", PURGE, b"false"),
        ("hold ok installed", PURGE, b"false"),
        ("deinstall ok config-files", PURGE, b"false"),  # what every removal leaves
        ("purge ok installed", INSTALL, b"false"),
        ("purge ok installed", PURGE, b"true"),
        ("purge ok installed", PURGE, b"maybe"),
        ("purge ok installed", PURGE, None),
    ],
)
def test_without_such_a_wish_or_setting_nothing_is_stopped(
    tmp_path: Path, status: str, item: Item, value: bytes | None
) -> None:
    pairs = [] if value is None else [(b"dpkg::selection::current::saveandrestore", value)]
    assert why_not_set_aside(plan(item), AptConfiguration(pairs), database(tmp_path, status)) is None


def test_a_package_that_apt_does_not_see_for_want_of_a_version_is_not_set_aside_either(
    tmp_path: Path,
) -> None:
    base = database(tmp_path, "install ok installed")
    with open(base.administrative_directory + b"/status", "ab") as file:
        file.write(b"Package: odd\nStatus: purge ok half-installed\nArchitecture: all\n")
    assert wished(plan(PURGE), base) == ["purge odd"]
