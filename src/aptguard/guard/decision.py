# SPDX-License-Identifier: GPL-3.0-or-later
"""From a verdict to what apt is told. Pure.

The verdict says what was found; whether a transaction goes on also depends on the mode, a pause, an
override, and on what the policy wants done when the verdict is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import assert_never

from aptguard.policy.finding import Verdict
from aptguard.policy.model import Mode, WhenUnable
from aptguard.transaction.model import Action, Transaction

OWN_PACKAGE = "aptguard"
# What it needs of Debian's, and what that needs; the same names as in hooks/hooklib/rules.sh.
OWN_LIBRARIES = frozenset(
    (
        *(
            "python3-apt",
            "python-apt-common",
            "python3-pydantic",
            "python3-pydantic-core",
            "python3-structlog",
        ),
        *("python3-systemd", "python3-typing-extensions", "python3-annotated-types"),
        "python3-typing-inspection",
    )
)


class Outcome(Enum):
    """What becomes of a judged transaction."""

    PASS = "pass"
    PASS_WITH_DOUBTS = "pass with doubts"
    PASS_BY_OVERRIDE = "pass by override"
    PASS_WHILE_PAUSED = "pass while paused"
    PASS_IN_REPORT_MODE = "pass in report mode"
    STOP = "stop"
    STOP_BY_DOUBTS = "stop by doubts"

    @property
    def passes(self) -> bool:
        """Whether apt may go on."""
        return self not in (Outcome.STOP, Outcome.STOP_BY_DOUBTS)


def decide(
    verdict: Verdict,
    transaction: Transaction,
    *,
    mode: Mode,
    when_unable: WhenUnable,
    overridden: bool,
    paused: bool,
    removals_known: bool = True,
) -> Outcome:
    """Return what becomes of the transaction.

    Without ``removals_known`` it may take away packages that its items do not name.
    """
    match verdict:
        case Verdict.ALLOW:
            return Outcome.PASS
        case Verdict.BLOCK:
            if takes_only_itself_away(transaction):
                return Outcome.PASS_WITH_DOUBTS
            refusal = Outcome.STOP
        case Verdict.UNKNOWN:
            if not stops_when_unable(transaction, when_unable, removals_known=removals_known):
                return Outcome.PASS_WITH_DOUBTS
            refusal = Outcome.STOP_BY_DOUBTS
        case _:
            assert_never(verdict)
    if mode is Mode.REPORT:
        return Outcome.PASS_IN_REPORT_MODE
    if overridden:
        return Outcome.PASS_BY_OVERRIDE
    if paused:
        return Outcome.PASS_WHILE_PAUSED
    return refusal


def stops_when_unable(
    transaction: Transaction, when_unable: WhenUnable, *, removals_known: bool = True
) -> bool:
    """Return whether an unknown verdict stops this transaction; see decide()."""
    # apt lists the packages that wait for their configuration in each run, whatever it is about.
    asked = tuple(item for item in transaction.items if item.action is not Action.CONFIGURE)
    if takes_only_itself_away(replace(transaction, items=asked), OWN_LIBRARIES):
        return False
    match when_unable:
        case WhenUnable.ALLOW:
            return False
        case WhenUnable.BLOCK:
            return True
        case WhenUnable.CAUTIOUS:
            return bool(transaction.takes_away) or not removals_known
        case _:
            assert_never(when_unable)


def takes_only_itself_away(transaction: Transaction, libraries: frozenset[str] = frozenset()) -> bool:
    """Whether the transaction takes away aptguard and nothing else but ``libraries``: that never stops.

    Whatever is thought of it, a guard must not keep the administrator from taking it away.
    """
    return all(
        item.action.takes_away and (item.package == OWN_PACKAGE or item.package in libraries)
        for item in transaction.items
    ) and any(item.package == OWN_PACKAGE for item in transaction.items)
