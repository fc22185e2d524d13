# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.changes.compare import APPEND, IMMUTABLE, NODUMP, Attributes, metadata_kinds, same_content
from aptguard.changes.model import Kind


def seen(mode: int = 0o100644, uid: int = 0, gid: int = 0, size: int = 0, time: int = 0) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, size, time, time, time))


def kinds(
    before: Attributes | None = None, after: Attributes | None = None, unheld: tuple[str, ...] = ()
) -> set[Kind]:
    plain = Attributes(seen(), {})
    return metadata_kinds(before or plain, after or plain, unheld=unheld)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (seen(), set()),
        (seen(size=5, time=99), set()),
        (seen(mode=0o100600), {Kind.MODE}),
        (seen(mode=0o101644), {Kind.MODE}),
        (seen(mode=0o104644), {Kind.MODE, Kind.SETUID}),
        (seen(mode=0o102644), {Kind.MODE, Kind.SETUID}),
        (seen(uid=5), {Kind.OWNER}),
        (seen(gid=5), {Kind.GROUP}),
        (seen(mode=0o104600, uid=5, gid=5), {Kind.MODE, Kind.SETUID, Kind.OWNER, Kind.GROUP}),
    ],
)
def test_each_part_of_the_metadata_has_its_kind_and_times_have_none(
    after: os.stat_result, expected: set[Kind]
) -> None:
    assert kinds(after=Attributes(after, {})) == expected
    assert kinds(before=Attributes(after, {})) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("system.posix_acl_access", {Kind.ACL}),
        ("system.posix_acl_default", {Kind.ACL}),
        ("security.capability", {Kind.CAPABILITY}),
        ("user.note", {Kind.XATTRS}),
        ("trusted.note", {Kind.XATTRS}),
        ("security.selinux", {Kind.XATTRS}),
        ("security.ima", set()),
        ("security.evm", set()),
        ("trusted.SGI_ACL_FILE", set()),
        ("trusted.SGI_ACL_DEFAULT", set()),
        ("btrfs.compression", set()),
        ("trusted.overlay.origin", set()),
        ("user.overlay.opaque", set()),
    ],
)
def test_an_extended_attribute_that_came_went_or_changed_has_its_kind(name: str, expected: set[Kind]) -> None:
    without, one, two = (Attributes(seen(), xattrs) for xattrs in ({}, {name: b"1"}, {name: b"2"}))
    assert kinds(without, one) == kinds(one, without) == kinds(one, two) == expected
    assert kinds(one, one) == set()


def test_attributes_the_upper_file_system_cannot_hold_are_no_change() -> None:
    before = Attributes(seen(), {"user.note": b"1", "security.note": b"1"})
    assert kinds(before, unheld=("user.",)) == {Kind.XATTRS}
    assert kinds(before, unheld=("user.", "security.")) == set()


def test_immutable_and_append_only_count_both_ways_and_no_dump_only_when_it_came() -> None:
    plain = Attributes(seen(), {})
    for flag in (IMMUTABLE, APPEND):
        flagged = Attributes(seen(), {}, flag)
        assert kinds(plain, flagged) == kinds(flagged, plain) == {Kind.FLAGS}
    nodump = Attributes(seen(), {}, NODUMP)
    assert kinds(plain, nodump) == {Kind.FLAGS}
    assert kinds(nodump, plain) == set()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"", b"", True),
        (b"a", b"", False),
        (b"same", b"same", True),
        (b"same", b"sane", False),
        (b"x" * (1 << 20) + b"a", b"x" * (1 << 20) + b"a", True),
        (b"x" * (1 << 20) + b"a", b"x" * (1 << 20) + b"b", False),
    ],
)
def test_content_is_compared_to_the_last_byte(tmp_path: Path, one: bytes, other: bytes, same: bool) -> None:
    (tmp_path / "one").write_bytes(one)
    (tmp_path / "other").write_bytes(other)
    assert same_content(bytes(tmp_path / "one"), bytes(tmp_path / "other")) is same


def test_content_is_not_read_through_a_symbolic_link_nor_from_a_fifo(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "absent"):
        with pytest.raises(OSError):
            same_content(bytes(tmp_path / "file"), bytes(tmp_path / name))
