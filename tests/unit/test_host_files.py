# SPDX-License-Identifier: GPL-3.0-or-later
"""The small readers of the host room: accounts, diversions, alternatives, ucf's registry."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aptguard.host.accounts import declared_accounts, read_accounts
from aptguard.host.alternatives import alternative_links, read_alternative
from aptguard.host.diversions import read_diversions
from aptguard.host.errors import DpkgDatabaseError
from aptguard.host.ucf_registry import ucf_files
from aptguard.policy.facts import Account, Group


def test_accounts_and_groups_are_read_with_their_members() -> None:
    found = read_accounts(b"toy:x:101:102:Toy,,,:/:/bin/sh\n", b"toy:x:102:alice,bob\nempty:x:103:\n")
    assert found.accounts == (Account("toy", 101, 102, b"/", b"/bin/sh"),)
    assert found.groups == (Group("toy", 102, frozenset({"alice", "bob"})), Group("empty", 103, frozenset()))
    assert found.broken == ()


@pytest.mark.parametrize(
    "line",
    [
        b"toy",
        b"toy:x:1",
        b"toy:x:one:1::/:",
        b":x:1:1::/:/bin/sh",
        b"toy:x:1:1:a:b:/home:/bin/sh",
        b"toy:x:-1:1::/:",
    ],
)
def test_a_line_that_is_no_account_is_kept_as_broken(line: bytes) -> None:
    found = read_accounts(b"root:x:0:0:root:/root:/bin/bash\n" + line + b"\n", b"")
    assert len(found.accounts) == 1
    assert len(found.broken) == 1
    assert found.broken[0].startswith("passwd: ")


def test_comments_empty_lines_and_nis_references_are_no_accounts() -> None:
    found = read_accounts(b"# text\n\n+::::::\n-bob\n+@team\n", b"+:::\n")
    assert (found.accounts, found.groups, found.broken) == ((), (), ())


def test_a_name_that_is_no_utf8_is_kept_and_a_broken_line_is_shown_escaped() -> None:
    found = read_accounts(b"\xffa:x:1:1::/:\nb\x1b[2J\n", b"")
    assert found.accounts[0].name == "\udcffa"
    assert "\x1b" not in found.broken[0]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_account_file_whatever_crashes_or_loses_a_line_in_silence(passwd: bytes, group: bytes) -> None:
    found = read_accounts(passwd, group)
    kept = [
        line
        for data in (passwd, group)
        for line in data.split(b"\n")
        if line.strip() and line[:1] not in (b"#", b"+", b"-")
    ]
    assert len(found.accounts) + len(found.groups) + len(found.broken) == len(kept)


def test_the_accounts_that_sysusers_declares_are_found() -> None:
    text = b'# u no\nu toy 101 "Toy daemon" /\nu! other -\ng group -\nm toy group\n  u "quoted" -\nuser x\n'
    assert declared_accounts(text) == {"toy", "other", "quoted"}


def test_diversions_are_read_by_path_and_by_place() -> None:
    found = read_diversions(b"/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n:\n")
    assert found.place_of("bash", b"/bin/sh") == b"/bin/sh.distrib"
    assert found.place_of("dash", b"/bin/sh") == b"/bin/sh"
    assert found.place_of("any", b"/a") == b"/b"
    assert found.place_of("any", b"/c") == b"/c"
    assert found.by_place[b"/b"].package is None


@pytest.mark.parametrize("data", [b"/a\n/b\n", b"/a\nb\nc\n", b"a\n/b\nc\n", b"/a"])
def test_a_damaged_list_of_diversions_is_an_error(data: bytes) -> None:
    with pytest.raises(DpkgDatabaseError, match="diversions"):
        read_diversions(data)


@given(st.binary(max_size=200))
def test_no_list_of_diversions_whatever_crashes(data: bytes) -> None:
    try:
        found = read_diversions(data)
    except DpkgDatabaseError as error:
        assert str(error).endswith(".")
    else:
        lines = data.split(b"\n")
        assert len(set(lines[: len(lines) // 3 * 3 : 3])) == len(found.by_path)


def test_the_links_of_an_alternative_are_its_masters_and_its_slaves() -> None:
    links = b"/usr/bin/pager\npager.1.gz\n/usr/share/man/man1/pager.1.gz\n\n"
    text = b"auto\n" + links + b"/bin/more\n50\n/usr/share/more.1.gz\n\n"
    assert read_alternative(text) == (b"/usr/bin/pager", b"/usr/share/man/man1/pager.1.gz")


def test_a_damaged_alternative_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"manual\n/usr/bin/x\n\n/usr/bin/y\n1\n\n")
    (tmp_path / "bad").write_bytes(b"perhaps\n")
    (tmp_path / "half.dpkg-tmp").write_bytes(b"")
    links, problems = alternative_links(bytes(tmp_path))
    assert links == (b"/usr/bin/x",)
    assert len(problems) == 1
    assert "bad" in problems[0]


@given(st.binary(max_size=200))
def test_no_alternative_whatever_crashes(data: bytes) -> None:
    try:
        assert all(link.startswith(b"/") for link in read_alternative(data))
    except ValueError as error:
        assert str(error)


def test_the_files_of_ucf_are_found_by_package() -> None:
    registry = b"toy \t /etc/toy.conf\nother /etc/o\nbroken\ntoy relative\ntoy /etc/with blank\n"
    assert ucf_files(registry, {"toy"}) == (b"/etc/toy.conf", b"/etc/with blank")
