# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper process from outside: started, possibly ahead of need, and ended.

Loading its modules takes longer than an empty rehearsal. So `start_ahead` may be called as soon as one is to
be expected; the process then waits, loaded, for its one request. Each rehearsal still has its own process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading

_PYTHON = "/usr/bin/python3"
_LAST_SECONDS = 5.0
HERE, NAMESPACE_FOLLOWS = b"-", b"m"  # the first byte to a helper; with the second comes a descriptor

_lock = threading.Lock()
_waiting: dict[str, HelperProcess] = {}


class HelperProcess:
    """One process of the program ``helper``; ``control`` is the end on which it is asked.

    It ends by itself when ``control`` is closed, also by the end of this process.
    """

    def __init__(self, helper: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [_PYTHON, "-SI", helper],
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd="/",
                    env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self.control = ours

    def enter(self, mount_namespace: int | None) -> None:
        """Say which mount namespace is meant: a descriptor, or None for this process's own."""
        if mount_namespace is None:
            self.control.sendall(HERE)
        else:
            socket.send_fds(self.control, [NAMESPACE_FOLLOWS], [mount_namespace])
        self.control.setblocking(False)

    def is_waiting(self) -> bool:
        """Whether it is there and has said nothing: neither an error nor goodbye."""
        poller = select.poll()
        for stream in (self.process.stdout, self.process.stderr, self.control):
            assert stream is not None
            poller.register(stream, select.POLLIN)
        return self.process.poll() is None and not poller.poll(0)

    def kill(self) -> None:
        """End it now, and with it the rehearsal's init process (PR_SET_PDEATHSIG) and all below that."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)

    def bury(self) -> None:
        """Wait for its end and give everything back.

        Not for ever: while it reads from a file system that does not answer, nothing can end it.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_LAST_SECONDS)
        for stream in (self.control, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def start_ahead(helper: str) -> None:
    """Start a helper for the next rehearsal, unless one waits; a failure is left to that rehearsal."""
    with _lock, contextlib.suppress(OSError):
        if helper not in _waiting:
            _waiting[helper] = HelperProcess(helper)


def take_helper(helper: str) -> HelperProcess:
    """Return the helper that was started ahead, or else a new one; raises OSError when there can be none."""
    with _lock:
        waiting = _waiting.pop(helper, None)
    if waiting is not None:
        # In a child that was forked meanwhile it would answer two masters.
        if waiting.is_waiting() and os.getpid() == _parent_of(waiting.process.pid):
            return waiting
        waiting.kill()
        waiting.bury()
    return HelperProcess(helper)


def _parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])
