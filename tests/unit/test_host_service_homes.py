# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories and accounts that a package made for its service under another name than its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from change_sets import PURGE, account, accounts, altered, facts, gone, judged, result, rules
from dpkg_roots import Root

from aptguard.changes.model import Kind
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.gather import gather_facts
from aptguard.host.own_scripts import OwnScripts
from aptguard.host.service_homes import own_accounts, service_homes

MAIL = b"/var/lib/mailthing"
SERVICE, OTHER = account("mailer", 120, "/var/lib/mailthing"), account("other", 121, "/")
ACCOUNTS = accounts(account("root", 0, "/root"), SERVICE, OTHER, account("alice", 1000, "/home/alice"))
NO_ACCOUNTS = {b"/etc/passwd": b"", b"/etc/group": b""}
POSTINST = b"""
for i in /var/lib/mailthing:0750 /mnt/var/lib/away; do chown mailer ${i%%:*}; done
chown root "${DIRECTORY:-/var/lib/rooted}"
"""


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(str(tmp_path / "root"))
    made.package("toy", [b"/usr/bin/toy"])
    made.write("/var/lib/dpkg/info/toy.postinst", POSTINST)
    for name in ("mailthing", "mailthing2", "away", "rooted"):
        os.makedirs(made.path + f"/var/lib/{name}".encode())
    return made


def owned_by(root: Root, uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aptguard.host.service_homes._owner", lambda _path: uid)


def homes(root: Root, *paths: bytes) -> frozenset[bytes]:
    return service_homes(PURGE, DpkgDatabase(root.path), paths, ACCOUNTS)


def test_a_directory_is_the_services_if_scripts_name_it_and_the_account_that_owns_it(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned_by(root, 120, monkeypatch)
    assert homes(root, MAIL, b"/var/lib/mailthing2", b"/var/lib/away", b"/var/lib/mailthing/deep") == {MAIL}


@pytest.mark.parametrize("uid", [0, 121, 1000, 500])
def test_the_directory_of_another_account_is_not(
    root: Root, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    owned_by(root, uid, monkeypatch)
    assert homes(root, MAIL, b"/var/lib/rooted") == frozenset()


def test_a_directory_of_logs_is_the_packages_if_its_scripts_name_it(root: Root) -> None:
    root.write("/var/lib/dpkg/info/toy.postinst", b"mkdir -p /var/log/account; touch /var/log/account/x\n")
    assert homes(root, b"/var/log/account", b"/var/log/other", b"/var/lib/account") == {b"/var/log/account"}


def test_the_real_owner_is_asked(root: Root) -> None:
    assert homes(root, MAIL, b"/var/lib/nosuch") == frozenset()


def test_a_path_is_named_only_as_a_whole(root: Root) -> None:
    scripts = OwnScripts(PURGE.items[0], DpkgDatabase(root.path))
    assert scripts.names_path(MAIL) and scripts.names_path(b"/var/lib/rooted")
    assert not scripts.names_path(b"/var/lib/mail") and not scripts.names_path(b"/var/lib/away")


def test_an_account_that_the_scripts_name_is_the_packages_own(root: Root) -> None:
    database = DpkgDatabase(root.path)
    assert own_accounts(PURGE, database, ACCOUNTS, accounts()) == {"mailer", "root"}
    assert own_accounts(PURGE, database, ACCOUNTS, ACCOUNTS) == frozenset()


def test_the_facts_hold_what_was_found(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    owned_by(root, 120, monkeypatch)
    root.write("/etc/passwd", b"mailer:x:120:120::/var/lib/mailthing:/bin/sh\n")
    rehearsed = result(
        gone("/var/lib/mailthing/queue/1"), collected={b"/etc/passwd": b"", b"/etc/group": b""}
    )
    found = gather_facts(PURGE, rehearsed, DpkgDatabase(root.path))
    assert MAIL in found.directories and found.own_accounts == {"mailer"}


def test_such_an_account_may_go_with_its_package_without_a_word() -> None:
    change = altered("/etc/passwd", Kind.CONTENT)
    before, after = accounts(SERVICE), accounts()
    known = facts(accounts_before=before, accounts_after=after)
    assert rules(judged(PURGE, [change], known)) == {"account-lost"}
    known = facts(accounts_before=before, accounts_after=after, own_accounts=frozenset({"mailer"}))
    assert rules(judged(PURGE, [change], known)) == set()
