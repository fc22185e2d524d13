# SPDX-License-Identifier: GPL-3.0-or-later
"""Every captured run of apt against what apt really did afterwards (tests/data/protocol)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aptguard.transaction.apt_protocol import (
    ProtocolError,
    foreign_root,
    other_database,
    read_apt_input,
    transaction_from_apt,
)
from aptguard.transaction.dpkg_command import read_dpkg_command
from aptguard.transaction.model import Action, Transaction
from aptguard.transaction.package_state import PackageState

DATA = Path(__file__).parent.parent / "data" / "protocol"
CASES = sorted(path.stem for path in DATA.glob("*.v3"))
INSTALLED = PackageState("install", "installed")
RC = PackageState("deinstall", "config-files")
TO_PURGE = PackageState("purge", "installed")
TO_REMOVE = PackageState("deinstall", "installed")

# dpkg's states at the time of the hook, where they are not simply "install ok installed".
STATES = {
    "purge-rc": {"toy-conf": RC},
    "pyapt-purge-rc": {"toy-conf": RC},
    "apt-autopurge-rc": {"toy-conf": RC},
    "dselect": {"toy-conf": TO_PURGE, "toy-all": TO_REMOVE},
    "aptitude-remove": {"toy-conf": TO_REMOVE},
    "aptitude-purge": {"toy-conf": TO_PURGE},
    "aptitude-mixed": {"toy-conf": TO_PURGE, "toy-conf2": TO_REMOVE},
}
FRONTENDS = {"pk-remove": "packagekit", "uu": "unattended-upgrade", "t-remove": "apt"}
FRONTENDS |= {name: "aptitude" for name in CASES if name.startswith("aptitude")}
FRONTENDS |= {name: "libapt" for name in CASES if name.startswith("pyapt")}
FRONTENDS |= {name: "apt" for name in CASES if name.startswith("apt-")}


def truth(case: str) -> dict[str, set[str]]:
    text = (DATA / f"{case}.truth").read_text()
    found: dict[str, set[str]] = {}
    for word, names in re.findall(
        r"^(Install|Upgrade|Reinstall|Downgrade|Remove|Purge): (.*)$", text, re.MULTILINE
    ):
        found.setdefault(word.lower(), set()).update(names.split(", "))
    return found


def dpkg_calls(case: str) -> list[list[bytes]]:
    """Return the argv of each dpkg call; the truth writes bytes beyond ASCII as octal escapes."""
    lines = (DATA / f"{case}.truth").read_text().splitlines()
    return [
        [word.encode().decode("unicode_escape").encode("latin-1") for word in re.findall(r'"([^"]*)"', line)]
        for line in lines
        if line.startswith("[")
    ]


def transaction(case: str) -> Transaction:
    apt_input = read_apt_input((DATA / f"{case}.v3").read_bytes())
    states = {
        (item.package, item.old_architecture): STATES.get(case, {}).get(item.package, INSTALLED)
        for item in apt_input.items
        if item.old_architecture is not None
    }
    argv = ["aptitude", "-y"] if case.startswith("aptitude") else []
    return transaction_from_apt(apt_input, states, argv)


def announced(case: str, action: Action) -> set[str]:
    """The packages of an action, in the words of history.log: ``all`` is the native architecture there."""
    return {
        f"{item.package}:{'amd64' if item.architecture == 'all' else item.architecture}"
        for item in transaction(case).items
        if item.action is action
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("action", [Action.INSTALL, Action.UPGRADE, Action.REINSTALL, Action.DOWNGRADE])
def test_what_is_announced_to_be_unpacked_is_what_apt_unpacked(case: str, action: Action) -> None:
    if case == "uu" and action is Action.UPGRADE:  # three runs in the history, the last one captured
        assert announced(case, action) == {"toy-plain:amd64"} < truth(case)["upgrade"]
    else:
        assert announced(case, action) == truth(case).get(action.value, set())


@pytest.mark.parametrize("case", CASES)
def test_what_is_announced_to_go_is_what_apt_removed_or_purged(case: str) -> None:
    found = truth(case)
    assert announced(case, Action.REMOVE) | announced(case, Action.PURGE) == found.get(
        "remove", set()
    ) | found.get("purge", set())


@pytest.mark.parametrize("case", CASES)
def test_a_purge_is_never_taken_for_a_removal(case: str) -> None:
    assert truth(case).get("purge", set()) <= announced(case, Action.PURGE)


@pytest.mark.parametrize("case", CASES)
def test_remove_and_purge_are_told_apart_unless_the_item_says_it_is_assumed(case: str) -> None:
    for item in transaction(case).takes_away:
        if item.purge_assumed:
            assert case in ("pyapt-remove", "pyapt-mixed")
            assert item.action is Action.PURGE
    if not case.startswith("pyapt"):
        assert announced(case, Action.REMOVE) == truth(case).get("remove", set())


@pytest.mark.parametrize("case", CASES)
def test_the_front_end_is_recognised(case: str) -> None:
    assert transaction(case).frontend == FRONTENDS.get(case, "apt-get")


@pytest.mark.parametrize("case", CASES)
def test_only_the_run_into_another_root_is_foreign(case: str) -> None:
    configuration = read_apt_input((DATA / f"{case}.v3").read_bytes()).configuration
    assert (foreign_root(configuration) is not None) == (case == "chroot-directory")
    assert other_database(configuration) is None


@pytest.mark.parametrize("case", CASES)
def test_the_names_that_dpkg_was_given_are_the_items_qualified_names(case: str) -> None:
    qualified = {item.qualified for item in transaction(case).items}
    for call in dpkg_calls(case):
        command = read_dpkg_command(call)
        if command.action in ("remove", "purge", "configure"):
            assert {name.decode() for name in command.names} <= qualified


@pytest.mark.parametrize("case", CASES)
def test_the_archives_that_dpkg_was_given_are_the_items_archives(case: str) -> None:
    archives = {item.archive for item in transaction(case).items}
    for call in dpkg_calls(case):
        command = read_dpkg_command(call)
        if command.action == "unpack" and not command.recursive:
            assert set(command.archives) <= archives


def test_the_table_is_not_empty() -> None:
    assert len(CASES) == 43


def test_a_path_with_spaces_percents_and_raw_bytes_comes_through_unchanged() -> None:
    archives = [item.archive for item in transaction("localdeb").items if item.archive]
    assert archives == ["/tmp/a dir/x%y/p l=1é.deb".encode()]


def test_odd_settings_are_decoded() -> None:
    configuration = read_apt_input((DATA / "odd-config.v3").read_bytes()).configuration
    assert configuration.find('odd::KEY "x"') == b'a%b "c" d'
    assert configuration.find("Odd::Multi") == b"line1\nline2"
    assert configuration.text("Odd::utf") == "é☃"
    assert configuration.children("Odd::List") == (b"1", b"2")
    assert configuration.find("Odd::Empty") is None


def test_packagekits_dpkg_options_reach_the_transaction() -> None:
    found = transaction("pk-remove")
    assert found.dpkg_options == (b"--force-confdef", b"--force-confold")
    assert found.script_path == b"/usr/sbin:/usr/bin:/sbin:/bin"
    assert found.command_line == "packagekit role='remove-packages'"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.v[12]")), ids=lambda path: path.name)
def test_older_protocols_are_refused_with_the_reason_that_the_options_were_overridden(path: Path) -> None:
    with pytest.raises(ProtocolError, match=f"protocol {path.suffix[2]} .*DPkg::Tools::Options"):
        read_apt_input(path.read_bytes())


@pytest.mark.parametrize("case", CASES)
def test_a_capture_cut_off_anywhere_but_between_two_items_is_refused(case: str) -> None:
    data = (DATA / f"{case}.v3").read_bytes()
    body = data.index(b"\n\n") + 2
    for end in (*range(0, body, 97), *range(body + 1, len(data))):
        if end >= body and data[end - 1 : end] == b"\n":
            continue
        with pytest.raises(ProtocolError):
            read_apt_input(data[:end])
