# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aptguard.changes.model import Change, FileType, Kind, Node
from aptguard.changes.summary import summarize

DELETED, CREATED = frozenset({Kind.DELETED}), frozenset({Kind.CREATED})
OWNER, MODE = frozenset({Kind.OWNER}), frozenset({Kind.MODE})


def change(
    path: bytes, kinds: frozenset[Kind], *, directory: bool = False, size: int = 1, time: int = 0
) -> Change:
    kind = FileType.DIRECTORY if directory else FileType.REGULAR
    node = Node(kind, 0o755, 0, 0, 4096 if directory else size, time)
    return Change(path, kinds, None if kinds == CREATED else node, None if kinds == DELETED else node)


def test_a_deleted_directory_is_one_line_with_count_and_size_of_the_files_below() -> None:
    (line,) = summarize(
        [
            change(b"/srv/a/b", DELETED, directory=True, time=9),
            change(b"/srv/a/b/old", DELETED, size=100, time=1),
            change(b"/srv/a", DELETED, directory=True, time=9),
            change(b"/srv/a/new", DELETED, size=10, time=5),
        ]
    )
    assert (line.path, line.count, line.size, line.whole) == (b"/srv/a", 4, 110, True)
    assert line.newest_mtime_ns == 9
    assert line.examples == (b"/srv/a/new", b"/srv/a/b/old", b"/srv/a", b"/srv/a/b")


def test_a_neighbour_with_the_same_beginning_is_a_line_of_its_own() -> None:
    lines = summarize(
        [
            change(b"/a", DELETED, directory=True),
            change(b"/a-b", DELETED),
            change(b"/a/c", DELETED),
        ]
    )
    assert [(line.path, line.count) for line in lines] == [(b"/a", 2), (b"/a-b", 1)]


def test_a_change_of_another_kind_below_stands_out() -> None:
    lines = summarize(
        [
            change(b"/a", OWNER, directory=True),
            change(b"/a/b", OWNER, directory=True),
            change(b"/a/b/c", OWNER),
            change(b"/a/b/sudo", OWNER | {Kind.SETUID, Kind.MODE}),
        ]
    )
    assert [(line.path, line.count) for line in lines] == [(b"/a", 3), (b"/a/b/sudo", 1)]


def test_many_single_changes_in_one_directory_become_one_line_that_is_not_whole() -> None:
    single = [change(b"/etc/%d" % number, DELETED) for number in range(9)]
    (line,) = summarize(single)
    assert (line.path, line.count, line.whole) == (b"/etc", 9, False)
    assert len(summarize(single[:8])) == 8


def test_changes_at_the_root_are_grouped_at_the_root() -> None:
    (line,) = summarize([change(b"/%d" % number, DELETED) for number in range(9)])
    assert line.path == b"/"
    (line,) = summarize([change(b"/", MODE, directory=True), change(b"/a", MODE)])
    assert (line.path, line.count) == (b"/", 2)


names = st.sampled_from([b"a", b"b", b"a-b", b"\xff", b"n\n"])
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: b"/" + b"/".join(parts))
changes = st.dictionaries(
    paths, st.tuples(st.sampled_from([DELETED, CREATED, OWNER, MODE]), st.booleans()), max_size=30
).map(lambda found: [change(path, kinds, directory=is_dir) for path, (kinds, is_dir) in found.items()])


@given(changes, st.integers(0, 5))
def test_each_change_is_counted_once_whatever_the_grouping(found: list[Change], siblings: int) -> None:
    lines = summarize(found, siblings=siblings)
    assert sum(line.count for line in lines) == len(found)
    for kinds in (DELETED, CREATED, OWNER, MODE):
        assert sum(line.count for line in lines if line.kinds == kinds) == sum(
            c.kinds == kinds for c in found
        )
