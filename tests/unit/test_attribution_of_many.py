# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changed a path that several have changed, by the ways in which it differs in the end."""

from __future__ import annotations

import pytest

from aptguard.changes.model import Cause, Kind
from aptguard.rehearsal.attribution import Action, Attribution, Event, PathChanged, ProcessSeen, ScriptStarted

DPKG = 10
FILE = b"/srv/file"
CONTENT = frozenset({Kind.CONTENT})
DELETED = frozenset({Kind.DELETED})


def deed(number: int, *actions: Action, path: bytes = FILE, slight: bool = False) -> list[Event]:
    """A postrm of the package with that number, and what it does."""
    pid = 100 + number
    changes = [PathChanged(pid, path, action, False, slight) for action in actions]
    return [ScriptStarted(pid, b"p%d.postrm" % number), ProcessSeen(pid, (DPKG,)), *changes]


def who(kinds: frozenset[Kind], *deeds: list[Event], path: bytes = FILE) -> list[str | None]:
    attribution = Attribution()
    for one in deeds:
        attribution.apply(one)
    return [cause.package for cause in attribution.causes(path, kinds)]


def test_all_who_wrote_a_file_are_named_the_last_one_first() -> None:
    writers = [deed(number, Action.CONTENT) for number in (1, 2, 3)]
    assert who(CONTENT, *writers) == ["p3", "p2", "p1"]


def test_one_who_wrote_twice_is_named_once() -> None:
    twice = deed(1, Action.CONTENT), deed(2, Action.CONTENT), deed(1, Action.CONTENT)
    assert who(CONTENT, *twice) == ["p1", "p2"]
    assert who(CONTENT, deed(1, Action.CONTENT, Action.ATTRIBUTES, Action.CONTENT)) == ["p1"]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({Kind.CONTENT}, ["p3", "p1"]),
        ({Kind.MODE}, ["p3", "p2"]),
        ({Kind.CONTENT, Kind.OWNER}, ["p3", "p2", "p1"]),
    ],
)
def test_a_file_is_put_down_to_those_whose_deeds_can_make_it_differ_so(
    kinds: set[Kind], expected: list[str]
) -> None:
    deeds = [deed(1, Action.CONTENT), deed(2, Action.ATTRIBUTES), deed(3, Action.ENTERED)]
    assert who(frozenset(kinds), *deeds) == expected


def test_one_who_only_opened_a_file_is_not_named_beside_one_who_wrote_it() -> None:
    opened = deed(1, Action.ENTERED, slight=True)
    assert who(CONTENT, opened, deed(2, Action.CONTENT)) == ["p2"]
    assert who(CONTENT, opened) == ["p1"]


def test_a_lost_file_is_put_down_to_those_who_deleted_it() -> None:
    made_anew = deed(2, Action.ENTERED, Action.CONTENT)
    assert who(DELETED, deed(1, Action.CONTENT), deed(2, Action.DELETED)) == ["p2"]
    assert who(DELETED, deed(1, Action.DELETED), made_anew, deed(3, Action.DELETED)) == ["p3", "p1"]


def test_a_file_that_was_deleted_and_made_anew_is_put_down_to_both() -> None:
    assert who(CONTENT, deed(1, Action.DELETED), deed(2, Action.ENTERED)) == ["p2", "p1"]
    gone = [*deed(1), PathChanged(101, b"/srv", Action.MOVED_AWAY, True)]
    assert who(CONTENT, gone, deed(2, Action.ENTERED)) == ["p2", "p1"]
    assert who(frozenset({Kind.CREATED}), gone, deed(2, Action.ENTERED)) == ["p2"]


def test_a_directory_is_not_put_down_to_those_who_only_changed_an_entry_in_it() -> None:
    entry = [
        *deed(2),
        PathChanged(102, b"/srv", Action.ENTERED, True),
        PathChanged(102, FILE, Action.DELETED),
    ]
    mode = [
        *deed(1),
        PathChanged(101, b"/srv", Action.ATTRIBUTES, True),
        PathChanged(101, b"/x", Action.CONTENT),
    ]
    assert who(frozenset({Kind.MODE}), mode, entry, path=b"/srv") == ["p1"]


def test_a_script_is_not_hidden_by_dpkg_that_writes_its_own_records_afterwards() -> None:
    status = b"/var/lib/dpkg/status"
    dpkg = [ProcessSeen(DPKG, (2,), (b"dpkg",)), PathChanged(DPKG, status, Action.ENTERED)]
    assert who(CONTENT, dpkg, deed(1, Action.CONTENT, path=status), dpkg, path=status) == [None, "p1"]


def test_more_writers_than_are_kept_are_told_by_one_without_a_name() -> None:
    attribution = Attribution()
    for number in range(100):
        attribution.apply(deed(number, Action.CONTENT))
    found = attribution.causes(FILE, CONTENT)
    assert len(found) == 66
    assert found[0].package == "p99" and found[-1] == Cause(None, None)


def test_dpkg_s_own_records_crowd_out_no_script() -> None:
    status = b"/var/lib/dpkg/status"
    attribution = Attribution()
    for number in range(100):
        attribution.apply([ProcessSeen(DPKG, (2,), (b"dpkg",)), PathChanged(DPKG, status, Action.ENTERED)])
        attribution.apply(deed(number))
    attribution.apply(deed(1, Action.CONTENT, path=status))
    attribution.apply([PathChanged(DPKG, status, Action.ENTERED)])
    assert [cause.package for cause in attribution.causes(status, CONTENT)] == [None, "p1"]
