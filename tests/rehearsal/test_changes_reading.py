# SPDX-License-Identifier: GPL-3.0-or-later
"""What the random sequences do not reach: mounts, depth, bounds, hard links, races, flags."""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable

import pytest
from overlays import MS_BIND, OPTION_SETS, Overlay, in_private_mounts, mount, overlay, unmount

from aptguard.changes import entry, hard_links, layer, syscalls, walk
from aptguard.changes.model import Change, Kind
from aptguard.changes.upper import ChangeSet, Layer, read_changes

pytestmark = pytest.mark.needs_root

INDEXED = OPTION_SETS[1]


def write(path: bytes, content: bytes = b"x") -> None:
    with open(path, "wb") as file:
        file.write(content)


def by_path(found: ChangeSet) -> dict[bytes, Change]:
    assert found.problems == () and not found.truncated
    return {change.path: change for change in found.changes}


def on_overlay(
    build: Callable[[bytes], None], then: Callable[[Overlay], None], options: str = OPTION_SETS[0]
) -> None:
    def in_private(base: bytes) -> None:
        with overlay(base, build, options) as place:
            then(place)

    in_private_mounts(in_private)


def test_a_deleted_directory_counts_every_file_below_it_with_its_size_and_time() -> None:
    def build(root: bytes) -> None:
        os.makedirs(root + b"/srv/data")
        write(root + b"/srv/data/file", b"12345")
        os.utime(root + b"/srv/data/file", ns=(7, 7))

    def then(place: Overlay) -> None:
        shutil.rmtree(place.merged + b"/srv")
        changes = place.read().changes
        assert [change.path for change in changes] == [b"/srv", b"/srv/data", b"/srv/data/file"]
        assert all(change.deleted and change.after is None for change in changes)
        assert changes[2].before is not None
        assert (changes[2].before.size, changes[2].before.mtime_ns) == (5, 7)

    on_overlay(build, then)


def test_paths_are_below_the_mount_point() -> None:
    def then(place: Overlay) -> None:
        os.unlink(place.merged + b"/f")
        place.mount_point = b"/mnt/a b"
        assert list(by_path(place.read())) == [b"/mnt/a b/f"]

    on_overlay(lambda root: write(root + b"/f"), then)


def test_a_changed_root_of_a_mount_is_a_change_at_the_mount_point() -> None:
    def then(place: Overlay) -> None:
        os.chmod(place.merged, 0o700)
        place.mount_point = b"/srv"
        assert by_path(place.read())[b"/srv"].kinds == {Kind.MODE}

    on_overlay(lambda root: None, then)


def test_a_renamed_directory_names_where_each_path_below_came_from() -> None:
    def build(root: bytes) -> None:
        os.makedirs(root + b"/a/b/c")
        write(root + b"/a/b/c/f")
        os.mkdir(root + b"/z")

    def then(place: Overlay) -> None:
        os.rename(place.merged + b"/a/b", place.merged + b"/z/moved")
        os.rename(place.merged + b"/z/moved/c", place.merged + b"/z/moved/inner")
        os.rename(place.merged + b"/z", place.merged + b"/last")
        found = by_path(place.read())
        assert found[b"/last"].renamed_from == b"/z"
        assert found[b"/last/moved"].renamed_from == b"/a/b"
        assert found[b"/last/moved/inner/f"].renamed_from == b"/a/b/c/f"
        assert found[b"/a/b/c/f"].deleted
        assert b"/a" not in found

    on_overlay(build, then)


def test_a_file_moved_over_another_is_compared_with_what_stood_there() -> None:
    def build(root: bytes) -> None:
        os.mkdir(root + b"/d")
        for name, content in ((b"/d/f", b"same"), (b"/g", b"same"), (b"/h", b"else")):
            write(root + name, content)

    def then(place: Overlay) -> None:
        os.chmod(place.merged + b"/d/f", 0o600)
        os.rename(place.merged + b"/d/f", place.merged + b"/g")
        found = by_path(place.read())
        assert found[b"/g"].kinds == {Kind.MODE}
        os.rename(place.merged + b"/g", place.merged + b"/h")
        found = by_path(place.read())
        assert found[b"/h"].kinds == {Kind.MODE, Kind.CONTENT}
        assert found[b"/h"].renamed_from == b"/d/f"

    on_overlay(build, then)


@pytest.mark.parametrize("clones", [True, False])
def test_nothing_is_read_from_what_is_mounted_below_the_lower(
    clones: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: int) -> int:
        raise OSError(errno.EPERM, "refused by the test")

    if not clones:
        monkeypatch.setattr(layer, "clone_without_submounts", refuse)

    def build(root: bytes) -> None:
        os.makedirs(root + b"/a/sub")
        write(root + b"/a/sub/beneath")
        write(root + b"/a/bound")

    def then(place: Overlay) -> None:
        other = place.base + b"/other"
        os.mkdir(other)
        write(other + b"/mounted")
        mount(other, place.lower + b"/a/sub", b"", MS_BIND)  # the same st_dev: only the mount id tells
        mount(other + b"/mounted", place.lower + b"/a/bound", b"", MS_BIND)
        try:
            shutil.rmtree(place.merged + b"/a")
            found = place.read()
        finally:
            unmount(place.lower + b"/a/bound")
            unmount(place.lower + b"/a/sub")
        paths = {change.path for change in found.changes}
        if clones:
            assert paths == {b"/a", b"/a/bound", b"/a/sub", b"/a/sub/beneath"}
            assert found.problems == ()
        else:
            assert paths == {b"/a"}
            assert len(found.problems) == 2
            assert all("another mount covers it" in problem for problem in found.problems)

    on_overlay(build, then)


def test_a_limit_cuts_off_the_depth_of_a_deletion_and_not_its_neighbours() -> None:
    def build(root: bytes) -> None:
        os.makedirs(root + b"/a/deep")
        for number in range(50):
            write(root + b"/a/deep/%d" % number)
        os.makedirs(root + b"/z/home")

    def then(place: Overlay) -> None:
        shutil.rmtree(place.merged + b"/a")
        shutil.rmtree(place.merged + b"/z")
        found = place.read(limit=10)
        assert found.truncated and len(found.changes) == 10
        assert {b"/a", b"/a/deep", b"/z", b"/z/home"} <= {change.path for change in found.changes}
        whole = place.read(limit=54)
        assert not whole.truncated and len(whole.changes) == 54

    on_overlay(build, then)


def test_depth_is_limited_neither_by_recursion_nor_by_descriptors_nor_by_path_max() -> None:
    depth = 2500
    name = b"d" * 40

    def build(root: bytes) -> None:
        here = os.open(root, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)

    def in_private(base: bytes) -> None:
        with overlay(base, build) as place:
            os.mkdir(place.merged + b"/aside")
            os.rename(place.merged + b"/" + name, place.merged + b"/aside/moved")
            changes = place.read().changes
            assert len(changes) == 2 * depth + 1
            assert max(len(change.path) for change in changes) > 40 * depth
            _remove_deep(place)

    in_private_mounts(in_private)


def _remove_deep(place: Overlay) -> None:
    """Shorten the lower tree: rmtree recurses, so it is given to a program that does not."""
    os.spawnlp(os.P_WAIT, "rm", "rm", "-rf", place.lower + b"/" + b"d" * 40)


def test_odd_names_are_read_byte_for_byte() -> None:
    names = [b"new\nline", b"\xff\xfe", b"n" * 255, b" ", b"-rf", b"\\", b"\x1b[31m", "é".encode()]

    def build(root: bytes) -> None:
        for name in names:
            os.mkdir(root + b"/" + name)
            write(root + b"/" + name + b"/" + name)

    def then(place: Overlay) -> None:
        for name in names:
            shutil.rmtree(place.merged + b"/" + name)
        assert set(by_path(place.read())) == {b"/" + n for n in names} | {b"/" + n + b"/" + n for n in names}

    on_overlay(build, then)


def test_a_symbolic_link_in_the_lower_is_never_followed() -> None:
    def build(root: bytes) -> None:
        os.makedirs(root + b"/target/below")
        os.symlink(b"/", root + b"/link")
        os.symlink(b"target", root + b"/beside")

    def then(place: Overlay) -> None:
        os.unlink(place.merged + b"/link")
        os.unlink(place.merged + b"/beside")
        os.mkdir(place.merged + b"/beside")
        found = by_path(place.read())
        assert set(found) == {b"/link", b"/beside"}
        assert found[b"/link"].before is not None and found[b"/link"].before.target == b"/"

    on_overlay(build, then)


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


def test_entries_put_there_before_the_run_are_left_out_by_their_inode() -> None:
    def build(root: bytes) -> None:
        os.mkdir(root + b"/sbin")
        write(root + b"/sbin/service")

    def in_private(base: bytes) -> None:
        inodes = set()

        def prepare(upper: bytes) -> None:
            os.mkdir(upper + b"/sbin")
            shutil.copystat(base + b"/overlay/lower/sbin", upper + b"/sbin")
            for name in (b"/sbin/service", b"/sbin/other"):
                write(upper + name, b"stub")
                inodes.add(os.lstat(upper + name).st_ino)

        with overlay(base, build, prepare=prepare) as place:

            def ignore(path: bytes, seen: os.stat_result) -> bool:
                return seen.st_ino in inodes

            assert place.read(ignore=ignore).changes == ()
            assert len(place.read().changes) == 2
            write(place.merged + b"/new", b"replaced by the run")
            os.rename(place.merged + b"/new", place.merged + b"/sbin/service")
            assert list(by_path(place.read(ignore=ignore))) == [b"/sbin/service"]

    in_private_mounts(in_private)


def test_a_lower_entry_that_vanishes_while_it_is_read_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(root: bytes) -> None:
        os.mkdir(root + b"/d")
        for name in (b"/d/f", b"/d/g", b"/h"):
            write(root + name)

    def then(place: Overlay) -> None:
        shutil.rmtree(place.merged + b"/d")
        write(place.merged + b"/h", b"y")
        real = walk.names_in

        def names_in(directory: int) -> list[bytes]:
            names = real(directory)
            if b"g" in names:
                os.unlink(place.lower + b"/d/g")
            return names

        monkeypatch.setattr(walk, "names_in", names_in)
        found = place.read()
        assert {change.path for change in found.changes} == {b"/d", b"/d/f", b"/h"}
        assert len(found.problems) == 1 and "/d/g" in found.problems[0]

    on_overlay(build, then)


def test_a_lower_entry_that_vanished_under_a_whiteout_is_a_problem() -> None:
    def then(place: Overlay) -> None:
        os.unlink(place.merged + b"/f")
        os.unlink(place.lower + b"/f")
        found = place.read()
        assert found.changes == ()
        assert len(found.problems) == 1 and "gone from the machine" in found.problems[0]

    on_overlay(lambda root: write(root + b"/f"), then)


def test_a_lower_directory_swapped_for_a_link_while_it_is_read_is_a_problem_and_not_followed() -> None:
    def build(root: bytes) -> None:
        os.makedirs(root + b"/d/below")
        os.makedirs(root + b"/elsewhere/below")
        write(root + b"/elsewhere/below/secret")

    def then(place: Overlay) -> None:
        shutil.rmtree(place.merged + b"/d")
        real = walk.names_in
        swapped = []

        def names_in(directory: int) -> list[bytes]:
            names = real(directory)
            if names == [b"below"] and not swapped:
                swapped.append(True)
                os.rename(place.lower + b"/d", place.lower + b"/gone")
                os.symlink(b"elsewhere", place.lower + b"/d")
            return names

        walk.names_in = names_in
        try:
            found = place.read()
        finally:
            walk.names_in = real
        assert swapped
        assert b"/d/below/secret" not in {change.path for change in found.changes}
        assert len(found.problems) == 1 and "/d/below" in found.problems[0]

    on_overlay(build, then)


@pytest.mark.parametrize("flag", [0x10, 0x20], ids=["immutable", "append-only"])
def test_an_inode_flag_set_in_the_overlay_is_a_change(flag: int) -> None:
    def set_flags(path: bytes, flags: int) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, 0x40086602, array.array("i", [flags]))  # FS_IOC_SETFLAGS
        finally:
            os.close(descriptor)

    def then(place: Overlay) -> None:
        try:
            set_flags(place.merged + b"/f", flag)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
                return  # this kernel's tmpfs has no inode flags: nothing can set one in a rehearsal
            raise
        try:
            assert by_path(place.read())[b"/f"].kinds == {Kind.FLAGS}
        finally:
            set_flags(place.merged + b"/f", 0)
        assert by_path(place.read()) == {}

    on_overlay(lambda root: write(root + b"/f"), then)


def test_a_reader_that_cannot_see_the_marks_says_so_instead_of_reading_them_as_absent() -> None:
    def then(place: Overlay) -> None:
        shutil.rmtree(place.merged + b"/d")
        os.mkdir(place.merged + b"/d")
        assert [change.path for change in place.read().changes] == [b"/d/f"]
        _drop_capability(21)  # CAP_SYS_ADMIN
        found = place.read()
        assert found.changes == ()
        assert len(found.problems) == 1 and "CAP_SYS_ADMIN" in found.problems[0]

    def build(root: bytes) -> None:
        os.mkdir(root + b"/d")
        write(root + b"/d/f")

    def in_private(base: bytes) -> None:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with overlay(base, build) as place:
                    try:
                        then(place)
                        status = 0
                    finally:
                        os._exit(status)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0

    in_private_mounts(in_private)


def _drop_capability(number: int) -> None:
    """Take one capability out of the effective set (capset(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    assert libc.syscall(125, header, data) == 0  # capget on x86-64
    data[0 if number < 32 else 3] &= ~(1 << number % 32)
    assert libc.syscall(126, header, data) == 0


def test_a_layer_that_cannot_be_read_is_a_problem_and_the_others_are_read() -> None:
    def then(place: Overlay) -> None:
        os.unlink(place.merged + b"/f")
        upper, lower = os.open(place.upper, os.O_RDONLY), os.open(place.lower, os.O_RDONLY)
        dead = os.dup(lower)
        os.close(dead)
        layers = [Layer(b"/dead", dead, lower), Layer(b"/", upper, lower)]
        found = read_changes(layers, limit=10)
        assert [change.path for change in found.changes] == [b"/f"]
        assert len(found.problems) == 1 and "/dead" in found.problems[0]

    on_overlay(lambda root: write(root + b"/f"), then)


def test_reading_leaves_no_descriptor_open_and_the_access_times_of_the_lower_alone() -> None:
    def build(root: bytes) -> None:
        os.makedirs(root + b"/d/e")
        write(root + b"/d/e/f", b"12")
        for path in (b"/d", b"/d/e", b"/d/e/f", b""):
            os.utime(root + path, ns=(1, 10**18))

    def then(place: Overlay) -> None:
        write(place.merged + b"/d/e/f", b"21")
        os.rename(place.merged + b"/d/e", place.merged + b"/moved")
        for path in (b"/d", b"/d/e", b"/d/e/f", b""):
            os.utime(place.lower + path, ns=(1, 10**18))
        before = os.listdir("/proc/self/fd")
        assert len(by_path(place.read())) == 4
        assert os.listdir("/proc/self/fd") == before
        for path in (b"/d", b"/d/e", b"/d/e/f"):
            assert os.lstat(place.lower + path).st_atime_ns == 1, path

    on_overlay(build, then)


def test_the_modules_are_of_the_standard_library_alone() -> None:
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(entry.__file__))))
    code = (
        f"import sys; sys.path.insert(0, {source!r}); "
        "import aptguard.changes.upper, aptguard.changes.summary; "
        "outside = [m for m, v in sys.modules.items() if 'packages' in (getattr(v, '__file__', '') or '')]; "
        "sys.exit(repr(outside) if outside else 0)"
    )
    assert os.spawnl(os.P_WAIT, "/usr/bin/python3", "python3", "-SI", "-c", code) == 0


def test_a_failed_system_call_names_the_path_and_the_call(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = os.open(tmp_path_factory.mktemp("root"), os.O_RDONLY)
    try:
        with pytest.raises(FileNotFoundError, match=r"openat2.*absent"):
            syscalls.open_directory(root, b"absent")
        with pytest.raises(OSError, match="openat2"):
            syscalls.open_directory(root, b"../" + os.urandom(4).hex().encode())
        for call in (syscalls.inode_attributes, syscalls.mount_id, syscalls.file_handle):
            with pytest.raises(FileNotFoundError, match="nowhere"):
                call(b"/nowhere")
    finally:
        os.close(root)
    assert stat.S_ISDIR(os.lstat(b"/").st_mode)
