# SPDX-License-Identifier: GPL-3.0-or-later
"""aptguardd: the life of the daemon.

Started by systemd with a socket, or by hand, when it makes the socket itself. Exit codes: 0 told to end or
idle, 1 could not start, 3 a call did not end in time after it was told to.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import grp
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from aptguard.daemon.access import Access
from aptguard.daemon.client import SOCKET_PATH
from aptguard.daemon.server import Server
from aptguard.daemon.supervisor import Supervisor, take_from_environment
from aptguard.guard.peer import Peer

if TYPE_CHECKING:
    from aptguard.guard.service import Guard

_IDLE_SECONDS = 60.0
_FINISH_SECONDS = 20.0  # for running calls when told to end
_CANCEL_SECONDS = 10.0  # for them to give up after that
_TURN_SECONDS = 10.0


class _Reloadable:
    """The guard, made anew on SIGHUP: policy, ledger and what was said once are looked at afresh."""

    def __init__(self) -> None:
        self._guard: Guard | None = None
        self._former: list[Guard] = []
        self.load()

    def load(self) -> None:
        from aptguard.guard.service import Guard

        fresh = Guard()
        fresh.stay()
        # A former one may still follow runs.
        self._former = [guard for guard in self._former if guard.following]
        self._former += [self._guard] if self._guard is not None else []
        self._guard = fresh

    @property
    def following(self) -> int:
        """How many runs are being followed."""
        guards = [*self._former, *([self._guard] if self._guard is not None else [])]
        return sum(guard.following for guard in guards)

    def dispatch(
        self,
        method: str,
        parameters: dict[str, Any],
        *,
        peer: Peer,
        progress: Callable[[str], None] | None,
        cancelled: threading.Event,
    ) -> dict[str, Any]:
        assert self._guard is not None
        return self._guard.dispatch(method, parameters, peer=peer, progress=progress, cancelled=cancelled)


@dataclass
class _Asked:
    """What signals have asked for."""

    end: bool = False
    reload: bool = False


def main(words: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to end or has been idle; return the exit code."""
    arguments = _arguments(words)
    os.umask(0o077)
    supervisor = Supervisor()
    try:
        supervisor = take_from_environment(os.environ)
        listeners = _listeners(supervisor, arguments.socket)
        if supervisor.listeners:
            _expect_rehearsal()
        guard = _Reloadable()
    except Exception as error:
        supervisor.tell(f"STATUS=Could not start: {error}")
        print(f"aptguardd: {error}", file=sys.stderr)
        return 1
    idle = arguments.idle if supervisor.listeners or arguments.idle_anyway else None
    own = None if supervisor.listeners else arguments.socket
    try:
        with contextlib.ExitStack() as stack:
            for listener in listeners:
                stack.enter_context(listener)
            server = Server(listeners, guard.dispatch, access=Access(reader_group=_group_of_readers()))
            return serve(
                server, supervisor, idle_seconds=idle, reload=guard.load, busy=lambda: guard.following > 0
            )
    finally:
        if own is not None:
            with contextlib.suppress(OSError):
                os.unlink(own)


def _expect_rehearsal() -> None:
    """Systemd starts us for a call, mostly for a transaction: its helper process loads while we do."""
    from aptguard.rehearsal.rehearse import expect_rehearsal

    expect_rehearsal()


def serve(
    server: Server,
    supervisor: Supervisor,
    *,
    idle_seconds: float | None,
    reload: Callable[[], None],
    busy: Callable[[], bool] = lambda: False,
) -> int:
    """Turn the server's loop until SIGTERM, SIGINT or ``idle_seconds`` without a client; SIGHUP reloads.

    While ``busy`` it is not idle.
    """
    asked = _catch_signals(server)
    turn = _TURN_SECONDS
    if supervisor.watchdog_seconds is not None:
        turn = min(turn, supervisor.watchdog_seconds / 3)
    supervisor.tell("READY=1", "STATUS=Waiting for a transaction.")
    said = 0
    while not asked.end:
        left = turn
        if idle_seconds is not None and not busy():
            left = min(turn, max(0.0, idle_seconds - server.idle_seconds))
        server.turn(left)
        supervisor.tell("WATCHDOG=1")
        if server.calls != said:
            said = server.calls
            supervisor.tell(f"STATUS={_status(said)}")
        if asked.reload:
            asked.reload = False
            _reload(supervisor, reload)
        if idle_seconds is not None and server.idle_seconds >= idle_seconds and not busy():
            break
    return _wind_down(server, supervisor)


def _group_of_readers() -> int | None:
    """Return the group that may read the system's logs (Debian policy, base-passwd), None without one."""
    try:
        return grp.getgrnam("adm").gr_gid
    except KeyError:
        return None


def _status(calls: int) -> str:
    return (
        "Waiting for a transaction." if not calls else f"{calls} {'calls' if calls > 1 else 'call'} at work."
    )


def _reload(supervisor: Supervisor, reload: Callable[[], None]) -> None:
    monotonic = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    supervisor.tell("RELOADING=1", f"MONOTONIC_USEC={monotonic}")
    try:
        reload()
        supervisor.tell("READY=1", "STATUS=Reloaded.")
    except Exception as error:  # go on with what was loaded before
        supervisor.tell("READY=1", f"STATUS=Could not reload: {error}")


def _wind_down(server: Server, supervisor: Supervisor) -> int:
    """Let running calls end, then tell them to, then leave them behind (systemd kills the rest)."""
    supervisor.tell("STOPPING=1", "STATUS=Ending.")
    server.stop_accepting()
    for seconds in (_FINISH_SECONDS, _CANCEL_SECONDS):
        give_up = time.monotonic() + seconds
        while server.calls and time.monotonic() < give_up:
            server.turn(0.5)
            supervisor.tell("WATCHDOG=1")
        server.cancel_all()
    left = server.calls
    server.close()
    return 3 if left else 0


def _catch_signals(server: Server) -> _Asked:
    asked = _Asked()

    def end(_number: int, _frame: FrameType | None) -> None:
        asked.end = True

    def reload(_number: int, _frame: FrameType | None) -> None:
        asked.reload = True

    signal.set_wakeup_fd(server.waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, reload)
    return asked


def _listeners(supervisor: Supervisor, path: str) -> list[socket.socket]:
    if supervisor.listeners:
        return [socket.socket(fileno=listener) for listener in supervisor.listeners]
    directory = os.path.dirname(path)
    os.makedirs(directory, 0o700, exist_ok=True)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(path)  # for its owner alone, by the umask
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"Could not listen on {path}: {error.strerror}") from error
    return [listener]


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on; raise OSError when another daemon does."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, f"{path} is there and is no socket: move it away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, f"Another aptguardd listens on {path}")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="aptguardd", description="Answers apt's hooks; started by systemd through aptguard.socket."
    )
    parser.add_argument(
        "--socket", default=SOCKET_PATH, metavar="PATH", help="listen here when systemd gives no socket"
    )
    parser.add_argument(
        "--idle",
        type=float,
        default=_IDLE_SECONDS,
        metavar="SECONDS",
        help="end after so long without a client, when started by systemd",
    )
    parser.add_argument("--idle-anyway", action="store_true", help="end when idle without systemd, too")
    return parser.parse_args(words)


def run() -> None:
    """Run main() and leave; threads of calls that did not give up do not keep the process."""
    code = main()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
