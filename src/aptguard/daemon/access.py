# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may call what: decided by what the kernel says of the peer."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass, field

from aptguard.daemon.varlink import MAX_MESSAGE_BYTES, SERVICE, Call
from aptguard.guard.peer import Peer
from aptguard.rehearsal.mountinfo import Mount, lead_to_the_same_files, read_mountinfo, visible_mounts

# What changes nothing and starts nothing.
READING = frozenset(("Status", "Log"))
# What is about files that the caller names.
ABOUT_FILES = frozenset(("JudgeApt", "JudgeDpkg", "Check"))

_REFUSALS_SECONDS = 60.0
_SO_PEERGROUPS = 59  # asm-generic/socket.h
_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)
_CLONE_NEWNS = 0x00020000  # clone(2)


@dataclass(frozen=True, slots=True)
class Access:
    """The rule: root may call everything; members of ``reader_group`` (None: nobody) may read.

    ``root`` is the uid that counts as root; another one only in tests.
    """

    root: int = 0
    reader_group: int | None = None
    reader_message_bytes: int = 64 << 10
    _refused: dict[int, float] = field(default_factory=dict, compare=False)

    def is_root(self, peer: Peer) -> bool:
        """Whether ``peer`` may do everything."""
        return peer.uid == self.root

    def message_limit(self, peer: Peer) -> int:
        """Return how many bytes a message of ``peer`` may have."""
        return MAX_MESSAGE_BYTES if self.is_root(peer) else self.reader_message_bytes

    def permits(self, call: Call, peer: Peer, groups: frozenset[int]) -> bool:
        """Whether ``peer``, a member of ``groups``, may make ``call``."""
        if self.is_root(peer) or call.interface == SERVICE:
            return True
        return self.reader_group is not None and self.reader_group in groups and call.method in READING

    def worth_recording(self, peer: Peer) -> bool:
        """Whether a refusal of ``peer`` is to be logged: one of each user in a minute.

        journald drops what a unit says too fast (journald.conf(5), RateLimitBurst=): alerts would be lost.
        """
        now = time.monotonic()
        last = self._refused.get(peer.uid)
        if last is not None and now - last < _REFUSALS_SECONDS:
            return False
        self._refused[peer.uid] = now
        return True


def read_peer(connection: socket.socket) -> tuple[Peer, frozenset[int]]:
    """Return who connected, and the groups of it (unix(7), SO_PEERCRED; socket(7), SO_PEERGROUPS)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, gid = struct.unpack("iII", credentials)
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
    except OSError:  # more than 256 groups (Python reads no more bytes): no right comes from them
        data = b""
    return Peer(pid, uid, gid), frozenset((gid, *struct.unpack(f"{len(data) // 4}I", data)))


def shares_root(peer: Peer) -> bool:
    """Whether the root directory of ``peer`` is this process's: in a chroot or a container it is another.

    A socket can be reached from there (a bind mount of /run), but what is asked is about another machine.
    """
    try:
        return os.path.samestat(os.stat(f"/proc/{peer.pid}/root/"), os.stat("/"))
    except OSError:  # gone, or of a pid namespace that cannot be seen from here
        return False


def sees_the_same_files(peer: Peer) -> bool:
    """Whether each path leads ``peer`` to the same file as this process, in whatever mount namespace it is.

    With PrivateTmp= and the like (systemd.exec(5)) an archive or a database that it names is another file
    here, or none.
    """
    try:
        there, here = os.stat(f"/proc/{peer.pid}/ns/mnt"), os.stat("/proc/self/ns/mnt")
        return os.path.samestat(there, here) or lead_to_the_same_files(
            _mounts(f"{peer.pid}"), _mounts("self")
        )
    except (OSError, ValueError):
        return False


def _mounts(process: str) -> tuple[Mount, ...]:
    with open(f"/proc/{process}/mountinfo", "rb") as file:
        return visible_mounts(read_mountinfo(file.read()))


def is_mount_namespace(descriptor: int) -> bool:
    """Whether ``descriptor`` is one of a mount namespace (namespaces(7))."""
    try:
        return fcntl.ioctl(descriptor, _NS_GET_NSTYPE) == _CLONE_NEWNS
    except OSError:
        return False
