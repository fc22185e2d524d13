# SPDX-License-Identifier: GPL-3.0-or-later
"""What the random sequences do not reach: mounts, depth, bounds, hard links, races, flags."""

from __future__ import annotations

import errno
import os
import shutil
import stat

import pytest
from overlays import MS_BIND, Overlay, in_private_mounts, mount, overlay, unmount

from aptguard.changes import entry, layer, syscalls
from aptguard.changes.model import Kind
from rehearsal.change_reading import by_path, on_overlay, write

pytestmark = pytest.mark.needs_root


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
