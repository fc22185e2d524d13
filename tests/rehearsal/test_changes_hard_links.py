# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of files that have more than one name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from overlays import OPTION_SETS, Overlay

from aptguard.changes import hard_links
from aptguard.changes.model import Kind
from rehearsal.change_reading import by_path, on_overlay, write

pytestmark = pytest.mark.needs_root

INDEXED = OPTION_SETS[1]


@pytest.mark.parametrize(("one", "other"), [(b"v/f", b"t/f"), (b"t/f", b"v/f")])
@pytest.mark.parametrize("options", OPTION_SETS)
@pytest.mark.parametrize(
    "change",
    [lambda path: os.chmod(path, 0o550), lambda path: write(path, b"other")],
    ids=["mode", "content"],
)
def test_a_change_of_a_hard_link_names_the_other_names(
    options: str, one: bytes, other: bytes, change: Callable[[bytes], None]
) -> None:
    def build(root: bytes) -> None:
        os.mkdir(root + b"/t")
        os.mkdir(root + b"/v")
        write(root + b"/t/f")
        os.link(root + b"/t/f", root + b"/v/f")
        os.link(root + b"/t/f", root + b"/t/g")

    def then(place: Overlay) -> None:
        change(place.merged + b"/" + one)
        found = by_path(place.read())
        assert found[b"/" + one].other_names == tuple(sorted([b"/" + other, b"/t/g"]))

    on_overlay(build, then, options)


@pytest.mark.parametrize("options", [option for option in OPTION_SETS if "index=on" in option])
@pytest.mark.parametrize("away", [os.unlink, lambda path: os.rename(path, os.path.dirname(path) + b"/new")])
def test_a_change_made_under_a_name_that_is_gone_shows_at_the_others_with_an_index(
    options: str, away: Callable[[bytes], None]
) -> None:
    def build(root: bytes) -> None:
        os.mkdir(root + b"/t")
        os.mkdir(root + b"/v")
        write(root + b"/t/f")
        os.link(root + b"/t/f", root + b"/v/f")

    def then(place: Overlay) -> None:
        write(place.merged + b"/v/f", b"other")
        away(place.merged + b"/v/f")
        found = by_path(place.read())
        assert found[b"/v/f"].deleted
        assert found[b"/t/f"].kinds == {Kind.CONTENT}

    on_overlay(build, then, options)


def test_a_name_that_is_left_out_is_told_where_another_one_of_its_inode_changed() -> None:
    def build(root: bytes) -> None:
        os.mkdir(root + b"/elsewhere")
        write(root + b"/program")
        os.link(root + b"/program", root + b"/elsewhere/alias")

    def then(place: Overlay) -> None:
        write(place.merged + b"/new", b"ours")
        os.rename(place.merged + b"/new", place.merged + b"/program")
        ours = os.lstat(place.upper + b"/program").st_ino
        write(place.merged + b"/elsewhere/alias", b"other")
        found = by_path(place.read(ignore=lambda _, seen: seen.st_ino == ours))
        assert set(found) == {b"/elsewhere/alias"}
        assert found[b"/elsewhere/alias"].other_names == (b"/program",)

    on_overlay(build, then, INDEXED)


def test_a_file_put_in_the_place_of_a_hard_link_leaves_the_other_names_alone() -> None:
    def build(root: bytes) -> None:
        write(root + b"/f")
        os.link(root + b"/f", root + b"/g")

    def then(place: Overlay) -> None:
        write(place.merged + b"/new", b"other")
        os.rename(place.merged + b"/new", place.merged + b"/f")
        found = by_path(place.read())
        assert found[b"/f"].kinds == {Kind.CONTENT}
        assert found[b"/f"].other_names == ()

    on_overlay(build, then, INDEXED)


def test_a_hard_link_renamed_over_another_leaves_the_names_of_that_other_alone() -> None:
    def build(root: bytes) -> None:
        for one, other in ((b"/f", b"/g"), (b"/h", b"/i")):
            write(root + one)
            os.link(root + one, root + other)

    def then(place: Overlay) -> None:
        write(place.merged + b"/f", b"other")
        os.rename(place.merged + b"/f", place.merged + b"/h")
        found = by_path(place.read())
        assert found[b"/h"].kinds == {Kind.CONTENT} and found[b"/h"].other_names == ()
        assert found[b"/g"].kinds == {Kind.CONTENT}
        assert b"/i" not in found

    on_overlay(build, then, INDEXED)


def test_a_hard_link_in_a_moved_directory_shows_what_was_written_under_its_other_name() -> None:
    def build(root: bytes) -> None:
        for directory in (b"/d", b"/e"):
            os.mkdir(root + directory)
            write(root + directory + b"/f", b"same")
        os.link(root + b"/d/f", root + b"/x")

    def then(place: Overlay) -> None:
        write(place.merged + b"/x", b"else")
        shutil.rmtree(place.merged + b"/e")
        os.rename(place.merged + b"/d", place.merged + b"/e")
        assert by_path(place.read())[b"/e/f"].kinds == {Kind.CONTENT}

    on_overlay(build, then, INDEXED)


def test_names_that_the_bounded_search_does_not_find_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(root: bytes) -> None:
        os.makedirs(root + b"/a/b/c")
        write(root + b"/a/b/c/f")
        os.mkdir(root + b"/z")
        for number in range(20):
            write(root + b"/a/%d" % number)
        os.link(root + b"/a/b/c/f", root + b"/z/f")

    def then(place: Overlay) -> None:
        os.chmod(place.merged + b"/a/b/c/f", 0o600)
        assert by_path(place.read())[b"/a/b/c/f"].other_names == (b"/z/f",)
        monkeypatch.setattr(hard_links.HardLinks.__init__, "__defaults__", (10,))
        found = place.read()
        assert len(found.changes) == 1 and len(found.problems) == 1
        assert "of which only 1 were found" in found.problems[0]

    on_overlay(build, then)


def test_a_deleted_hard_link_names_the_names_that_stay_and_is_no_problem() -> None:
    def build(root: bytes) -> None:
        write(root + b"/f")
        os.link(root + b"/f", root + b"/g")

    def then(place: Overlay) -> None:
        os.unlink(place.merged + b"/f")
        found = by_path(place.read())
        assert list(found) == [b"/f"] and found[b"/f"].other_names == (b"/g",)

    on_overlay(build, then)
