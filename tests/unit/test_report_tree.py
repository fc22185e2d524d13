# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aptguard.report.model import ChangedPath
from aptguard.report.tree import Branch, build_tree, script_lines, tree_lines


def changed(path: str, *kinds: str, size: int = 0, kind: str = "file", **by: str) -> ChangedPath:
    return ChangedPath(path.encode(), kinds or ("deleted",), "unowned", size, type=kind, **by)


def names(root: Branch, **options: int) -> list[str]:
    return [
        line.split("  ")[0].strip() or line.strip().split("  ")[0] for line in tree_lines(root, **options)
    ]


def leaves(branch: Branch) -> list[ChangedPath]:
    found, stack = [], [branch]
    while stack:
        one = stack.pop()
        found += [one.change] if one.change else []
        stack += one.children
    return found


def test_a_directory_that_goes_with_all_in_it_is_one_line_with_count_and_size() -> None:
    files = [changed(f"/srv/data/{number}", size=1024) for number in range(50)]
    root = build_tree([changed("/srv/data", kind="directory", size=4096), *files])
    assert list(tree_lines(root)) == ["/srv/data/  51 deleted, 50.0 KiB"]


def test_directories_on_the_way_that_did_not_change_are_joined() -> None:
    root = build_tree([changed("/var/lib/foo/a"), changed("/var/lib/foo/b", "mode", "owner")])
    assert list(tree_lines(root)) == [
        "/var/lib/foo/  1 deleted, 1 changed",
        "  a  1 deleted",
        "  b  1 changed",
    ]


def test_more_entries_than_fit_are_counted_and_nothing_is_left_out_of_the_sum() -> None:
    root = build_tree([changed(f"/srv/{number:03}/{n}", size=1) for number in range(100) for n in range(3)])
    lines = list(tree_lines(root))
    assert lines[0] == "/srv/  300 deleted, 300 B"
    assert lines[-1] == "  and 92 more entries: 276 deleted, 276 B"
    assert len(lines) <= 40


def test_what_is_deleted_is_shown_before_what_is_only_changed() -> None:
    many = [changed(f"/etc/{number}", "content") for number in range(50)]
    assert any("zz" in line for line in tree_lines(build_tree([*many, changed("/etc/zz")])))


def test_a_name_cannot_forge_a_line_of_the_tree() -> None:
    (line,) = tree_lines(build_tree([changed("/srv/a\n/etc  9 deleted\x1b[2J")]))
    assert "\n" not in line and "\x1b" not in line


def test_a_very_deep_path_is_no_trouble() -> None:
    path = "/a" * 2040
    root = build_tree([changed(path), changed(path[:-2] + "/b")])
    assert root.total == 2 and len(list(tree_lines(root))) == 3


def test_a_path_with_an_empty_name_in_it_ends_the_walk_like_any_other() -> None:
    root = build_tree([changed("/srv//a"), changed("/srv/b/"), changed("//")])
    assert sorted(change.path for change in leaves(root)) == [b"//", b"/srv//a", b"/srv/b/"]


def test_the_root_itself_can_be_what_changed() -> None:
    assert list(tree_lines(build_tree([changed("/", "mode", kind="directory")]))) == ["/  1 changed"]


def test_each_script_is_told_with_what_it_did_most_first() -> None:
    by = {"package": "foo", "script": "postrm purge"}
    lines = script_lines(
        [
            changed("/a", **by),
            changed("/b", **by, size=5),
            changed("/c", package="foo"),
            changed("/d", "content"),
        ]
    )
    assert list(lines) == [
        "postrm purge of foo: 2 deleted, 5 B",
        "dpkg, for foo: 1 deleted",
        "dpkg or not known: 1 changed",
    ]


NAMES = st.sampled_from(["a", "b", "ab", "a.b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(st.dictionaries(PATHS, st.tuples(st.sampled_from(["deleted", "created", "mode"]), st.integers(0, 99))))
def test_every_change_is_in_the_tree_once_and_counted_once(changes: dict[str, tuple[str, int]]) -> None:
    paths = [changed(path, kind, size=size) for path, (kind, size) in changes.items()]
    root = build_tree(paths)
    assert sorted(change.path for change in leaves(root)) == sorted(change.path for change in paths)
    assert root.total == len(paths)
    assert root.size == sum(change.size for change in paths)
    assert len(list(tree_lines(root, lines=10, siblings=3))) <= 10 + 5
