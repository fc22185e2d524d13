# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts around attribution: events in a buffer, names of directories, /proc files, early stop."""

from __future__ import annotations

import struct

import pytest

from aptguard.rehearsal import fanotify as fan
from aptguard.rehearsal.early_stop import EarlyStop
from aptguard.rehearsal.processes import marks, parse_stat, split_argv
from aptguard.rehearsal.upper_names import UpperNames, join


def handle(number: int) -> bytes:
    return struct.pack("=Ii8s", 8, 1, b"%08d" % number)


def record(kind: int, inode: bytes, name: bytes = b"") -> bytes:
    body = b"\0" * 8 + inode + name
    body += b"\0" * (-(len(body) + 4) % 4)
    return struct.pack("=BBH", kind, 0, len(body) + 4) + body


def event(mask: int, pid: int, *records: bytes, fd: int = -1) -> bytes:
    body = b"".join(records)
    return struct.pack("=IBBHQii", 24 + len(body), 3, 0, 24, mask, fd, pid) + body


def test_events_are_read_in_order_with_parent_name_and_own_handle() -> None:
    buffer = event(fan.FAN_CREATE, 7, record(2, handle(1), b"new\xff\0"), record(1, handle(2))) + event(
        fan.FAN_OPEN_PERM, 8, fd=5
    )
    assert fan.parse(buffer) == [
        fan.Event(fan.FAN_CREATE, 7, -1, handle(1), b"new\xff", handle(2)),
        fan.Event(fan.FAN_OPEN_PERM, 8, 5, None, b"", None),
    ]


def test_a_record_of_a_kind_that_is_not_known_is_passed_over() -> None:
    buffer = event(fan.FAN_DELETE, 7, record(99, handle(9)), record(2, handle(1), b"x\0"))
    assert fan.parse(buffer)[0].name == b"x"


@pytest.mark.parametrize(
    "buffer",
    [
        struct.pack("=IBBHQii", 8, 3, 0, 24, 0, -1, 1),
        struct.pack("=IBBHQii", 4096, 3, 0, 24, 0, -1, 1),
        event(1, 1, struct.pack("=BBH", 1, 0, 0)),
        event(1, 1, struct.pack("=BBH", 1, 0, 600)),
    ],
)
def test_a_length_that_cannot_be_is_an_error_and_no_endless_loop(buffer: bytes) -> None:
    with pytest.raises(ValueError, match="bytes at"):
        fan.parse(buffer)


def names(**known: bytes) -> tuple[UpperNames, list[bytes]]:
    asked: list[bytes] = []

    def look_up(wanted: bytes) -> bytes | None:
        asked.append(wanted)
        return known.get(wanted.decode())

    found = UpperNames(look_up)
    found.add_root(b"root", b"/")
    found.add_root(b"usr-root", b"/usr")
    return found, asked


def test_directories_are_named_from_events_alone() -> None:
    found, asked = names()
    found.moved(b"share", b"usr-root", b"share")
    found.moved(b"doc", b"share", b"doc")
    assert found.path(b"doc") == b"/usr/share/doc"
    assert found.path(b"root") == b"/"
    assert asked == []


def test_a_renamed_directory_takes_all_below_it_along() -> None:
    found, _ = names()
    found.moved(b"a", b"root", b"a")
    found.moved(b"b", b"a", b"b")
    assert found.path(b"b") == b"/a/b"
    found.moved(b"a", b"root", b"z")
    assert found.path(b"b") == b"/z/b"


def test_a_directory_made_in_the_work_directory_is_outside_until_it_is_moved() -> None:
    found, _ = names()
    found.moved(b"new", b"work", b"#1")
    assert found.path(b"new") is None
    found.moved(b"new", b"root", b"etc")
    assert found.path(b"new") == b"/etc"


def test_a_directory_that_no_event_introduced_is_looked_up_once() -> None:
    found, asked = names(old=b"/srv/old")
    assert found.path(b"old") == found.path(b"old") == b"/srv/old"
    assert asked == [b"old"]


def test_a_directory_whose_place_was_lost_is_looked_up_again() -> None:
    found, asked = names(a=b"/there")
    found.moved(b"a", b"root", b"here")
    assert found.path(b"a") == b"/here"
    found.lost(b"a")
    assert found.path(b"a") == b"/there"
    assert asked == [b"a"]


def test_directories_that_would_contain_each_other_end_in_a_look_up() -> None:
    found, asked = names()
    found.moved(b"a", b"b", b"a")
    found.moved(b"b", b"a", b"b")
    assert found.path(b"a") is None
    assert asked


def test_joining_knows_the_root_and_the_directory_itself() -> None:
    assert [join(b"/", b"a"), join(b"/a", b"b"), join(b"/a", b"."), join(b"/", b".")] == [
        b"/a",
        b"/a/b",
        b"/a",
        b"/",
    ]


def test_a_process_name_with_parentheses_does_not_shift_the_fields() -> None:
    rest = b" ".join([b"S", b"42", *[b"0"] * 17, b"777", b"0"])
    assert parse_stat(b"5 (evil) (x 1 2) " + rest) == (42, 777)
    with pytest.raises(ValueError, match="too short"):
        parse_stat(b"5 (x) S 1")


def test_a_command_line_keeps_empty_arguments_and_loses_one_that_was_cut_off() -> None:
    assert split_argv(b"rm\0\0-f\0") == (b"rm", b"", b"-f")
    assert split_argv(b"rm\0-f\0/cut") == (b"rm", b"-f")
    assert split_argv(b"") == ()


def test_dpkg_s_marks_are_found_only_together() -> None:
    both = b"A=1\0DPKG_MAINTSCRIPT_NAME=postrm\0DPKG_MAINTSCRIPT_PACKAGE=foo\0"
    assert marks(both) == (b"foo", b"postrm")
    assert marks(b"XDPKG_MAINTSCRIPT_NAME=postrm\0DPKG_MAINTSCRIPT_PACKAGE=foo\0") is None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        (b"/home", True),
        (b"/home/a", True),
        (b"/homer", False),
        (b"/", True),
        (b"/srv", False),
        (b"/var/lib", True),
    ],
)
def test_a_deletion_counts_at_below_and_above_a_pattern_but_not_beside_it(path: bytes, counts: bool) -> None:
    stop = EarlyStop([b"/home", b"/var/lib/pg/"], clock=Clock())
    stop.deleted(path)
    assert (stop.remaining() is not None) is counts


def test_the_root_as_a_pattern_covers_everything() -> None:
    stop = EarlyStop([b"/"], clock=Clock())
    stop.deleted(b"/any/thing")
    assert stop.first == b"/any/thing"


def test_the_grace_ends_after_its_seconds() -> None:
    clock = Clock()
    stop = EarlyStop([b"/home"], grace_seconds=0.5, clock=clock)
    assert stop.remaining() is None
    stop.deleted(b"/home/a")
    assert stop.remaining() == 0.5
    clock.now += 0.6
    assert stop.remaining() == 0.0


def test_the_grace_ends_after_so_many_further_paths() -> None:
    stop = EarlyStop([b"/home"], grace_paths=3, clock=Clock())
    for number in range(3):
        stop.deleted(b"/home/%d" % number)
        assert stop.remaining() != 0.0
    stop.deleted(b"/elsewhere")
    assert stop.remaining() == 0.0


def test_changes_that_wait_to_be_told_count_as_further_paths() -> None:
    stop = EarlyStop([b"/home"], grace_paths=3, grace_seconds=0.5, clock=Clock())
    assert stop.remaining(100) is None
    stop.deleted(b"/home/0")
    assert stop.remaining(2) == 0.5
    assert stop.remaining(3) == 0.0


def test_a_path_that_is_made_anew_within_the_grace_stops_nothing() -> None:
    clock = Clock()
    stop = EarlyStop([b"/etc"], clock=clock)
    stop.deleted(b"/etc/passwd")
    stop.entered(b"/etc/passwd")
    clock.now += 9
    assert stop.remaining() is None


def test_without_patterns_nothing_ever_stops() -> None:
    stop = EarlyStop([])
    stop.deleted(b"/")
    assert stop.remaining() is None
