# SPDX-License-Identifier: GPL-3.0-or-later
"""Which deletions took something, by what the lower layers hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aptguard.rehearsal.lower_entries import LowerEntries


@dataclass(frozen=True)
class Layer:
    mount_point: bytes
    lower: int


@pytest.fixture
def entries(tmp_path: Path) -> Iterator[LowerEntries]:
    for directory in ("root/srv/empty/er", "root/srv/full/deep", "root/mnt", "data/kept", "root/many"):
        (tmp_path / directory).mkdir(parents=True)
    for file in ("root/srv/full/deep/file", "root/srv/zero", "data/file"):
        (tmp_path / file).touch()
    for number in range(300):
        (tmp_path / "root/many" / str(number)).mkdir()
    (tmp_path / "root/srv/link").symlink_to("empty")
    descriptors = [os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY) for name in ("root", "data")]
    yield LowerEntries([Layer(b"/", descriptors[0]), Layer(b"/mnt/data", descriptors[1])])
    for fd in descriptors:
        os.close(fd)


@pytest.mark.parametrize(
    ("path", "takes"),
    [
        (b"/srv/empty", False),
        (b"/srv/full", False),  # what it held has whiteouts of its own
        (b"/srv/zero", True),
        (b"/srv/link", True),
        (b"/mnt/data/file", True),
        (b"/mnt/data/kept", False),
        (b"/srv/not/there", True),  # below a directory that was moved here
    ],
)
def test_a_whiteout_takes_something_unless_a_directory_was_there(
    entries: LowerEntries, path: bytes, takes: bool
) -> None:
    assert entries.whiteout_takes_something(path) is takes


@pytest.mark.parametrize(
    ("path", "takes"),
    [
        (b"/srv/empty", False),
        (b"/srv/full", True),
        (b"/srv/not/there", False),
        (b"/mnt", True),  # a file system is mounted in it
        (b"/mnt/data", True),
        (b"/mnt/data/kept", False),
        (b"/many", True),  # nobody looks through all of them
    ],
)
def test_a_rename_takes_something_where_a_file_or_a_mount_was_inside(
    entries: LowerEntries, path: bytes, takes: bool
) -> None:
    assert entries.rename_takes_something(path) is takes
