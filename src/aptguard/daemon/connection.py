# SPDX-License-Identifier: GPL-3.0-or-later
"""One client of the daemon: its bytes in and out, its descriptors, its deadline."""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import threading

from aptguard.daemon.varlink import Framer
from aptguard.guard.peer import Peer

_READ_BYTES = 256 << 10
_MAX_DESCRIPTORS = 4  # of one message; only the first one means anything


class Connection:
    """A connected socket that never blocks; used by the accept loop's thread only."""

    def __init__(
        self, connected: socket.socket, peer: Peer, groups: frozenset[int], *, limit: int, descriptors: bool
    ) -> None:
        self.socket = connected
        self.peer = peer
        self.groups = groups
        self.framer = Framer(limit)
        self.deadline: float | None = None  # monotonic; dropped when it is passed
        self.cancelled: threading.Event | None = None  # of the call that is waiting or running
        self.ending = False  # close as soon as all is sent
        self.ended_by_peer = False  # the peer sends no more, but may still read
        self._takes_descriptors = descriptors
        self._descriptors: list[int] = []
        self._out = bytearray()
        connected.setblocking(False)

    @property
    def waiting_bytes(self) -> int:
        """How much the peer has not taken yet."""
        return len(self._out)

    @property
    def events(self) -> int:
        """What the loop must wait for (epoll_ctl(2)); a hang-up is always told."""
        reads = 0 if self.ended_by_peer or self.ending else select.EPOLLIN
        return reads | (select.EPOLLOUT if self._out else 0)

    def read(self) -> bool:
        """Take what has arrived; False when the peer has said its last."""
        flags = socket.MSG_CMSG_CLOEXEC
        space = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self.socket.recvmsg(_READ_BYTES, space, flags)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array("i")
                numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                self._keep(list(numbers))
        self.framer.feed(data)
        return bool(data)

    def _keep(self, numbers: list[int]) -> None:
        room = _MAX_DESCRIPTORS - len(self._descriptors) if self._takes_descriptors else 0
        self._descriptors += numbers[:room]
        close_all(numbers[room:])

    def take_descriptors(self) -> tuple[int, ...]:
        """Return the descriptors that came with the message; the caller closes them."""
        taken, self._descriptors = tuple(self._descriptors), []
        return taken

    def write(self, data: bytes = b"") -> bool:
        """Send as much as the peer takes now of ``data`` and what waited; False when the peer is gone."""
        self._out += data
        while self._out:
            try:
                sent = self.socket.send(memoryview(self._out)[:_READ_BYTES], socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            del self._out[:sent]
        return True

    def close(self) -> None:
        """Cancel what runs for the peer, and close all."""
        if self.cancelled is not None:
            self.cancelled.set()
        close_all(self._descriptors)
        self._descriptors = []
        self.socket.close()


def close_all(descriptors: list[int] | tuple[int, ...]) -> None:
    """Close each of ``descriptors``."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
