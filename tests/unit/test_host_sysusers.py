# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of sysusers.d(5), those in force and those that are not made yet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from change_sets import account, accounts, default_policy

from aptguard.host.dormant import dormant_accounts
from aptguard.host.sysusers import declarations, declared_files, not_yet_made
from aptguard.policy.facts import Account


@pytest.mark.parametrize(
    ("line", "home"),
    [
        (b"u toy", b"/"),
        (b"u! toy -", b"/"),
        (b'u toy 101 "The toy, made by \\"us\\""', b"/"),
        (b"u toy - 'A toy' -", b"/"),
        (b'u toy -:nogroup "A toy" /var/lib/toy /bin/sh', b"/var/lib/toy"),
        (b'  u\ttoy\t-\t-\t"/a b"', b"/a b"),
        (b"u root 0 - - /bin/bash", b"/root"),
        (b"u toy - - %S/toy", b"%S/toy"),
    ],
)
def test_a_line_of_type_u_declares_an_account_with_its_home(line: bytes, home: bytes) -> None:
    (found,) = declarations(b"# a comment\ng group -\nm toy group\nr - 500-900\nu\n" + line + b"\n")
    assert found.account.home == home


def test_a_number_without_end_is_none() -> None:
    (found,) = declarations(b"u toy " + b"5" * 5000 + b" - /\n")
    assert (found.uid, found.home) == (None, b"/")


def write(root: Path, path: str, text: str) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def test_a_file_of_the_administrator_hides_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, "/usr/lib/sysusers.d/toy.conf", "u toy - - /\n")
    write(tmp_path, "/usr/lib/sysusers.d/other.conf", "u other - - /srv\n")
    write(tmp_path, "/usr/lib/sysusers.d/no.txt", "u no - - /\n")
    write(tmp_path, "/etc/sysusers.d/toy.conf", "u toy - - /var/lib/toy\n")
    found = declared_files(os.fsencode(tmp_path))
    assert list(found) == [b"/etc/sysusers.d/toy.conf", b"/usr/lib/sysusers.d/other.conf"]
    coming = not_yet_made(found.values(), accounts(account("other", 101, "/nonexistent")))
    assert [(one.name, one.home) for one in coming] == [("toy", b"/var/lib/toy")]


def test_an_account_that_lies_waiting_in_sysusers_is_a_dormant_danger(tmp_path: Path) -> None:
    write(tmp_path, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nold:x:101:101::/:/bin/false\n")
    write(tmp_path, "/etc/group", "root:x:0:\n")
    write(
        tmp_path,
        "/usr/lib/sysusers.d/toy.conf",
        "u toy - - /etc\nu old - - /var/lib/old\nu fine - - /var/lib/fine\nu systemd-new -\n",
    )
    found = dormant_accounts(default_policy(), os.fsencode(tmp_path))
    assert [one.account for one in found] == ["old", "toy"]
    assert found[0].reason.startswith("Its home is /,")
    assert "next boot with the home /etc, a directory of the system" in found[1].reason


def test_one_that_is_not_made_yet_has_nobodys_number() -> None:
    (one,) = not_yet_made([b"u toy"], accounts())
    assert isinstance(one, Account) and one.uid == 0xFFFFFFFE
