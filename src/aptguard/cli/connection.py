# SPDX-License-Identifier: GPL-3.0-or-later
"""How a command reaches the guard: through the daemon's socket, or the same engine in this process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from aptguard.daemon.client import Unreachable, call
from aptguard.guard.errors import GuardError

_ROOT_ONLY = (
    "The guard answers root, and members of the group adm what status and log ask: run the command with sudo."
)


# What comes from the record comes at once, or the daemon hangs; looking at the machine takes longer.
_SECONDS = {"Check": 600.0, "Selftest": 600.0, "Log": 120.0, "Status": 45.0}
_SECONDS_OTHERS = 15.0
# A daemon of another version, or of the machine around this chroot; this one's engine knows the method.
_STRANGER = ("org.varlink.service.MethodNotFound", "org.varlink.service.InterfaceNotFound", "OtherRoot")


class Connection:
    """Calls the guard's methods; ``through_daemon`` tells afterwards which way the last one went."""

    def __init__(self) -> None:
        self.through_daemon = False

    def call(
        self,
        method: str,
        parameters: dict[str, Any],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """Return the reply to ``method``.

        Raises GuardError when the guard refuses, PermissionError when neither way is open to this user.
        """
        try:
            seconds = _SECONDS.get(method, _SECONDS_OTHERS)
            reply: dict[str, Any] = call(method, parameters, progress=progress, silence_seconds=seconds)
            self.through_daemon = True
            return reply
        except Unreachable:
            self.through_daemon = False
        except GuardError as error:
            if error.name == "org.varlink.service.PermissionDenied":
                raise PermissionError(_ROOT_ONLY) from None
            if error.name not in _STRANGER:
                raise
            self.through_daemon = False
        if os.geteuid() != 0:
            raise PermissionError(_ROOT_ONLY)
        from aptguard.guard.peer import own_process
        from aptguard.guard.service import Guard

        guard = Guard()
        if method in ("Log", "Show"):
            guard.look_back(follow=False)
        return guard.dispatch(
            method, parameters, peer=own_process(), progress=progress, cancelled=threading.Event()
        )


def fail(error: Exception) -> int:
    """Print ``error`` as one sentence on stderr and return the exit code that goes with it."""
    usage = isinstance(error, GuardError) and error.name in (
        "InvalidParameter",
        "NoSuchTransaction",
        "NoSuchOverride",
        "NotBlocked",
    )
    print(f"aptguard: {error}", file=sys.stderr)
    return 2 if usage else 1
