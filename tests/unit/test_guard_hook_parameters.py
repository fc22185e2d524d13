# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the directories that a hook's caller named are this system's root and package database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.guard.hook_parameters import is_this_database, is_this_root, places_of_dpkg
from aptguard.guard.peer import own_process
from aptguard.transaction.dpkg_command import read_dpkg_command
from aptguard.transaction.other_system import Places


@pytest.mark.parametrize(
    ("cwd", "path", "same"),
    [
        (b"/", b"/proc/self/root", True),
        (b"/", b"/usr/..", True),
        (b"/usr", b"share/../..", True),
        (b"/usr", b"share", False),
        (b"/usr", b".", False),
        (b"/usr", b"..", True),
        (b"/", b"/usr", False),
        (b"/", b"/no/such/place", True),
        (b"/", b"a\0b", True),
    ],
)
def test_a_directory_is_another_root_only_where_it_can_be_seen_to_be_one(
    cwd: bytes, path: bytes, same: bool
) -> None:
    assert is_this_root(path, own_process(), cwd) is same


@pytest.mark.parametrize(
    ("cwd", "path", "same"),
    [
        (b"/", b"/var/lib/dpkg/", True),
        (b"/", b"//var/lib/dpkg", True),
        (b"/", b"/proc/self/root/var/lib/dpkg", True),
        (b"/var", b"lib/dpkg", True),
        (b"/", b"/var/lib", False),
        (b"/usr", b"lib/dpkg", False),
        (b"/", b"/no/such/place", False),
        (b"/", b"a\0b", False),
    ],
)
def test_a_directory_is_this_database_only_where_it_can_be_seen_to_be_it(
    cwd: bytes, path: bytes, same: bool
) -> None:
    assert is_this_database(path, own_process(), cwd) is same


def test_a_link_to_this_database_is_this_database(tmp_path: Path) -> None:
    os.symlink("/var/lib/dpkg", tmp_path / "link")
    assert is_this_database(b"link", own_process(), bytes(tmp_path))


def test_a_root_is_looked_for_where_dpkg_works(tmp_path: Path) -> None:
    assert is_this_root(b"..", own_process(), b"/usr")
    assert not is_this_root(b"..", own_process(), bytes(tmp_path))


@pytest.mark.parametrize(
    ("line", "said", "expected"),
    [
        ("dpkg -P a", {"root": "", "admindir": "/var/lib/dpkg"}, Places()),
        ("dpkg -P a", {"root": "/alt", "admindir": "/alt/d"}, Places(b"/alt", b"/alt/d")),
        ("dpkg --root=/x -P a", {"root": "/alt", "admindir": "/alt/d"}, Places(b"/alt", b"/alt/d")),
        ("dpkg --root=/x -P a", {}, Places(b"/x", b"/x/var/lib/dpkg")),
        ("dpkg -P a", {"environment": {"DPKG_FORCE": "depends,all"}}, Places(scripts_outside=True)),
        ("dpkg -P a", {"environment": {"DPKG_FORCE": "x,script-chrootless"}}, Places(scripts_outside=True)),
        ("dpkg --force-all -P a", {"environment": {"DPKG_FORCE": ""}}, Places(scripts_outside=True)),
        ("dpkg -P a", {"environment": {"DPKG_FORCE": "bad-path,depends"}, "root": 5}, Places()),
    ],
)
def test_where_dpkg_works_says_dpkg_itself(line: str, said: dict[str, object], expected: Places) -> None:
    assert places_of_dpkg(read_dpkg_command(line.encode().split()), said) == expected
