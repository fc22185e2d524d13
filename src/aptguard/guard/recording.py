# SPDX-License-Identifier: GPL-3.0-or-later
"""All that one judgement was made from, kept in a file on demand, so that it can be judged again elsewhere.

On demand: while the directory ``recordings`` stands in the guard's state directory, each examined transaction
is written into it. What is recorded names files and accounts of the machine; nobody but root can read it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date

from aptguard.policy.facts import Facts
from aptguard.policy.finding import Judgement
from aptguard.policy.judge import judge
from aptguard.policy.model import Policy
from aptguard.rehearsal.model import RehearsalResult
from aptguard.serialization import dumps, loads
from aptguard.transaction.model import Transaction

DIRECTORY = "recordings"


@dataclass(frozen=True, slots=True)
class Recording:
    """What went into a judgement and what came out of it; ``day`` is its ISO date."""

    transaction: Transaction
    result: RehearsalResult
    facts: Facts
    day: str
    judgement: Judgement

    def judged_again(self, policy: Policy) -> Judgement:
        """Return the judgement of the same things under ``policy``, on the same day."""
        return judge(self.transaction, self.result, self.facts, policy, date.fromisoformat(self.day))


def write_recording(state_directory: str, name: str, recording: Recording) -> None:
    """Write ``recording`` as ``recordings/NAME.json``, if that directory is there; OSError on failure."""
    directory = os.path.join(state_directory, DIRECTORY)
    if not os.path.isdir(directory):
        return
    path = os.path.join(directory, f"{name}.json")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "w", encoding="ascii") as file:
        file.write(dumps(recording) + "\n")


def read_recording(path: str) -> Recording:
    """Return the recording in the file ``path``; OSError or ValueError when there is none in it."""
    with open(path, "rb") as file:
        return loads(Recording, file.read())
