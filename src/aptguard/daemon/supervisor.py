# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd and its service say to each other: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3)."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import MutableMapping
from dataclasses import dataclass

_FIRST_DESCRIPTOR = 3
# A child that had them would take the daemon's socket for its own, or could speak in its name.
_OURS = (
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
)


@dataclass(frozen=True, slots=True)
class Supervisor:
    """What systemd has given: where to tell it how we are, how often, and the listening sockets."""

    notify_address: str | None = None
    watchdog_seconds: float | None = None
    listeners: tuple[int, ...] = ()

    def tell(self, *lines: str) -> None:
        """Send ``READY=1`` and the like; without systemd, or when it does not listen, nothing happens."""
        if self.notify_address is None:
            return
        address = self.notify_address
        if address.startswith("@"):
            address = "\0" + address[1:]
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto("\n".join(lines).encode("utf-8", "replace"), address)


def take_from_environment(environment: MutableMapping[str, str]) -> Supervisor:
    """Return what systemd has given this process, and remove its variables from ``environment``.

    Raises ValueError when what was given are not one or two listening Unix stream sockets.
    """
    given = {name: environment.pop(name) for name in _OURS if name in environment}
    own = str(os.getpid())
    watchdog = given.get("WATCHDOG_USEC") if given.get("WATCHDOG_PID", own) == own else None
    listeners: tuple[int, ...] = ()
    if given.get("LISTEN_PID") == own and "LISTEN_FDS" in given:
        if given["LISTEN_FDS"] not in ("1", "2"):
            raise ValueError(
                f"aptguardd takes one or two sockets from systemd (root's, the readers'), and it got "
                f"{given['LISTEN_FDS']}."
            )
        listeners = tuple(range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(given["LISTEN_FDS"])))
        for listener in listeners:
            if not _is_listening(listener):
                raise ValueError("What systemd gave aptguardd is no listening Unix stream socket.")
            os.set_inheritable(listener, False)
    return Supervisor(
        notify_address=given.get("NOTIFY_SOCKET") or None,
        watchdog_seconds=int(watchdog) / 1e6 if watchdog and watchdog.isdigit() else None,
        listeners=listeners,
    )


def _is_listening(descriptor: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as given:
            return (given.family, given.type, given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) == (
                socket.AF_UNIX,
                socket.SOCK_STREAM,
                1,
            )
    except OSError:
        return False
