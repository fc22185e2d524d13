# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aptguard.transaction.archive_digest import archive_digests
from aptguard.transaction.fingerprint import ALPHABET, fingerprint, normalize_id, short_id
from aptguard.transaction.model import Action, Item, Transaction

NEW = Item("new", "amd64", Action.INSTALL, None, "1", b"/cache/new_1.deb")
OLD = Item("old", "amd64", Action.PURGE, "1", None)
DIGESTS = {b"/cache/new_1.deb": "aa", b"/elsewhere/new_1.deb": "aa", b"/cache/other.deb": "bb"}
BASE = Transaction("apt-get", (NEW, OLD))


def changed(**fields: object) -> Item:
    return dataclasses.replace(NEW, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        Transaction("apt", (OLD, NEW), command_line="apt install new"),
        Transaction("apt-get", (changed(archive=b"/elsewhere/new_1.deb"), OLD)),
        Transaction("apt-get", (NEW, dataclasses.replace(OLD, purge_assumed=True))),
    ],
    ids=["order and front end", "place of the archive", "assumed purge"],
)
def test_what_does_the_same_to_the_machine_is_the_same_transaction(other: Transaction) -> None:
    assert fingerprint(other, DIGESTS) == fingerprint(BASE, DIGESTS)


@pytest.mark.parametrize(
    "other",
    [
        Transaction("apt-get", (NEW,)),
        Transaction("apt-get", (changed(archive=b"/cache/other.deb"), OLD)),
        Transaction("apt-get", (changed(architecture="i386"), OLD)),
        Transaction("apt-get", (changed(new_version="2"), OLD)),
        Transaction("apt-get", (changed(package="newer"), OLD)),
        Transaction("apt-get", (NEW, dataclasses.replace(OLD, action=Action.REMOVE))),
        Transaction("apt-get", (NEW, dataclasses.replace(OLD, old_version="0"))),
        Transaction("apt-get", (NEW, OLD), dpkg_options=(b"--force-confnew",)),
        Transaction("apt-get", (NEW, OLD), script_path=b"/opt/bin"),
    ],
)
def test_what_does_something_else_is_another_transaction(other: Transaction) -> None:
    assert fingerprint(other, DIGESTS) != fingerprint(BASE, DIGESTS)


def test_an_archive_without_digest_is_named() -> None:
    with pytest.raises(ValueError, match=r"new_1\.deb"):
        fingerprint(BASE, {})


@given(st.binary(max_size=20))
def test_a_short_id_is_read_back_however_it_is_typed(seed: bytes) -> None:
    identity = short_id(hashlib.sha256(seed).hexdigest())
    assert len(identity) == 9
    assert set(identity) <= set(ALPHABET + "-")
    for typed in (identity, identity.lower(), identity.replace("-", ""), f" {identity} "):
        assert normalize_id(typed) == identity


def test_ids_spread_over_the_whole_alphabet() -> None:
    signs = {sign for n in range(99) for sign in short_id(hashlib.sha256(bytes((n,))).hexdigest())}
    assert signs == set(ALPHABET + "-")


@pytest.mark.parametrize("text", ["", "7F3K", "7F3K-92Q0", "7F3K-92QXX", "7F3K-92Q\x1b", "O" * 8, "ß" * 4])
def test_what_cannot_be_an_id_is_refused_in_a_printable_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="aptguard log") as caught:
        normalize_id(text)
    assert str(caught.value).isprintable()


def test_archives_are_digested_by_content(tmp_path: Path) -> None:
    file = tmp_path / "a b.deb"
    file.write_bytes(b"content")
    name = bytes(file)
    assert archive_digests([name, name]) == {name: hashlib.sha256(b"content").hexdigest()}


def test_an_archive_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot read the archive .*gone"):
        archive_digests([bytes(tmp_path / "gone")])
