# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that was ended early says how much lay below what it was emptying."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.changes.model import Cause, Change, Kind
from aptguard.rehearsal.lying_below import being_emptied, count_below
from aptguard.rehearsal.model import LyingBelow
from aptguard.rehearsal.observer import ObservedLayer
from rehearsal.machine import Machine
from rehearsal.test_watch_rehearsal import install, purge


@pytest.mark.needs_root
@pytest.mark.parametrize(
    ("deed", "directories"),
    [
        ("rm -rf /srv; sleep 30", {b"/srv"}),
        # It does not say how far it will go: by what is gone so far.
        ("cd /srv; find . -delete; sleep 30", {b"/srv", b"/srv/files", b"/srv/data", b"/srv/data/files"}),
    ],
)
def test_a_runaway_deletion_is_ended_early_and_its_extent_is_told(
    machine: Machine, tmp_path: Path, deed: str, directories: set[bytes]
) -> None:
    install(machine, tmp_path, "toy", deed)
    for directory in ("/srv/files", "/srv/data/files"):  # of which one is on a file system of its own
        os.makedirs(machine.path(directory))
        for number in range(3000):
            os.mknod(machine.path(f"{directory}/{number}"))
    machine.write("/srv/files/kept")
    result = machine.rehearse(*purge("toy"), stop_patterns=(b"/srv",))
    assert result.ended_early
    below = result.lying_below
    assert below is not None and not below.at_least
    assert below.directory in directories
    lying = 6004 if below.directory == b"/srv" else 3000
    assert lying <= below.paths <= lying + 6, below  # and what the tree of the test brings


@pytest.mark.needs_root
def test_a_run_that_comes_to_its_end_says_nothing_of_the_kind(machine: Machine) -> None:
    machine.write("/srv/data/file")
    assert machine.rehearse_shell("rm -rf /srv/data/file").lying_below is None


def lost(path: bytes, *command: bytes) -> Change:
    return Change(path, frozenset({Kind.DELETED}), cause=Cause("toy", "postrm purge", command))


@pytest.mark.parametrize(
    ("changes", "directory"),
    [
        ([lost(b"/srv/a/b/1"), lost(b"/srv/a/c"), lost(b"/opt/x")], b"/srv/a"),
        ([lost(b"/srv/a/b/1")], b"/srv/a/b"),
        ([lost(b"/srv/a/1", b"rm", b"-rf", b"/srv/", b"/opt")], b"/srv"),
        ([lost(b"/srv/a/1", b"/usr/bin/find", b"/", b"-delete")], b"/srv/a"),
        ([lost(b"/opt/x")], None),
    ],
)
def test_the_directory_is_that_which_was_being_emptied(changes: list[Change], directory: bytes) -> None:
    assert being_emptied(changes, (b"/srv",)) == directory


@pytest.fixture
def layers(tmp_path: Path) -> list[ObservedLayer]:
    for name in ("root/a/deep/er", "root/a/mounted/hidden", "mounted/shown"):
        (tmp_path / name).mkdir(parents=True)
    fds = [os.open(tmp_path / name, os.O_RDONLY) for name in ("root", "mounted")]
    return [ObservedLayer(b"/", -1, fds[0]), ObservedLayer(b"/a/mounted", -1, fds[1])]


def test_what_a_mount_hides_is_not_counted_but_what_it_shows_is(layers: list[ObservedLayer]) -> None:
    mounts = frozenset({b"/", b"/a/mounted"})
    assert count_below(layers, mounts, b"/a") == LyingBelow(b"/a", 4)
    assert count_below(layers, mounts, b"/a/mounted") == LyingBelow(b"/a/mounted", 1)


def test_beyond_the_bound_it_is_more_than_was_counted(layers: list[ObservedLayer]) -> None:
    mounts = frozenset({b"/", b"/a/mounted"})
    assert count_below(layers, mounts, b"/a", most=2) == LyingBelow(b"/a", 3, at_least=True)
    hurried = count_below(layers, mounts, b"/a", seconds=-1)
    assert hurried is not None and hurried.at_least
    assert count_below(layers, mounts, b"/a/missing") == LyingBelow(b"/a/missing", 0, at_least=True)


def test_a_directory_that_no_layer_shows_is_not_counted(layers: list[ObservedLayer]) -> None:
    mounts = frozenset({b"/", b"/a/mounted"})
    assert count_below(layers[1:], mounts, b"/") is None
