# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that tells the hooks of a pause when nobody else can: no ledger, or a broken Python.

The hooks' own rule (hooks/hooklib/rules.sh) reads it; it lies in a directory that only root may enter.
"""

from __future__ import annotations

import contextlib
import json
import os

from aptguard.guard.errors import GuardError
from aptguard.ledger.override import Pause

DIRECTORY = "/run/aptguard"
_MARKER = DIRECTORY + "/pause"


def write_marker(pause: Pause) -> None:
    """Leave the marker of ``pause``, whole or not at all; GuardError where it cannot be written."""
    fresh = _MARKER + ".new"
    try:
        os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump({"until": int(pause.until), "reason": pause.reason}, file)
        os.replace(fresh, _MARKER)
    except OSError as error:
        sentence = f"The pause cannot be left in {_MARKER} for the hooks: {error.strerror}."
        raise GuardError("LedgerUnavailable", sentence) from error


def remove_marker() -> None:
    """Take the marker away, if there is one."""
    # Its time runs out by itself; a read-only /run must not keep a pause from being ended in the ledger.
    with contextlib.suppress(OSError):
        os.unlink(_MARKER)
