# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes while it is read, or cannot be read, is a problem and never silence."""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import shutil

import pytest
from overlays import Overlay, in_private_mounts, overlay

from aptguard.changes import walk
from aptguard.changes.model import Kind
from aptguard.changes.upper import Layer, read_changes
from rehearsal.change_reading import by_path, on_overlay, write

pytestmark = pytest.mark.needs_root


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
