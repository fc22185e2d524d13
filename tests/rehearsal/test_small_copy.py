# SPDX-License-Identifier: GPL-3.0-or-later
"""What overlayfs refuses is copied: all names and sizes, and the content as far as it is small."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.rehearsal import small_copy
from aptguard.rehearsal.small_copy import TooMuchToCopy, copy_tree

pytestmark = pytest.mark.needs_root


def copied(source: Path, target: Path) -> int:
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return copy_tree(fd, os.fsencode(target))
    finally:
        os.close(fd)


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    """As a machine has it that boots from there: a kernel and its first disk are large."""
    source = tmp_path / "efi"
    (source / "EFI" / "debian").mkdir(parents=True)
    (source / "EFI" / "debian" / "grub.cfg").write_text("search\n")
    for name in ("vmlinuz", "initrd.img"):
        with open(source / name, "wb") as file:
            file.write(b"x" * (12 << 20))
    os.utime(source / "vmlinuz", ns=(1, 2))
    return source


def test_names_sizes_and_times_are_all_copied_and_content_within_a_bound(boot: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    assert copied(boot, target) == 1
    assert (target / "EFI" / "debian" / "grub.cfg").read_text() == "search\n"
    assert (target / "vmlinuz").stat().st_size == (target / "initrd.img").stat().st_size == 12 << 20
    assert (target / "vmlinuz").stat().st_mtime_ns == 2
    blocks = sorted((target / name).stat().st_blocks for name in ("vmlinuz", "initrd.img"))
    assert blocks[0] == 0 < blocks[1]


def test_a_tree_of_too_many_entries_is_not_copied(
    boot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_copy, "_MOST_ENTRIES", 3)
    with pytest.raises(TooMuchToCopy, match="more than 3 entries"):
        copied(boot, tmp_path / "copy")
