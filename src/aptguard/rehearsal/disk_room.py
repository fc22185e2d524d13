# SPDX-License-Identifier: GPL-3.0-or-later
"""Room for the upper directories on disk, where the machine's memory is too small for them.

A file without a name (open(2), O_TMPFILE), a loop device on it that clears itself (loop(4),
LO_FLAGS_AUTOCLEAR), an ext4 on that, mounted in the rehearsal's own mount namespace: each is held by the one
before it and by a descriptor only. So nothing is left of it whoever is killed, and after a power cut the file
system drops the nameless file by itself. Its whole size is allocated at once: the bound is the file system's
own size, and the machine's disk is either large enough, with a reserve, or not used at all.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from dataclasses import dataclass, replace

from aptguard.rehearsal import linux
from aptguard.rehearsal.bounds import SPARE_INODES
from aptguard.rehearsal.model import Limits
from aptguard.rehearsal.mountinfo import read_mountinfo
from aptguard.shown import shown

# linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16
LOOP_MAJOR = 7  # linux/major.h
# linux/ext4.h: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH
_SHUT_DOWN, _AND_DROP_ALL = 0x8004587D, struct.pack("=I", 2)
_ATTEMPTS = 16  # somebody else may take the free device first
_DIRECTORIES = (b"/var/lib/aptguard", b"/var/lib", b"/var/tmp")
# On what a file really lies on disk: an overlay may have its upper in memory, as on a live system.
_ON_DISK = frozenset({b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs", b"bcachefs", b"jfs"})
_MAKERS = (b"/usr/sbin/mkfs.ext4", b"/sbin/mkfs.ext4")
_INODE_BYTES = 256
_BYTES_PER_FILE = 4096  # of room, for each file that fits
_RESERVE_SHARE, _LEAST_RESERVE, _LARGEST_RESERVE = 20, 512 << 20, 4 << 30
_LARGEST_SPARE = 256 << 20
# Nobody reads it after a crash, and nothing is written that is not a script's own doing.
_FEATURES = b"^has_journal,^resize_inode,^metadata_csum,extents,uninit_bg,sparse_super2"


def drop_all(workspace: int) -> None:
    """Let the file system of the descriptor ``workspace`` write nothing more: nobody will read it again."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(workspace, _SHUT_DOWN, _AND_DROP_ALL)


class NoDiskRoomError(Exception):
    """Why there is no room on disk; a clause."""


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """``device``: a descriptor of the loop device, to be mounted. ``limits``: with the bounds there.

    ``backing`` is a descriptor of the file, ``floor`` what must stay free, in bytes, on the disk it is on.
    """

    device: int
    backing: int
    limits: Limits
    floor: int

    def close(self) -> None:
        """Give both descriptors back; what is mounted stays."""
        for fd in (self.device, self.backing):
            with contextlib.suppress(OSError):
                os.close(fd)

    def machine_is_short(self) -> str | None:
        """Return why the run must end for the sake of the machine's own disk, or None."""
        space = os.fstatvfs(self.backing)
        if space.f_bavail * space.f_frsize < self.floor:
            return f"the machine's disk has less than {self.floor >> 20} MiB left"
        return None


def reserve_of(total: int) -> int:
    """Return how many bytes of a disk of ``total`` bytes are left to others; pure."""
    return min(max(total // _RESERVE_SHARE, _LEAST_RESERVE), _LARGEST_RESERVE)


def room_for(limits: Limits, free: int, total: int) -> Limits:
    """Return ``limits`` so small that a disk with ``free`` of ``total`` bytes keeps its reserve; pure.

    Raises NoDiskRoomError when not even what is likely to be needed fits.
    """
    reserve = reserve_of(total)
    spare = min(limits.upper_spare_bytes, _LARGEST_SPARE)
    room = free - reserve - spare
    # The file system's own tables take a share of what is allocated.
    largest = (room - SPARE_INODES * _INODE_BYTES) * 100 // 110
    if largest < limits.upper_likely_bytes:
        raise NoDiskRoomError(
            f"{free >> 20} MiB are free, {reserve >> 20} of them are kept back, "
            f"and about {limits.upper_likely_bytes >> 20} are needed"
        )
    upper = min(limits.upper_bytes, largest)
    return replace(
        limits,
        upper_bytes=upper,
        upper_spare_bytes=spare,
        upper_inodes=min(limits.upper_inodes, upper // _BYTES_PER_FILE),
    )


def size_of(limits: Limits) -> int:
    """Return how many bytes a file system needs that holds ``limits`` and all their spare; pure."""
    room = limits.upper_bytes + limits.upper_spare_bytes
    size = room + (limits.upper_inodes + SPARE_INODES) * _INODE_BYTES + room // 64 + (16 << 20)
    return -(-size // (1 << 20)) << 20


def make_disk_room(limits: Limits) -> DiskRoom:
    """Return room for ``limits`` on the machine's disk.

    Raises NoDiskRoomError, with nothing left, where it has none, or no loop devices, or no mkfs.ext4.
    """
    backing = _nameless_file()
    device = -1
    try:
        space = os.fstatvfs(backing)
        free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
        shrunk = room_for(limits, free, total)
        linux.allocate(backing, size_of(shrunk))
        _make_file_system(backing, shrunk.upper_inodes + SPARE_INODES)
        device = _loop_device(backing)
        floor = reserve_of(total) // 2
        return DiskRoom(device, backing, shrunk, floor)
    except BaseException as error:
        os.close(backing)
        if device >= 0:
            os.close(device)
        if isinstance(error, OSError):
            raise NoDiskRoomError(f"it cannot be made: {error.strerror or error}") from error
        raise


def _nameless_file() -> int:
    with open("/proc/self/mountinfo", "rb") as file:
        kinds = {mount.id: mount.kind for mount in read_mountinfo(file.read())}
    reason = "none of its directories is there"
    for directory in _DIRECTORIES:
        try:
            fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = f"no nameless file can be made in {shown(directory)}: {error.strerror}"
            continue
        kind = kinds.get(linux.mount_id(fd), b"unknown")
        if kind in _ON_DISK:
            return fd
        os.close(fd)
        reason = f"{shown(directory)} is on a file system of the kind {shown(kind)}"
    raise NoDiskRoomError(reason)


def _loop_device(backing: int) -> int:
    """Return a descriptor of a loop device on ``backing`` that clears itself when nobody uses it any more."""
    control = os.open(b"/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for attempt in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = os.open(b"/dev/loop%d" % number, os.O_RDWR | os.O_CLOEXEC)
            try:
                _configure(device, backing)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY or attempt == _ATTEMPTS - 1:
                    raise
                continue
            return device
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _configure(device: int, backing: int) -> None:
    # Direct: else each block would be in the page cache twice. Not every file system can do it.
    for flags in (_LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO, _LO_FLAGS_AUTOCLEAR):
        try:
            # struct loop_config: fd, block size, struct loop_info64 with its flags, reserved
            fcntl.ioctl(device, _LOOP_CONFIGURE, struct.pack("=II52xI240x", backing, 4096, flags))
            return
        except OSError as error:
            if error.errno != errno.EINVAL or not flags & _LO_FLAGS_DIRECT_IO:
                raise


def _make_file_system(backing: int, inodes: int) -> None:
    maker = next((path for path in _MAKERS if os.path.exists(path)), None)
    if maker is None:
        raise NoDiskRoomError("mkfs.ext4 (package e2fsprogs) is not there")
    argv = (
        *(
            maker,
            b"-q",
            b"-F",
            b"-b",
            b"4096",
            b"-m",
            b"0",
            b"-I",
            b"%d" % _INODE_BYTES,
            b"-N",
            b"%d" % inodes,
        ),
        *(b"-O", _FEATURES, b"-E", b"nodiscard,lazy_itable_init=1", b"/proc/self/fd/%d" % backing),
    )
    null = os.open(b"/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.set_inheritable(backing, True)
        actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in range(3)]
        pid = os.posix_spawn(maker, argv, {b"PATH": b"/usr/sbin:/usr/bin:/sbin:/bin"}, file_actions=actions)
    finally:
        os.set_inheritable(backing, False)
        os.close(null)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        raise NoDiskRoomError(f"mkfs.ext4 ended with {status}")
