# SPDX-License-Identifier: GPL-3.0-or-later
"""What every method of the guard works with: the rules in force, the ledger, the events that were sent.

The ledger may be unusable (full disk, read-only /var, another version's file). The guard then goes on
without it, which means without overrides and record, and says so once; a pause is still possible.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from aptguard.alerts.events import danger_event, degraded_event, override_event, pause_event
from aptguard.alerts.journal import Event, send_event
from aptguard.alerts.outlets import Outlets
from aptguard.guard.errors import GuardError
from aptguard.guard.pause_marker import read_marker, remove_marker
from aptguard.guard.recording import Recording, write_recording
from aptguard.host.dormant import dormant_accounts
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.ledger.error import LedgerError
from aptguard.ledger.override import Pause
from aptguard.ledger.store import Ledger
from aptguard.policy.finding import Finding
from aptguard.policy.layers import PolicyPaths
from aptguard.policy.loaded import LoadedPolicy
from aptguard.policy.model import Policy
from aptguard.policy.unchanged import PolicyFiles
from aptguard.report.model import Report
from aptguard.transaction.fingerprint import short_id

_LEDGER_BYTES = 256 << 20
_PRUNE_SECONDS = 86400.0
T = TypeVar("T")
Otherwise = TypeVar("Otherwise")


class GuardState:
    """The guard's policy and ledger; one object for the life of a process."""

    def __init__(self, state_directory: str, policy_paths: PolicyPaths | None = None) -> None:
        self.state_directory = state_directory
        self.ledger = Ledger(state_directory)
        self.ledger_problem: str | None = None
        self._policy_files = PolicyFiles(policy_paths or PolicyPaths())
        self.outlets = Outlets(state_directory, self._figures)
        self._parents_ledger: Ledger | None = None
        self._said: set[str] = set()
        self._ledger_works = False
        self._pruned: float | None = None  # monotonic

    def policy(self) -> LoadedPolicy:
        """Return the rules in force; a change of a file holds at once."""
        loaded = self._policy_files.load()
        if loaded.degraded:
            for problem in loaded.problems:
                self.degraded(f"policy: {problem.sentence()}")
        else:
            self.outlets.recovered("policy")
        return loaded

    def database(self) -> DpkgDatabase:
        """Return dpkg's database as it is now, with the index of file lists that spares reading them all."""
        return DpkgDatabase(index=os.path.join(os.fsencode(self.state_directory), b"file-index.db"))

    def degraded(self, reason: str) -> None:
        """Send one ``degraded`` event for ``reason`` in the life of this process."""
        if reason not in self._said:
            self._said.add(reason)
            self.send(degraded_event(reason))

    def send(self, event: Event, report: Report | None = None) -> None:
        """Send ``event`` to where alerts go; ``report`` is the transaction's, for an event about one."""
        send_event(event)
        self.outlets.told(event, report)

    def reopen_ledger(self) -> None:
        """Open the ledger anew: a connection must not be used by a child (https://www.sqlite.org/faq.html#q6)."""
        self._parents_ledger = self.ledger
        self.ledger = Ledger(self.state_directory)

    def record(self, fingerprint: str, recording: Recording) -> None:
        """Keep what a judgement was made from, where that is wanted (see aptguard.guard.recording)."""
        try:
            write_recording(self.state_directory, short_id(fingerprint), recording)
        except OSError as error:
            self.degraded(f"a recording could not be written: {error}")

    def in_ledger(self, work: Callable[[Ledger], T], otherwise: Otherwise) -> T | Otherwise:
        """Return what ``work`` makes of the ledger, or ``otherwise`` when the ledger cannot be used."""
        try:
            value = work(self.ledger)
            self.ledger_problem = None
        except LedgerError as error:
            self.ledger_problem, self._ledger_works = str(error), False
            self.degraded(f"ledger: {error}")
            return otherwise
        if not self._ledger_works:
            self._ledger_works = True
            self.outlets.recovered("ledger")
        for problem in self.ledger.problems:
            self.degraded(f"ledger: {problem}")
        return value

    def in_ledger_or_refuse(self, work: Callable[[Ledger], T]) -> T:
        """Return what ``work`` makes of the ledger; raises GuardError ``LedgerUnavailable``."""
        try:
            return work(self.ledger)
        except LedgerError as error:
            raise GuardError("LedgerUnavailable", str(error)) from error

    def prune(self, keep_days: int) -> None:
        """Take old records away, at most once a day: a process that is asked all the time never ends."""
        moment = time.monotonic()
        if self._pruned is None or moment - self._pruned >= _PRUNE_SECONDS:
            self._pruned = moment
            now = time.time()
            self.in_ledger(
                lambda ledger: ledger.prune(keep_days=keep_days, max_bytes=_LEDGER_BYTES, now=now), 0
            )

    def use_up_overrides(self, run: str) -> None:
        """Use up the overrides that were applied in ``run``, which has ended, each with its event."""
        now = time.time()
        for override in self.in_ledger(lambda ledger: ledger.mark_overrides_used(run=run, now=now), ()):
            self.send(override_event("override-used", override))

    def pause_in_force(self) -> Pause | None:
        """Return the pause in force: the ledger's, or the marker's where the ledger cannot tell."""
        now = time.time()
        found = self.in_ledger(lambda ledger: (ledger.pause(now),), None)
        return read_marker(now) if found is None else found[0] or read_marker(now, alone=True)

    def tell_dangers(self, policy: Policy) -> tuple[Finding, ...]:
        """Return the dangers that lie dormant in accounts; send an event for each that is new."""
        try:
            found = dormant_accounts(policy)
        except Exception as error:
            # Whatever it is: somebody waits for a verdict, which does not depend on it.
            self.degraded(f"nobody knows which dangers lie in the accounts: {error}")
            return ()
        for danger in self.outlets.new_dangers(found):
            self.send(danger_event(danger))
        return found

    def end_what_is_over(self) -> None:
        """Expire overrides and the pause whose time is over, each with its event."""
        now = time.time()
        for override in self.in_ledger(lambda ledger: ledger.expire(now), ()):
            self.send(override_event("override-expired", override))
        ended = self.in_ledger(lambda ledger: ledger.expire_pause(now), None)
        marked = read_marker(0.0, alone=True)
        if marked is not None and marked.until <= now:
            ended = marked
        if ended is not None:
            remove_marker()
            self.send(pause_event("resumed", ended, "its time is over"))

    def _figures(self) -> tuple[int, str]:
        """Return how many dangers lie dormant, and the mode, for the metrics."""
        policy = self._policy_files.load().policy
        return len(dormant_accounts(policy)), policy.mode.value


def account_files() -> tuple[bytes, bytes]:
    """Return the contents of /etc/passwd and /etc/group; OSError."""
    contents = []
    for path in ("/etc/passwd", "/etc/group"):
        with open(path, "rb") as file:
            contents.append(file.read())
    return contents[0], contents[1]
