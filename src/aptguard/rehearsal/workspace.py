# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a rehearsal keeps its upper layers: a file system of its own, in memory or on disk."""

from __future__ import annotations

import contextlib
import os
import stat

from aptguard.rehearsal import linux
from aptguard.rehearsal.bounds import SPARE_INODES
from aptguard.rehearsal.model import Limits

_PLACES = (b"/run", b"/tmp", b"/mnt", b"/dev")
# ext4(5): nothing is written behind our back, and nothing has to survive a crash.
_EXT4_OPTIONS = b"noinit_itable,barrier=0,noauto_da_alloc"


def make_workspace(limits: Limits, disk: int | None) -> int:
    """Mount the workspace, make it the working directory and return a descriptor of it.

    It lies on the block device behind the descriptor ``disk`` where there is one and it can be mounted; else
    in memory, within ``limits``. Raises OSError.
    """
    place = _place()
    flags = linux.MS_NOSUID | linux.MS_NODEV
    if disk is None or not _mounted_from(disk, place, flags):
        room = limits.upper_bytes + limits.upper_spare_bytes, limits.upper_inodes + SPARE_INODES
        options = b"mode=0700,size=%d,nr_inodes=%d" % room
        linux.mount(b"aptguard", place, b"tmpfs", flags, options)
    os.chdir(place)
    return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _place() -> bytes:
    for place in _PLACES:
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.lstat(place).st_mode):
                return place
    raise OSError(2, "none of /run, /tmp, /mnt and /dev is a directory; the rehearsal needs one")


def _mounted_from(disk: int, place: bytes, flags: int) -> bool:
    try:
        linux.mount(b"/proc/self/fd/%d" % disk, place, b"ext4", flags, _EXT4_OPTIONS)
    except OSError:
        return False  # the supervisor sees on which device the workspace is, and says so
    os.chmod(place, 0o700)
    return True
