# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from dpkg_roots import Root
from hypothesis import given
from hypothesis import strategies as st

from aptguard.host.canonical import Canonicaliser
from aptguard.host.dpkg_database import DpkgDatabase, DpkgDatabaseError
from aptguard.host.file_index import FileIndex
from aptguard.host.file_lists import parse_list
from aptguard.host.status_file import StatusFile, read_stanza
from aptguard.transaction.package_state import PackageState


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(str(tmp_path / "root"))
    made.package("findutils", [b"/usr", b"/usr/bin", b"/usr/bin/find"], fields="Essential: yes\n")
    made.package("old", [b"/bin", b"/bin/tool", b"/etc", b"/etc/old.conf"])
    made.package("gone", [b"/etc", b"/etc/gone.conf"], status="deinstall ok config-files")
    made.package("libx", [b"/usr/share/doc/libx/copyright", b"/usr/lib/x.so"], same=True)
    made.package("libx", [b"/usr/share/doc/libx/copyright"], architecture="i386", same=True)
    return made


@pytest.fixture(params=["index", "lists"])
def database(root: Root, request: pytest.FixtureRequest, tmp_path: Path) -> DpkgDatabase:
    index = os.fsencode(tmp_path / "index") if request.param == "index" else None
    return DpkgDatabase(root.path, index=index)


def test_an_owner_is_found_by_the_real_place_of_a_file_listed_through_a_link(database: DpkgDatabase) -> None:
    assert database.owners([b"/usr/bin/tool"]) == {b"/usr/bin/tool": ("old",)}


def test_each_path_has_all_its_owners_and_a_path_of_nobody_is_absent(database: DpkgDatabase) -> None:
    shared = b"/usr/share/doc/libx/copyright"
    found = database.owners([shared, b"/srv/x", b"/usr/bin/find"])
    assert found == {shared: ("libx:amd64", "libx:i386"), b"/usr/bin/find": ("findutils",)}


def test_a_package_of_which_only_configuration_is_left_owns_nothing(database: DpkgDatabase) -> None:
    assert database.owners([b"/etc/gone.conf"]) == {}


def test_a_diverted_file_is_owned_where_it_really_stands(root: Root, database: DpkgDatabase) -> None:
    root.package("diverter", [b"/bin/tool"])
    root.write("/var/lib/dpkg/diversions", b"/bin/tool\n/bin/tool.real\ndiverter\n")
    found = database.owners([b"/usr/bin/tool", b"/usr/bin/tool.real"])
    assert found == {b"/usr/bin/tool": ("diverter",), b"/usr/bin/tool.real": ("old",)}


def test_a_local_diversion_moves_everybodys_file(root: Root, database: DpkgDatabase) -> None:
    root.write("/var/lib/dpkg/diversions", b"/usr/bin/find\n/usr/bin/find.real\n:\n")
    assert database.owners([b"/usr/bin/find", b"/usr/bin/find.real"]) == {
        b"/usr/bin/find.real": ("findutils",)
    }


def test_an_instance_of_another_architecture_that_was_removed_hides_no_owner(
    root: Root, database: DpkgDatabase
) -> None:
    root.package("findutils", [b"/usr/bin/find"], architecture="i386", status="deinstall ok config-files")
    assert database.owners([b"/usr/bin/find"]) == {b"/usr/bin/find": ("findutils",)}


@pytest.mark.parametrize(
    "damage", [b"/usr/bin/fi", b"/usr/bin\n\n/usr/bin/find\n", b"usr/bin/find\n", b"\xff\n"]
)
def test_a_damaged_list_never_looks_like_a_file_of_nobody(
    root: Root, database: DpkgDatabase, damage: bytes
) -> None:
    root.write("/var/lib/dpkg/info/findutils.list", damage)
    with pytest.raises(DpkgDatabaseError, match="findutils"):
        database.owners([b"/srv/x"])


def test_a_missing_list_never_looks_like_a_file_of_nobody(root: Root, database: DpkgDatabase) -> None:
    os.unlink(root.path + b"/var/lib/dpkg/info/findutils.list")
    with pytest.raises(DpkgDatabaseError, match="findutils"):
        database.owners([b"/usr/bin/find"])
    assert database.owners([b"/usr/bin/tool"]) == {b"/usr/bin/tool": ("old",)}


def test_a_missing_database_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    database = DpkgDatabase(os.fsencode(tmp_path))
    with pytest.raises(DpkgDatabaseError, match="/var/lib/dpkg/status"):
        database.states()
    with pytest.raises(DpkgDatabaseError, match="/var/lib/dpkg"):
        database.owners([b"/srv/x"])


@pytest.mark.parametrize(
    "status",
    [b"garbage\n", b"Package: a\nStatus: installed\n\n", b"Status: install ok installed\n\n", b"\0\0\0"],
)
def test_a_damaged_status_file_is_an_error(root: Root, status: bytes) -> None:
    root.write("/var/lib/dpkg/status", status)
    with pytest.raises(DpkgDatabaseError):
        DpkgDatabase(root.path).states()


def test_states_come_with_selection_and_status(root: Root) -> None:
    states = DpkgDatabase(root.path).states()
    assert states["gone", "amd64"] == PackageState("deinstall", "config-files")
    assert len(states) == 5


def test_the_journal_of_an_interrupted_dpkg_overrides_the_status_file(root: Root) -> None:
    update = b"Package: old\nStatus: deinstall ok config-files\nArchitecture: amd64\n\n"
    root.write("/var/lib/dpkg/updates/0001", update)
    root.write("/var/lib/dpkg/updates/tmp.i", b"#padding\n")
    assert DpkgDatabase(root.path).states()["old", "amd64"].status == "config-files"
    assert DpkgDatabase(root.path).states(["old"])["old", "amd64"].status == "config-files"


def test_the_states_of_some_packages_are_those_among_all_with_each_architecture(root: Root) -> None:
    database = DpkgDatabase(root.path)
    every = database.states()
    names = {package for package, _ in every}
    for name in names:
        assert database.states([name]) == {key: state for key, state in every.items() if key[0] == name}
    assert database.states([*names, "absent"]) == every


def test_conffiles_are_read_with_their_marks_and_blanks_in_names(root: Root) -> None:
    sums = " /etc/a 0123456789abcdef0123456789abcdef\n /etc/b c 0123456789abcdef0123456789abcdef obsolete\n"
    sums += " /etc/d newconffile\n /etc/e 0123456789abcdef0123456789abcdef remove-on-upgrade\n"
    root.package("conf", [], fields="Conffiles:\n" + sums)
    assert DpkgDatabase(root.path).conffiles("conf") == (b"/etc/a", b"/etc/b c", b"/etc/d", b"/etc/e")


def test_facts_tell_what_must_not_go_and_whose_sibling_it_is(root: Root) -> None:
    root.package("sib", [], fields="Source: parent (2)\nProtected: yes\nImportant: yes\n")
    facts = DpkgDatabase(root.path).package_facts(["findutils", "sib", "absent", "libx:i386"])
    assert set(facts) == {"findutils", "sib", "libx:i386"}
    assert facts["findutils"].essential
    assert not facts["sib"].essential
    assert facts["sib"].protected
    assert facts["sib"].source == "parent"
    assert facts["libx:i386"].architecture == "i386"


def test_a_file_list_of_a_damaged_list_is_an_error_and_of_an_unknown_package_empty(root: Root) -> None:
    database = DpkgDatabase(root.path)
    assert database.file_list("findutils") == (b"/usr", b"/usr/bin", b"/usr/bin/find")
    assert database.file_list("libx", "i386") == (b"/usr/share/doc/libx/copyright",)
    assert database.file_list("absent") == ()
    root.write("/var/lib/dpkg/info/old.list", b"/etc\n/et")
    with pytest.raises(DpkgDatabaseError, match="old"):
        database.file_list("old")


def test_the_index_follows_lists_that_are_replaced_added_and_deleted(root: Root, tmp_path: Path) -> None:
    index = os.fsencode(tmp_path / "index")
    asked = [b"/usr/bin/find", b"/usr/bin/new", b"/usr/bin/tool"]
    assert set(DpkgDatabase(root.path, index=index).owners(asked)) == {b"/usr/bin/find", b"/usr/bin/tool"}
    root.list("findutils", [b"/usr/bin/new"])
    root.package("more", [b"/usr/bin/tool"])
    found = DpkgDatabase(root.path, index=index).owners(asked)
    assert found == {b"/usr/bin/new": ("findutils",), b"/usr/bin/tool": ("more", "old")}
    os.unlink(root.path + b"/var/lib/dpkg/info/more.list")
    root.write("/var/lib/dpkg/status", b"")
    root.package("old", [b"/bin/tool"])
    assert DpkgDatabase(root.path, index=index).owners([b"/usr/bin/tool"]) == {b"/usr/bin/tool": ("old",)}


def test_a_list_changed_in_the_same_instant_as_the_index_was_made_is_seen(root: Root, tmp_path: Path) -> None:
    index = os.fsencode(tmp_path / "index")
    for number in range(20):
        path = b"/usr/bin/number%d" % number
        root.list("findutils", [path])
        assert DpkgDatabase(root.path, index=index).owners([path]) == {path: ("findutils",)}


def test_a_directory_of_lists_counts_as_settled_only_when_its_last_change_is_past(
    root: Root, tmp_path: Path
) -> None:
    index = os.fsencode(tmp_path / "index")

    def settled() -> int:
        DpkgDatabase(root.path, index=index).owners([b"/usr/bin/find"])
        with sqlite3.connect(os.fsdecode(index)) as connection:
            return int(connection.execute("SELECT count(*) FROM state").fetchone()[0])

    directory = root.path + b"/var/lib/dpkg/info"
    os.utime(directory, ns=(0, 2**62))  # in the future, so never past
    assert settled() == 0
    os.utime(directory, ns=(0, 10**18))
    assert settled() == 1


def test_a_link_that_was_made_after_the_index_is_followed(root: Root, tmp_path: Path) -> None:
    index = os.fsencode(tmp_path / "index")
    root.package("legacy", [b"/sbin/legacy", b"/var/run/legacy"])
    asked = [b"/usr/sbin/legacy", b"/run/legacy"]
    assert DpkgDatabase(root.path, index=index).owners([b"/sbin/legacy"])
    os.makedirs(root.path + b"/usr/sbin")
    os.symlink(b"usr/sbin", root.path + b"/sbin")
    os.symlink(b"/run", root.path + b"/var/run")
    assert set(DpkgDatabase(root.path, index=index).owners(asked)) == set(asked)


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_index_is_made_anew(root: Root, tmp_path: Path, damage: bytes) -> None:
    index = tmp_path / "index"
    DpkgDatabase(root.path, index=os.fsencode(index)).owners([b"/usr/bin/find"])
    for suffix in ("-wal", "-shm"):
        Path(f"{index}{suffix}").unlink(missing_ok=True)
    index.write_bytes(damage)
    assert DpkgDatabase(root.path, index=os.fsencode(index)).owners([b"/usr/bin/find"])
    directory = root.path + b"/var/lib/dpkg/info"
    again = FileIndex(os.fsencode(index), directory, Canonicaliser(root.path))
    assert again.find([b"/usr/bin/find"])[0]


def test_an_index_without_its_tables_is_made_anew(root: Root, tmp_path: Path) -> None:
    index = os.fsencode(tmp_path / "index")
    DpkgDatabase(root.path, index=index).owners([b"/usr/bin/find"])
    with sqlite3.connect(os.fsdecode(index)) as connection:
        connection.execute("DROP TABLE path")
    connection.close()
    found = FileIndex(index, root.path + b"/var/lib/dpkg/info", Canonicaliser(root.path)).find(
        [b"/usr/bin/find"]
    )
    assert found[0] == {b"/usr/bin/find": [(b"findutils", b"/usr/bin/find")]}


def test_the_lists_are_searched_when_there_can_be_no_index(root: Root, tmp_path: Path) -> None:
    nowhere = os.fsencode(tmp_path / "missing" / "index")
    found = DpkgDatabase(root.path, index=nowhere).owners([b"/usr/bin/find"])
    assert found == {b"/usr/bin/find": ("findutils",)}


def test_an_index_is_readable_by_its_owner_only(root: Root, tmp_path: Path) -> None:
    index = tmp_path / "index"
    DpkgDatabase(root.path, index=os.fsencode(index)).owners([b"/usr/bin/find"])
    assert index.stat().st_mode & 0o077 == 0


PATH = st.lists(
    st.sampled_from([b"bin", b"lib", b"usr", b"etc", b"a", b"\xff", b"x y"]), min_size=1, max_size=4
).map(lambda parts: b"/" + b"/".join(parts))


@given(st.lists(st.lists(PATH, max_size=6, unique=True), max_size=4), st.lists(PATH, max_size=6))
def test_the_index_says_the_same_as_the_lists(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[bytes]], asked: list[bytes]
) -> None:
    base = tmp_path_factory.mktemp("same")
    root = Root(str(base / "root"))
    for number, paths in enumerate(lists):
        root.package(f"p{number}", paths)
    canonical = [Canonicaliser(root.path).path(path) for path in asked]
    by_index = DpkgDatabase(root.path, index=os.fsencode(base / "index")).owners(canonical)
    assert by_index == DpkgDatabase(root.path).owners(canonical)


@given(st.binary(max_size=300))
def test_no_list_whatever_loses_a_line_in_silence(data: bytes) -> None:
    parsed = parse_list(data)
    roots = data.split(b"\n")[:-1].count(b"/.")
    lines = data.split(b"\n")
    total = len(lines) - (0 if lines[-1] else 1)
    assert len(parsed.paths) + parsed.odd_lines + roots == total


@given(st.binary(max_size=300))
def test_no_status_file_whatever_crashes(data: bytes) -> None:
    try:
        for stanza in StatusFile(data).stanzas().values():
            assert stanza.package
            assert isinstance(stanza.conffiles, tuple)
    except DpkgDatabaseError as error:
        assert str(error).endswith(".")


def test_a_stanza_found_by_name_is_the_one_found_by_reading_all(root: Root) -> None:
    data = Path(os.fsdecode(root.path), "var/lib/dpkg/status").read_bytes()
    everything = StatusFile(data).stanzas()
    for key, stanza in everything.items():
        assert StatusFile(data).stanzas(frozenset({key[0]}))[key] == stanza
    assert read_stanza(b"Package: a\nDescription: b\n c\n").fields[b"description"] == b"b\nc"


def test_a_loop_of_links_is_no_endless_loop(tmp_path: Path) -> None:
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    assert Canonicaliser(os.fsencode(tmp_path)).path(b"/a/x").endswith(b"/x")


def test_absolute_links_stay_inside_the_root_and_the_last_component_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.symlink("/data", tmp_path / "link")
    os.symlink("../../..", tmp_path / "data" / "up")
    canonical = Canonicaliser(os.fsencode(tmp_path))
    assert canonical.path(b"/link/file") == b"/data/file"
    assert canonical.path(b"/link") == b"/link"
    assert canonical.path(b"/data/up/x") == b"/x"
    assert canonical.path(b"/data/./a") == b"/data/a"
    assert canonical.path(b"/.") == b"/"
