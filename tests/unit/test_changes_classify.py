# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import os
import stat

import pytest

from aptguard.changes.classify import CASES, MOVED, LowerKind, Outcome, UpperKind, lower_kind, upper_kind
from aptguard.changes.marks import Marks, handle_of, is_bookkeeping, marks_of, overlay_prefix

DIRECTORIES = {
    UpperKind.MERGED_DIRECTORY,
    UpperKind.OPAQUE_DIRECTORY,
    UpperKind.REDIRECTED_DIRECTORY,
}
SAME_TYPE = {
    (UpperKind.METACOPY, LowerKind.FILE): Outcome.ORIGIN,
    (UpperKind.FILE, LowerKind.FILE): Outcome.CONTENT,
    (UpperKind.SYMLINK, LowerKind.SYMLINK): Outcome.TARGET,
    (UpperKind.FIFO, LowerKind.FIFO): Outcome.METADATA,
    (UpperKind.SOCKET, LowerKind.SOCKET): Outcome.METADATA,
    (UpperKind.BLOCK, LowerKind.BLOCK): Outcome.DEVICE,
    (UpperKind.CHARACTER, LowerKind.CHARACTER): Outcome.DEVICE,
}


def expected(upper: UpperKind, lower: LowerKind) -> Outcome:
    """The rules in words: what is there afterwards, what was there before, and is either a directory."""
    gone = upper in {UpperKind.WHITEOUT, UpperKind.WHITEOUT_FILE}
    if upper is UpperKind.ABSENT or (gone and lower is LowerKind.ABSENT):
        return Outcome.NOTHING
    if gone:
        return Outcome.DELETED_TREE if lower is LowerKind.DIRECTORY else Outcome.DELETED
    if lower is LowerKind.ABSENT:
        return Outcome.CREATED_TREE if upper in DIRECTORIES else Outcome.CREATED
    if upper in DIRECTORIES and lower is LowerKind.DIRECTORY:
        return Outcome.METADATA_TREE
    if upper in DIRECTORIES or lower is LowerKind.DIRECTORY:
        return Outcome.TYPE_TREE
    return SAME_TYPE.get((upper, lower), Outcome.TYPE)


@pytest.mark.parametrize(("upper", "lower"), list(itertools.product(UpperKind, LowerKind)))
def test_each_pair_of_kinds_has_the_outcome_that_the_rules_in_words_give(
    upper: UpperKind, lower: LowerKind
) -> None:
    assert CASES[upper, lower] is expected(upper, lower)


def test_the_table_holds_each_pair_and_no_other() -> None:
    assert set(CASES) == set(itertools.product(UpperKind, LowerKind))
    assert set(MOVED) == set(LowerKind)


@pytest.mark.parametrize(
    ("mode", "device", "size", "marks", "kind"),
    [
        (stat.S_IFCHR, 0, 0, Marks(), UpperKind.WHITEOUT),
        (stat.S_IFCHR, os.makedev(1, 3), 0, Marks(), UpperKind.CHARACTER),
        (stat.S_IFBLK, 0, 0, Marks(), UpperKind.BLOCK),
        (stat.S_IFREG, 0, 0, Marks(whiteout=True), UpperKind.WHITEOUT_FILE),
        (stat.S_IFREG, 0, 1, Marks(whiteout=True), UpperKind.FILE),
        (stat.S_IFREG, 0, 0, Marks(), UpperKind.FILE),
        (stat.S_IFREG, 0, 9, Marks(metacopy=True, redirect=b"/x"), UpperKind.METACOPY),
        (stat.S_IFREG, 0, 9, Marks(redirect=b"/x"), UpperKind.FILE),
        (stat.S_IFDIR, 0, 0, Marks(), UpperKind.MERGED_DIRECTORY),
        (stat.S_IFDIR, 0, 0, Marks(redirect=b"x"), UpperKind.REDIRECTED_DIRECTORY),
        (stat.S_IFDIR, 0, 0, Marks(redirect=b"x", opaque=True), UpperKind.OPAQUE_DIRECTORY),
        (stat.S_IFLNK, 0, 0, Marks(), UpperKind.SYMLINK),
        (stat.S_IFIFO, 0, 0, Marks(), UpperKind.FIFO),
        (stat.S_IFSOCK, 0, 0, Marks(), UpperKind.SOCKET),
    ],
)
def test_an_upper_entry_is_told_by_its_type_and_marks(
    mode: int, device: int, size: int, marks: Marks, kind: UpperKind
) -> None:
    assert upper_kind(mode | 0o600, device, size, marks) is kind


def test_a_lower_entry_is_told_by_its_type_alone() -> None:
    assert lower_kind(None) is LowerKind.ABSENT
    assert lower_kind(stat.S_IFSOCK | 0o777) is LowerKind.SOCKET  # 0140000 holds the bits of a directory
    assert lower_kind(stat.S_IFBLK | 0o777) is LowerKind.BLOCK


def test_an_opaque_mark_of_x_does_not_hide_the_lower_directory() -> None:
    assert not marks_of({"trusted.overlay.opaque": b"x"}).opaque
    assert marks_of({"trusted.overlay.opaque": b"y"}).opaque


def test_an_empty_metacopy_mark_counts() -> None:
    assert marks_of({"trusted.overlay.metacopy": b""}).metacopy


def test_marks_of_another_prefix_are_not_believed() -> None:
    assert marks_of({"user.overlay.opaque": b"y"}) == Marks()
    assert marks_of({"user.overlay.opaque": b"y"}, userxattr=True).opaque
    assert overlay_prefix() == "trusted.overlay."


def test_overlayfs_attributes_of_either_prefix_are_bookkeeping_and_others_are_not() -> None:
    assert is_bookkeeping("trusted.overlay.origin") and is_bookkeeping("user.overlay.impure")
    assert not is_bookkeeping("user.note") and not is_bookkeeping("trusted.overlays")


@pytest.mark.parametrize("origin", [b"", b"\0\xfb\x20", b"\1\xfb\x21" + bytes(40), b"\0\xfa\x21" + bytes(40)])
def test_an_origin_mark_that_is_no_file_handle_gives_none(origin: bytes) -> None:
    assert handle_of(origin) is None


def test_an_origin_mark_gives_type_and_bytes_of_the_handle() -> None:
    origin = bytes.fromhex("00fb210001111e095b214c447b8f1580357c1f760f21b493070e00000000000000")
    assert handle_of(origin) == (1, bytes.fromhex("21b493070e00000000000000"))
