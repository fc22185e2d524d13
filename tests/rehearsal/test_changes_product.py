# SPDX-License-Identifier: GPL-3.0-or-later
"""The full product (kind of upper entry x kind of lower entry), made by hand and shown to the kernel."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable

import pytest
from oracle import differences
from overlays import in_private_mounts, overlay

from aptguard.changes.classify import LowerKind, UpperKind
from aptguard.changes.marks import overlay_prefix

pytestmark = pytest.mark.needs_root

_PREFIX = overlay_prefix()


def _file(path: bytes) -> None:
    with open(path, "wb") as file:
        file.write(b"content of " + os.path.basename(path))


def _directory(path: bytes) -> None:
    os.mkdir(path)
    _file(path + b"/below")
    os.mkdir(path + b"/deep")
    _file(path + b"/deep/below")


def _socket(path: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)


LOWER: dict[LowerKind, Callable[[bytes], None]] = {
    LowerKind.ABSENT: lambda path: None,
    LowerKind.FILE: _file,
    LowerKind.DIRECTORY: _directory,
    LowerKind.SYMLINK: lambda path: os.symlink(b"target", path),
    LowerKind.FIFO: os.mkfifo,
    LowerKind.SOCKET: _socket,
    LowerKind.BLOCK: lambda path: os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 1)),
    LowerKind.CHARACTER: lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
}


def _upper_directory(path: bytes, mark: str | None, value: bytes) -> None:
    os.mkdir(path, 0o700)
    if mark:
        os.setxattr(path, _PREFIX + mark, value)
    _file(path + b"/fresh")
    if mark == "redirect":  # the kernel takes nothing that shows at two places
        os.mknod(os.path.dirname(path) + b"/origin", stat.S_IFCHR, 0)
    if mark != "opaque":
        os.mkdir(path + b"/deep", 0o700)  # merges with the one below


def _whiteout_file(path: bytes) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.setxattr(path, _PREFIX + "whiteout", b"y")


def _metacopy(path: bytes) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    os.truncate(path, len(b"content of origin file"))
    os.setxattr(path, _PREFIX + "metacopy", b"")
    os.setxattr(path, _PREFIX + "redirect", b"/origin file")
    os.mknod(os.path.dirname(path) + b"/origin file", stat.S_IFCHR, 0)


UPPER: dict[UpperKind, Callable[[bytes], None]] = {
    UpperKind.ABSENT: lambda path: None,
    UpperKind.WHITEOUT: lambda path: os.mknod(path, stat.S_IFCHR, 0),
    UpperKind.WHITEOUT_FILE: _whiteout_file,
    UpperKind.MERGED_DIRECTORY: lambda path: _upper_directory(path, None, b""),
    UpperKind.OPAQUE_DIRECTORY: lambda path: _upper_directory(path, "opaque", b"y"),
    UpperKind.REDIRECTED_DIRECTORY: lambda path: _upper_directory(path, "redirect", b"/origin"),
    UpperKind.METACOPY: _metacopy,
    UpperKind.FILE: _file,
    UpperKind.SYMLINK: lambda path: os.symlink(b"other target", path),
    UpperKind.FIFO: lambda path: os.mkfifo(path, 0o600),
    UpperKind.SOCKET: _socket,
    UpperKind.BLOCK: lambda path: os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 2)),
    UpperKind.CHARACTER: lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),
}


@pytest.mark.parametrize("lower", LowerKind)
@pytest.mark.parametrize("upper", UpperKind)
def test_each_upper_entry_over_each_lower_entry_reads_as_the_kernel_shows_it(
    upper: UpperKind, lower: LowerKind
) -> None:
    def in_private(base: bytes) -> None:
        def build(root: bytes) -> None:
            os.mkdir(root + b"/origin")
            os.mkdir(root + b"/origin/deep")
            _file(root + b"/origin/moved")
            _file(root + b"/origin/below")
            _file(root + b"/origin file")
            LOWER[lower](root + b"/entry")

        with overlay(base, build, prepare=lambda root: UPPER[upper](root + b"/entry")) as place:
            changes = place.read()
            found = {change.path: change.kinds for change in changes.changes}
            gone = upper in {UpperKind.WHITEOUT, UpperKind.WHITEOUT_FILE}
            if upper is UpperKind.WHITEOUT_FILE:  # the kernel accepts it in lower layers only
                os.unlink(place.upper + b"/entry")
                os.mknod(place.upper + b"/entry", stat.S_IFCHR, 0)
            assert found == differences(place.lower, place.merged)
            assert bool(changes.problems) == (gone and lower is LowerKind.ABSENT)

    in_private_mounts(in_private)
