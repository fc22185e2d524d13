# SPDX-License-Identifier: GPL-3.0-or-later
"""What the paths in a call of a storage tool are, in the rehearsal and on the machine below it."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Sequence

from aptguard.rehearsal import linux
from aptguard.rehearsal.lower_entries import LowerLayer
from aptguard.rehearsal.mount_plan import DONE_WITHOUT
from aptguard.rehearsal.mountinfo import Mount, read_mountinfo
from aptguard.rehearsal.storage_call import Places

_BTRFS = 0x9123683E  # BTRFS_SUPER_MAGIC, linux/magic.h
_ROOT_OF_A_SUBVOLUME = 256  # BTRFS_FIRST_FREE_OBJECTID, linux/btrfs_tree.h: its inode number
_MOST_LINKS = 40


class StoragePlaces(Places):
    """Looks at ``merged``, the root that the scripts saw, and at the lower directories of ``layers``.

    What is mounted is asked of this process's own mount namespace, which is the machine's.
    """

    def __init__(self, merged: int, layers: Sequence[LowerLayer]) -> None:
        self._merged = merged
        self._mounts: tuple[Mount, ...] | None = None
        self._layers = sorted(layers, key=lambda layer: len(layer.mount_point), reverse=True)

    def real(self, path: bytes) -> bytes:
        """Return where ``path`` leads to, if it is a symbolic link."""
        for _ in range(_MOST_LINKS):
            if path.startswith(b"/dev/"):
                break
            try:
                fd = linux.openat_in_root(self._merged, path, os.O_PATH | os.O_NOFOLLOW)
            except OSError:
                break
            try:
                if not stat.S_ISLNK(os.fstat(fd).st_mode):
                    break
                target = os.readlink(b"", dir_fd=fd)
            finally:
                os.close(fd)
            path = os.path.normpath(os.path.join(os.path.dirname(path), target)).replace(b"//", b"/")
        return path

    def is_file(self, path: bytes) -> bool:
        """Whether a regular file stands there."""
        try:
            fd = linux.openat_in_root(self._merged, path, os.O_PATH)
        except OSError:
            return False
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode)
        finally:
            os.close(fd)

    def may_be_subvolume(self, path: bytes) -> bool:
        """Whether a btrfs subvolume stands there on the machine, or nobody can tell."""
        for layer in self._layers:
            top = layer.mount_point.rstrip(b"/")
            if path == top or path.startswith(top + b"/"):
                try:
                    fd = linux.openat_in_root(layer.lower, path[len(top) :] or b"/", os.O_PATH)
                except (FileNotFoundError, NotADirectoryError):
                    return False
                except OSError:
                    return True
                try:
                    inode = os.fstat(fd).st_ino
                    return inode == _ROOT_OF_A_SUBVOLUME and linux.file_system_type(fd) == _BTRFS
                except OSError:
                    return True
                finally:
                    os.close(fd)
        return True

    def may_be_mounted(self, path: bytes) -> bool:
        """Whether umount(8) would find something to unmount by that path: mount point, device or image.

        Where update-binfmts(8) unmounts, and does without, counts for nothing.
        """
        try:
            mounts = [mount for mount in self._mounted() if mount.point != DONE_WITHOUT]
            names = {path, self.real(path)}
            if any(mount.point in names or mount.source in names for mount in mounts):
                return True
            if path.startswith(b"/dev/"):
                return _is_device_of(path, mounts)
            return not names.isdisjoint(_image_files())
        except (OSError, ValueError):
            return True

    def has_file_system(self, kind: bytes, path: bytes) -> bool:
        """Whether the uppermost mount at that very path is of that kind."""
        try:
            there = [mount.kind for mount in self._mounted() if mount.point == path]
        except (OSError, ValueError):
            return False
        return there[-1:] == [kind]

    def _mounted(self) -> tuple[Mount, ...]:
        if self._mounts is None:
            with open("/proc/self/mountinfo", "rb") as file:
                self._mounts = read_mountinfo(file.read())
        return self._mounts

    def may_have_swap(self) -> bool:
        """Whether the machine has swap in use (proc_swaps(5): a line for each, below a heading)."""
        try:
            with open("/proc/swaps", "rb") as file:
                return file.read().count(b"\n") > 1
        except OSError:
            return True


def _is_device_of(path: bytes, mounts: Sequence[Mount]) -> bool:
    number = _device_number(path)
    if number is None:
        return False
    sources = {mount.source for mount in mounts if mount.source.startswith(b"/dev/")}
    return any(b"%d:%d" % number == mount.device for mount in mounts) or any(
        _device_number(source) == number for source in sources
    )


def _device_number(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (os.major(status.st_rdev), os.minor(status.st_rdev)) if stat.S_ISBLK(status.st_mode) else None


def _image_files() -> set[bytes]:
    """Return the files that loop devices show (Documentation/ABI/testing/sysfs-block-loop)."""
    found = set()
    for name in glob.glob("/sys/block/loop*/loop/backing_file"):
        with open(name, "rb") as file:
            found.add(file.read().rstrip(b"\n"))
    return found
