# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done before and after the real run of an approved transaction: what to expect, and the comparison.

Nothing here may hold up or fail a run: what goes wrong costs the comparison, and is said.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from aptguard.alerts.events import diverged_event
from aptguard.guard.comparison import compare
from aptguard.guard.expectation import Expectation, expect
from aptguard.guard.run_watch import RunWatch
from aptguard.guard.state import GuardState, account_files
from aptguard.host.accounts import read_accounts
from aptguard.policy.finding import Severity
from aptguard.policy.model import Place, Policy
from aptguard.policy.pattern_syntax import components, literal_prefix
from aptguard.report.model import RealRun, Report, RunEnd

_PATIENCE = 2.0  # seconds for the comparison of the run before
_LATE = " (looked at later: nobody was there when the run ended)"


class Aftermath:
    """The runs that a guard has approved, and what became of them."""

    def __init__(self, state: GuardState) -> None:
        self._state = state
        self.watch = RunWatch(self._ended, Expectation)

    def approved(
        self,
        report: Report,
        number: int | None,
        policy: Policy,
        run: str,
        *,
        of_apt: bool,
        unpack_only: bool = False,
        settle: Sequence[str] = (),
        call_of_dpkg: str = "",
    ) -> None:
        """Note what the ``run`` of the approved transaction should do; called before the verdict is given.

        ``number`` is the report's in the ledger; ``of_apt``: it is a run of apt, with an approval.
        ``call_of_dpkg`` is the run of the dpkg whose hook asked, where it was not apt's.
        """
        try:
            self.watch.let_comparisons_end(_PATIENCE)
            expectation = expect(
                report,
                number,
                self._state.database(),
                protected=_protected(policy),
                unpack_only=unpack_only,
                settle=settle,
            )
            of_dpkg = bool(call_of_dpkg)
            noted = replace(expectation, overrides_of=call_of_dpkg or run, of_dpkg=of_dpkg)
            self.watch.follow(run, noted, of_apt=of_apt)
        except Exception as error:
            self._failed(error)

    def adopt(self, *, follow: bool = True) -> None:
        """Take over what a guard that is gone has followed; without ``follow`` only what is over."""
        try:
            self.watch.adopt(self._ended_before, follow=follow)
        except Exception as error:
            self._failed(error)

    def _ended(self, expected: Expectation) -> None:
        try:
            self._note(expected, self._compared(expected))
        except Exception as error:
            self._failed(error)

    def _ended_before(self, _run: str, expected: Expectation) -> None:
        """Compare what ended while nobody followed it. A later run that was judged would have found it then.

        What is gone by now may have gone after the run.
        """
        run = self._compared(replace(expected, staying=()))
        self._note(expected, replace(run, reason=run.reason + _LATE))

    def _compared(self, expected: Expectation) -> RealRun:
        return compare(expected, self._state.policy().policy, self._state.database(), time.time())

    def _note(self, expected: Expectation, run: RealRun) -> None:
        # Without apt's last hook, too: plain dpkg has none, and apt may have been killed. Where nobody can
        # tell whether it began, another hook may have stopped apt, but hardly a dpkg.
        if run.end is not RunEnd.NOT_BEGUN and (run.end is not RunEnd.NOT_COMPARED or expected.of_dpkg):
            self._state.use_up_overrides(expected.overrides_of)
        self._state.tell_dangers(self._state.policy().policy)  # the run may have made an account
        number = expected.number
        if number is not None:
            self._state.in_ledger(lambda ledger: ledger.record_run(number, run), None)
        event = diverged_event(expected.id, expected.names, run)
        if event is not None:
            self._state.send(event)

    def _failed(self, error: Exception) -> None:
        self._state.degraded(
            f"a run could not be compared with its rehearsal: {error or type(error).__name__}"
        )


def _protected(policy: Policy) -> list[bytes]:
    """Return the directories whose own directories do not come and go: /, homes, what the policy protects."""
    accounts = read_accounts(*account_files()).accounts
    homes = [account.home for account in accounts if account.home.startswith(b"/") and account.uid >= 1000]
    return [b"/", *_whole_directories(policy), *homes[:100]]


def _whole_directories(policy: Policy) -> list[bytes]:
    """Return the directories of which a rule guards all that is in them, as /srv/** does."""
    found = []
    for rule in policy.path_rules:
        if rule.severity is Severity.BLOCK and rule.place in (Place.PROTECTED, Place.DATA):
            for pattern in rule.patterns:
                directory = pattern.text.removesuffix("/**")
                if len(literal_prefix(pattern.text)) == len(components(directory)) and directory:
                    found.append(directory.encode("utf-8", "surrogateescape"))
    return list(dict.fromkeys(found))
