# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive may take away without a word is known without a rehearsal: by what it declares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dpkg_roots import Root

from aptguard.guard.driven_out import may_drive_out
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.transaction.model import Action, Item, Transaction
from packages.builder import build_deb


def installation(directory: Path, fields: dict[str, str]) -> Transaction:
    archive = os.fsencode(build_deb(directory, "toy", fields=fields))
    return Transaction("dpkg", (Item("toy", "all", Action.INSTALL, archive=archive),))


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, False),
        ({"Conflicts": "other"}, False),  # it is not there
        ({"Conflicts": "gone"}, False),  # only its configuration is
        ({"Conflicts": "toy"}, False),  # itself
        ({"Conflicts": "old"}, True),
        ({"Breaks": "other, old (<< 2)"}, True),
        ({"Breaks": "old (<< 1)"}, False),
        ({"Breaks": "old(>=1.0~)"}, True),
        ({"Replaces": "old (= 1.0)"}, True),  # it disappears where all of its files are taken over
        ({"Conflicts": "mail-agent"}, True),
        ({"Conflicts": "mail-agent (<< 3)"}, True),  # provided as 2
        ({"Conflicts": "mail-agent (>> 3)"}, False),
        ({"Conflicts": "editor (<< 3)"}, False),  # provided as no version
    ],
    ids=str,
)
def test_a_conflict_or_a_replacement_of_what_is_installed_may_drive_it_out(
    tmp_path: Path, fields: dict[str, str], may: bool
) -> None:
    root = Root(str(tmp_path / "root"))
    provides = "Version: 1.0\nProvides: mail-agent (= 2), editor\n"
    root.package("old", [b"/usr/bin/old"], fields=provides)
    root.package("gone", [b"/etc/gone.conf"], status="deinstall ok config-files", fields="Version: 1.0\n")
    assert may_drive_out(installation(tmp_path, fields), DpkgDatabase(root.path)) is may
