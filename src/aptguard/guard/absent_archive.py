# SPDX-License-Identifier: GPL-3.0-or-later
"""A call of dpkg for a .deb file that does not exist: a typing error, and nothing to be judged.

It is stopped, as it would be for want of a verdict (the file may be there when dpkg opens it), but that is
no event and no record, and there is nothing to be overridden.
"""

from __future__ import annotations

import os
from typing import Any

from aptguard.guard.admission import REFUSED
from aptguard.guard.hook_parameters import seen_by
from aptguard.guard.peer import Peer
from aptguard.policy.model import Mode, Policy, WhenUnable
from aptguard.report.style import Style
from aptguard.shown import shown
from aptguard.transaction.dpkg_command import DpkgCommand


def answer_for_absent_archive(
    command: DpkgCommand, peer: Peer, cwd: bytes, policy: Policy, style: Style, *, paused: bool
) -> dict[str, Any] | None:
    """Return the hook's reply where an archive does not exist; None where all do, or nothing is stopped."""
    if paused or policy.mode is not Mode.ENFORCE or policy.when_unable is WhenUnable.ALLOW:
        return None
    absent = next((one for one in command.archives if _is_absent(seen_by(peer, cwd, one))), None)
    if absent is None:
        return None
    text = f"aptguard: stopped, nothing has been changed: there is no file {shown(absent)}\n"
    return {"exit": REFUSED, "text": style.fit(text), "verdict": "", "outcome": "no such file", "id": ""}


def _is_absent(path: bytes) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass  # whoever reads it says what is wrong
    return False
