# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for triggers, and who of them is called in a rehearsal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import Step
from aptguard.rehearsal.pending_triggers import waiting_packages, with_waiting
from aptguard.transaction.model import Action, Item, Transaction

STATUS = b"""Package: man-db
Status: install ok triggers-pending
Architecture: amd64
Triggers-Pending: /usr/share/man

Package: target
Status: install ok installed
Architecture: all
Version: 1

Package: libc-bin
Status: install ok installed
Architecture: amd64
Version: 2

Package: gone
Status: deinstall ok config-files
Architecture: all
Triggers-Pending: old
"""
STEP = Step((b"/usr/bin/dpkg", b"--triggers-only"), triggers=True, left_out=(b"man-*",))


@pytest.fixture
def database(tmp_path: Path) -> bytes:
    (tmp_path / "status").write_bytes(STATUS)
    (tmp_path / "triggers").mkdir()
    (tmp_path / "triggers/File").write_text("/usr/share/data target/noawait\n/usr/lib libc-bin:amd64\n")
    (tmp_path / "triggers/by-name").write_text("libc-bin:amd64/noawait\n")
    return os.fsencode(tmp_path)


def activate(database: bytes, lines: str) -> None:
    with open(database + b"/triggers/Unincorp", "w", encoding="ascii") as file:
        file.write(lines)


def test_a_package_waits_whose_status_says_so_and_no_removed_one(database: bytes) -> None:
    assert waiting_packages(database) == (b"man-db:amd64",)


def test_a_package_waits_that_is_interested_in_what_was_activated_and_not_yet_given_out(
    database: bytes,
) -> None:
    activate(database, "/usr/share/data -\nnobodys-trigger -\n")
    assert waiting_packages(database) == (b"man-db:amd64", b"target")
    activate(database, "by-name some-package\n")
    assert waiting_packages(database) == (b"libc-bin:amd64", b"man-db:amd64")


def test_the_name_of_a_trigger_leads_to_no_file_elsewhere(database: bytes) -> None:
    activate(database, "../status -\n\n")
    assert waiting_packages(database) == (b"man-db:amd64",)


def test_those_left_out_are_named_and_the_others_called(database: bytes) -> None:
    activate(database, "/usr/share/data -\n")
    called, left_out = with_waiting(STEP, database)
    assert called is not None
    assert called.argv == (b"/usr/bin/dpkg", b"--triggers-only", b"target")
    assert left_out == (b"man-db:amd64",)


def test_nothing_is_called_when_all_are_left_out(database: bytes) -> None:
    assert with_waiting(STEP, database) == (None, (b"man-db:amd64",))


def test_a_package_that_the_transaction_brings_is_never_left_out(database: bytes) -> None:
    item = Item("man-db", "amd64", Action.UPGRADE, "1", "2", b"/a.deb")
    step = steps(Transaction("apt", (item,)), triggers=True, left_out=("man-db",))[-1]
    called, left_out = with_waiting(step, database)
    assert called is not None and called.argv[-1] == b"man-db:amd64"
    assert left_out == ()
    removal = Item("man-db", "amd64", Action.REMOVE, "1")
    step = steps(Transaction("apt", (removal,)), triggers=True, left_out=("man-db",))[-1]
    assert with_waiting(step, database) == (None, (b"man-db:amd64",))


def test_another_step_is_left_as_it_is(database: bytes) -> None:
    step = Step((b"/usr/bin/dpkg", b"--remove", b"man-db"))
    assert with_waiting(step, database + b"/nowhere") == (step, ())
