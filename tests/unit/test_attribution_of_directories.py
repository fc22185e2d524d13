# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changed what in directories: those that were renamed, and those that are touched for an entry."""

from __future__ import annotations

import pytest
from attribution_events import DPKG_STARTS, entered, gone, script

from aptguard.rehearsal.attribution import Action, Attribution, PathChanged, causes


def test_what_lay_in_a_directory_that_was_renamed_away_is_put_down_to_the_rename() -> None:
    found = Attribution()
    found.apply(
        [
            DPKG_STARTS,
            *script(20, b"foo.postrm", b"purge"),
            entered(20, b"/srv/a/changed"),
            gone(20, b"/srv/a/deleted"),
            *script(30, b"bar.postrm", b"purge"),
            PathChanged(30, b"/srv/a", Action.MOVED_AWAY, True),
            PathChanged(30, b"/srv/b", Action.MOVED_IN, True),
        ]
    )
    who = {
        path: found.cause(path)
        for path in (b"/srv/a/changed", b"/srv/a/deleted", b"/srv/a/x/y", b"/srv/b/x/y")
    }
    packages = {path: cause and cause.package for path, cause in who.items()}
    assert packages == {
        b"/srv/a/changed": "bar",
        b"/srv/a/deleted": "foo",
        b"/srv/a/x/y": "bar",
        b"/srv/b/x/y": "bar",
    }


def test_what_lies_below_a_directory_that_was_merely_copied_up_is_nobody_s() -> None:
    found = Attribution()
    found.apply([DPKG_STARTS, *script(20, b"foo.postrm", b"purge"), entered(20, b"/srv", True)])
    assert found.cause(b"/srv/untouched") is None


def test_a_name_that_merely_begins_like_a_renamed_directory_is_not_below_it() -> None:
    found = Attribution()
    found.apply([*script(20, b"foo.postrm", b"purge"), PathChanged(20, b"/srv/a", Action.MOVED_AWAY, True)])
    assert found.cause(b"/srv/ab") is None


@pytest.mark.parametrize("before", [True, False])
def test_a_directory_that_overlayfs_touches_for_an_entry_keeps_who_changed_it(before: bool) -> None:
    touch = PathChanged(30, b"/srv", Action.ATTRIBUTES, True)
    entry = entered(30, b"/srv/new")
    found = causes(
        [
            *script(20, b"foo.postrm", b"purge"),
            PathChanged(20, b"/srv", Action.ATTRIBUTES, True),
            gone(20, b"/other"),
            *script(30, b"bar.postrm", b"purge"),
            *((touch, entry) if before else (entry, touch)),
        ]
    )
    assert found[b"/srv"].package == "foo"


def test_a_changed_mode_of_a_directory_is_put_down_to_who_changed_it_last() -> None:
    found = causes(
        [
            *script(20, b"foo.postrm", b"purge"),
            entered(20, b"/srv", True),
            entered(20, b"/srv/x"),
            *script(30, b"bar.postrm", b"purge"),
            PathChanged(30, b"/srv", Action.ATTRIBUTES, True),
        ]
    )
    assert found[b"/srv"].package == "bar"


def test_a_changed_mode_of_a_directory_survives_the_next_act_elsewhere() -> None:
    found = causes(
        [
            *script(20, b"foo.postrm", b"purge"),
            entered(20, b"/srv", True),
            *script(30, b"bar.postrm", b"purge"),
            PathChanged(30, b"/srv", Action.ATTRIBUTES, True),
            gone(30, b"/elsewhere/x"),
        ]
    )
    assert found[b"/srv"].package == "bar"


def test_the_root_directory_touched_for_an_entry_is_put_down_to_nobody_stronger() -> None:
    found = causes(
        [
            *script(20, b"foo.postrm", b"purge"),
            PathChanged(20, b"/", Action.ATTRIBUTES, True),
            gone(20, b"/a/b"),
            *script(30, b"bar.postrm", b"purge"),
            entered(30, b"/srv", True),
            PathChanged(30, b"/", Action.ATTRIBUTES, True),
        ]
    )
    assert found[b"/"].package == "foo"
