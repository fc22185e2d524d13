# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk as a power cut leaves it, from a log of its writes."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from testbed.write_log import Replay, read_entries

SECTOR = 512
FLUSH, DISCARD = 1, 4


def log_of(path: Path, *requests: tuple[int, bytes, int]) -> tuple[str, list[int]]:
    """Write a log of (sector, data, flags); return it and where each request ends in it."""
    data = struct.pack("<QQQI", 0x6A736677736872, 1, len(requests), SECTOR).ljust(SECTOR, b"\0")
    ends = []
    for sector, content, flags in requests:
        count = len(content) // SECTOR
        data += struct.pack("<QQQQ", sector, count, flags, 0).ljust(SECTOR, b"\0")
        data += b"" if flags & DISCARD else content
        ends.append(len(data))
    path.write_bytes(data)
    return str(path), ends


def block(letter: bytes, sectors: int = 1) -> bytes:
    return letter * SECTOR * sectors


def images(log: str, cut: int, directory: Path) -> set[bytes]:
    """Return the disks that a cut at that byte of the log may leave, of 200 tries."""
    found = set()
    for seed in range(200):
        place = directory / str(seed)
        place.mkdir(parents=True)
        image = Replay(log, 4 * SECTOR, str(place)).image(cut, random.Random(seed))
        found.add(Path(image).read_bytes()[::SECTOR])
    return found


def test_what_was_flushed_is_there_and_of_the_rest_any_part(tmp_path: Path) -> None:
    log, ends = log_of(
        tmp_path / "log", (0, block(b"a"), 0), (0, b"", FLUSH), (1, block(b"b"), 0), (2, block(b"c"), 0)
    )
    assert images(log, ends[3], tmp_path / "all") == {b"a\0\0\0", b"ab\0\0", b"a\0c\0", b"abc\0"}
    assert images(log, ends[1], tmp_path / "flushed") == {b"a\0\0\0"}
    assert images(log, ends[0], tmp_path / "first") == {b"\0\0\0\0", b"a\0\0\0"}


def test_a_request_that_had_not_ended_may_be_torn(tmp_path: Path) -> None:
    log, ends = log_of(tmp_path / "log", (0, b"", FLUSH), (0, block(b"a", 4), 0))
    assert images(log, ends[0], tmp_path / "torn") == {b"\0\0\0\0", b"aa\0\0"}


def test_moments_follow_each_other_on_one_disk(tmp_path: Path) -> None:
    log, ends = log_of(
        tmp_path / "log", (0, block(b"a"), 0), (0, b"", FLUSH), (0, block(b"b"), 0), (0, b"", 1)
    )
    replay = Replay(log, 4 * SECTOR, str(tmp_path))
    chance = random.Random(1)
    assert Path(replay.image(ends[1], chance)).read_bytes()[:1] == b"a"
    assert Path(replay.image(ends[3], chance)).read_bytes()[:1] == b"b"
    assert replay.end == ends[3]


def test_a_log_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log, ends = log_of(tmp_path / "log", (0, block(b"a"), 0), (3, block(b"b"), 0), (1, block(b"x"), DISCARD))
    Path(log).write_bytes(Path(log).read_bytes()[: ends[1] - 1])
    assert [entry.position for entry in read_entries(log)] == [0]


def test_another_file_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(4096))
    with pytest.raises(ValueError, match="no log of writes"):
        read_entries(str(tmp_path / "other"))
