# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a directory that a hook's caller named is this system's root."""

from __future__ import annotations

from pathlib import Path

import pytest

from aptguard.guard.hook_parameters import is_foreign, is_this_root
from aptguard.guard.peer import own_process
from aptguard.transaction.dpkg_command import read_dpkg_command


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


def test_a_root_is_looked_for_where_dpkg_works(tmp_path: Path) -> None:
    command = read_dpkg_command([b"dpkg", b"--root=..", b"--purge", b"toy"])
    assert not is_foreign(command, own_process(), b"/usr")
    assert is_foreign(command, own_process(), bytes(tmp_path))
