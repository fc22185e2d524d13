# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit has found so far, in a file, so that one that was interrupted goes on where it stopped.

One JSON document a line: the first says for which rules and since when the results hold, each further one
is a result. A finished audit takes the file away: the next one looks at the machine anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time

from aptguard import __version__
from aptguard.policy.model import Policy
from aptguard.report.audited import Audited, Candidate
from aptguard.serialization import dumps, loads

FILE = "audit.jsonl"
_HOLDS_SECONDS = 86400  # older results say nothing of the machine of today


def policy_digest(policy: Policy) -> str:
    """Return a digest of the rules in force and of aptguard's version."""
    return hashlib.sha256(f"{__version__}\n{dumps(policy)}".encode()).hexdigest()


class AuditProgress:
    """The results of the audit that is going on; ``results`` are those of an earlier, interrupted run.

    Where the file cannot be used (read-only disk, another audit going on) results are kept by nobody, and
    ``problem`` says why.
    """

    def __init__(self, state_directory: str, policy: Policy) -> None:
        self._path = os.path.join(state_directory, FILE)
        self._header = {"rules": policy_digest(policy), "begun": int(time.time())}
        self._fd = -1
        self.problem: str | None = None
        self.results: dict[Candidate, Audited] = {}
        try:
            os.makedirs(state_directory, mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_APPEND
            self._fd = os.open(self._path, flags, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError:
            self._give_up("another audit is going on")
        except OSError as error:
            self._give_up(f"{self._path}: {error.strerror}")

    def keep(self, audited: Audited) -> None:
        """Add one result."""
        self._append(dumps(audited))

    def finish(self) -> None:
        """Forget all results: the audit is done."""
        if self._fd >= 0:
            os.unlink(self._path)
        self.close()

    def close(self) -> None:
        """Let go of the file; the results in it stay for the next run."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        with open(self._fd, encoding="ascii", errors="replace", closefd=False) as file:
            lines = file.read().split("\n")
        if not self._holds(lines[0]):
            os.ftruncate(self._fd, 0)
            self._append(json.dumps(self._header))
            return
        for line in lines[1:-1]:  # a last line without an end was cut off
            try:
                audited = loads(Audited, line)
            except ValueError:
                continue
            self.results[audited.candidate] = audited
        if lines[-1]:
            self._append("")

    def _holds(self, header: str) -> bool:
        try:
            found = json.loads(header)
            begun = int(found["begun"])
            rules = found["rules"]
        except (ValueError, KeyError, TypeError):
            return False
        return bool(rules == self._header["rules"] and 0 <= time.time() - begun < _HOLDS_SECONDS)

    def _append(self, line: str) -> None:
        if self._fd < 0:
            return
        try:
            os.write(self._fd, f"{line}\n".encode("ascii"))
        except OSError as error:
            self._give_up(f"{self._path}: {error.strerror}")

    def _give_up(self, problem: str) -> None:
        self.problem = problem
        self.close()
