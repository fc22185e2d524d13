# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that tells of a pause when nothing else can: no ledger, or a broken Python.

The hooks' own rule (hooks/hooklib/rules.sh) reads it, and a guard whose ledger cannot be used; it lies in a
directory that only root may enter.
"""

from __future__ import annotations

import contextlib
import json
import os

from aptguard.guard.errors import GuardError
from aptguard.ledger.override import Pause
from aptguard.serialization import from_plain, to_plain

DIRECTORY = "/run/aptguard"
_MARKER = DIRECTORY + "/pause"
_LONGEST = 65536  # bytes


def write_marker(pause: Pause, *, alone: bool) -> None:
    """Leave the marker of ``pause``, whole or not at all; GuardError where it cannot be written.

    ``alone``: the ledger could not be written, and does not have it.
    """
    fresh = _MARKER + ".new"
    try:
        os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump({"until": int(pause.until), "alone": alone, "pause": to_plain(pause)}, file)
        os.replace(fresh, _MARKER)
    except OSError as error:
        sentence = f"The pause cannot be left in {_MARKER} for the hooks: {error.strerror}."
        raise GuardError("LedgerUnavailable", sentence) from error


def read_marker(now: float, *, alone: bool = False) -> Pause | None:
    """Return the marker's pause if it is in force at ``now``, in seconds since the epoch.

    ``alone``: only one that the ledger does not have.
    """
    try:
        descriptor = os.open(_MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            marker = json.loads(file.read(_LONGEST))
        pause = from_plain(Pause, marker["pause"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return pause if now < pause.until and (marker.get("alone") is True or not alone) else None


def remove_marker() -> None:
    """Take the marker away, if there is one."""
    # Its time runs out by itself; a read-only /run must not keep a pause from being ended in the ledger.
    with contextlib.suppress(OSError):
        os.unlink(_MARKER)
