# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine without a daemon: one request on stdin, replies as JSON lines on stdout.

For the hook where no daemon can be reached (no systemd, a container, a rescue shell). Run as
``/usr/bin/python3 -I -m aptguard.guard.embedded``. Exit code 0 when a reply was given.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from aptguard.guard.errors import GuardError
from aptguard.guard.peer import Peer

if TYPE_CHECKING:
    from aptguard.guard.service import Guard

_REHEARSING = ("JudgeApt", "JudgeDpkg")


def main() -> int:
    """Answer the one request on stdin."""
    try:
        request = json.loads(sys.stdin.buffer.read())
        method, parameters = request["method"], request["parameters"]
    except (ValueError, KeyError, TypeError) as error:
        print(f"aptguard: the request on stdin is not what the hook sends: {error}", file=sys.stderr)
        return 2
    if method in _REHEARSING:
        # The helper process loads while this one does.
        from aptguard.rehearsal.rehearse import expect_rehearsal

        expect_rehearsal()
    from aptguard.guard.service import Guard

    guard = Guard()
    peer = Peer(pid=os.getppid(), uid=os.getuid(), gid=os.getgid())
    try:
        if method in _REHEARSING:
            guard.look_back()
        reply = guard.dispatch(method, parameters, peer=peer, progress=lambda text: _say({"progress": text}))
    except GuardError as error:
        _say({"error": error.name, "message": error.message})
        code = 1
    else:
        _say(reply)
        code = 0
    if guard.waiting:
        _follow_detached(guard)
    return code


def _follow_detached(guard: Guard) -> None:
    """See what becomes of the run in a child that has nothing in common with the hook.

    It must not keep apt's terminal or a pipe open, and no ^C, and no SIGTERM to all of a service or session,
    may end it before apt.
    """
    # A thread may still take away what a rehearsal has left; a child of several threads is none to rely on
    # (os.fork() of Python 3.12 says so on stderr). Nor would this process end before they do.
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    if os.fork():
        return
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.chdir("/")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        guard.follow_runs()
    finally:
        os._exit(0)


def _say_progress(text: str) -> None:
    _say({"progress": text})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:  # a library that does not load: one line, for apt's terminal
        print(f"aptguard: the engine failed: {type(error).__name__}: {error}", file=sys.stderr)
        code = 3
    sys.exit(code)
