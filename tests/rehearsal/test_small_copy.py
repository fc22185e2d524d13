# SPDX-License-Identifier: GPL-3.0-or-later
"""What overlayfs refuses is copied: all names and sizes, and the content as far as it is small."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from aptguard.changes.model import Kind
from aptguard.rehearsal import small_copy
from aptguard.rehearsal.harvest import FileCopy, Scene, _file_changes
from aptguard.rehearsal.small_copy import TooMuchToCopy, copy_file, copy_tree

pytestmark = pytest.mark.needs_root


def copied(source: Path, target: Path) -> list[bytes]:
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return copy_tree(fd, os.fsencode(target)).without_content
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
    assert copied(boot, target) == [b"vmlinuz"]
    assert (target / "EFI" / "debian" / "grub.cfg").read_text() == "search\n"
    assert (target / "vmlinuz").stat().st_size == (target / "initrd.img").stat().st_size == 12 << 20
    assert (target / "vmlinuz").stat().st_mtime_ns == 2
    blocks = sorted((target / name).stat().st_blocks for name in ("vmlinuz", "initrd.img"))
    assert blocks[0] == 0 < blocks[1]


def test_the_smallest_files_come_with_their_content_wherever_they_stand(tmp_path: Path) -> None:
    source, target = tmp_path / "efi", tmp_path / "copy"
    for number in range(8):
        (source / str(number)).mkdir(parents=True)
        (source / str(number) / "cfg").write_text("search\n")
        with open(source / str(number) / "big", "wb") as file:
            file.write(b"x" * (4 << 20))
    assert {path.rpartition(b"/")[2] for path in copied(source, target)} == {b"big"}
    assert {path.read_text() for path in target.glob("*/cfg")} == {"search\n"}


def test_a_directory_has_the_times_of_its_original(boot: Path, tmp_path: Path) -> None:
    os.utime(boot / "EFI", ns=(3, 4))
    copied(boot, tmp_path / "copy")
    assert (tmp_path / "copy" / "EFI").stat().st_mtime_ns == 4


def test_content_comes_only_of_the_files_that_are_wanted(boot: Path, tmp_path: Path) -> None:
    fd = os.open(boot, os.O_RDONLY | os.O_DIRECTORY)
    hollow = copy_tree(fd, os.fsencode(tmp_path / "copy"), lambda path: path == b"vmlinuz").without_content
    os.close(fd)
    assert set(hollow) == {b"initrd.img", b"EFI/debian/grub.cfg"}
    assert (tmp_path / "copy" / "initrd.img").stat().st_size == 12 << 20


def test_a_tree_of_too_many_entries_is_not_copied(
    boot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_copy, "_MOST_ENTRIES", 3)
    with pytest.raises(TooMuchToCopy, match="more than 3 entries"):
        copied(boot, tmp_path / "copy")


# acl(5), linux/posix_acl_xattr.h: version 2; owner, user 1000, group, mask, others.
_ACL = struct.pack(
    "<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 6, 1000, 4, 4, 2**32 - 1, 16, 6, 2**32 - 1, 32, 4, 2**32 - 1
)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("system.posix_acl_access", _ACL, Kind.ACL),
        ("security.capability", struct.pack("<5I", 0x2000001, 1 << 13, 0, 0, 0), Kind.CAPABILITY),
        ("trusted.mine", b"y", Kind.XATTRS),
        ("security.mine", b"y", Kind.XATTRS),
    ],
)
def test_an_attribute_that_a_copied_file_gains_or_loses_is_told(
    tmp_path: Path, name: str, value: bytes, kind: Kind
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for original, deed in ((one, "gains"), (other, "loses")):
        original.write_text("x")
        if deed == "loses":
            os.setxattr(original, name, value)
        copy = os.fsencode(tmp_path / deed)
        source = os.open(original, os.O_RDONLY)
        copy_file(source, copy)
        scene = Scene(files=[FileCopy(b"/etc/mine", os.open(copy, os.O_RDONLY), source)])
        assert list(_file_changes(scene)) == []
        if deed == "loses":
            os.removexattr(copy, name)
        else:
            os.setxattr(copy, name, value)
        assert [kind in change.kinds for change in _file_changes(scene)] == [True], deed
