# SPDX-License-Identifier: GPL-3.0-or-later
"""Another system is left alone; what is one in parts only is neither that nor this one."""

from __future__ import annotations

import pytest

from aptguard.transaction.dpkg_command import read_dpkg_command
from aptguard.transaction.other_system import Places, is_another_system, places_of, why_partly_another


def places(options: str) -> Places:
    return places_of(read_dpkg_command(f"dpkg {options} -P a".encode().split()))


@pytest.mark.parametrize(
    "options",
    [
        "--root=/alt",
        "--root /alt",
        "--root=/alt/",
        "--root=/alt --force-depends",
        "--root=/alt --force-all --no-force-script-chrootless",
        "--instdir=/alt --admindir=/alt/var/lib/dpkg",
    ],
)
def test_another_root_with_another_database_is_another_system(options: str) -> None:
    assert is_another_system(places(options))
    assert why_partly_another(places(options)) is None


@pytest.mark.parametrize(
    "options",
    ["", "--root=/", "--root=//", "--root=/alt/..", "--root=/alt --root=/", "--admindir=/var/lib/dpkg/"],
)
def test_this_system_under_another_spelling_is_this_system(options: str) -> None:
    assert not is_another_system(places(options))
    assert why_partly_another(places(options)) is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--admindir=/alt", "its directory is /alt"),
        ("--root=/alt --instdir=/", "its directory is /alt/var/lib/dpkg"),
        ("--instdir=/alt", "this machine's own package database"),
        ("--root=/alt --admindir=/var/lib/dpkg", "this machine's own package database"),
        ("--root=/alt --admindir=//var/lib/dpkg", "this machine's own package database"),
        ("--root=/alt --force-all", "scripts would run outside of that root"),
        ("--root=/alt --force script-chrootless", "aptguard pause --for"),
        ("--instdir=/alt --force-all", "this machine's own package database"),
    ],
)
def test_what_is_another_system_in_parts_only_is_told(options: str, reason: str) -> None:
    assert not is_another_system(places(options))
    assert reason in (why_partly_another(places(options)) or "")


def test_other_names_of_this_system_count_where_they_can_be_compared() -> None:
    same = places("--root=/proc/self/root")
    assert is_another_system(same)
    assert not is_another_system(same, lambda path: path == b"/proc/self/root")
    assert not is_another_system(same, is_this_database=lambda path: path == b"/proc/self/root/var/lib/dpkg")
    assert why_partly_another(same, lambda _: True, lambda _: True) is None
