# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement: a transaction, what its rehearsal did, and the facts, into findings and a verdict.

Pure, and standard library only: the same recorded values give the same judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from aptguard.policy.check_accounts import AccountCheck
from aptguard.policy.check_attempts import attempt_findings, attempt_unknowns
from aptguard.policy.check_owners import unsure_owners
from aptguard.policy.check_paths import PathCheck
from aptguard.policy.check_plan import plan_findings
from aptguard.policy.dangerous_homes import dormant_dangers
from aptguard.policy.exceptions import Exceptions
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Finding, Judgement, Severity, Verdict
from aptguard.policy.grouping import group, together, worst_first
from aptguard.policy.model import Policy
from aptguard.policy.stop import stop_prefixes
from aptguard.policy.violation import Violation
from aptguard.rehearsal.failure import describe_failure
from aptguard.rehearsal.model import RehearsalResult, Unknown
from aptguard.transaction.model import Transaction

__all__ = ["dormant_dangers", "judge", "stop_prefixes"]


def judge(
    transaction: Transaction, result: RehearsalResult, facts: Facts, policy: Policy, today: date
) -> Judgement:
    """Return the verdict with its reasons.

    BLOCK when something forbidden was found, even in a rehearsal that broke off. Otherwise UNKNOWN when
    anything could not be rehearsed, covered or found out. ALLOW only when neither is so.
    """
    exceptions = Exceptions(policy, transaction.packages, today)
    check = PathCheck(transaction, result.changes, facts, policy, result.earlier_causes)

    def excused(violation: Violation) -> bool:
        change = violation.change
        package = None if change.cause is None else change.cause.package
        by_dpkg = change.cause is not None and change.cause.is_dpkg and check.own(change.path)
        return exceptions.excuse(violation.rule, change.path, [package], by_dpkg=by_dpkg)

    violations = [one for one in check.violations() if not excused(one)]
    blocked = {one.change.path for one in violations if one.severity is Severity.BLOCK}
    violations += [
        one for path, one in check.violations_by_view() if path not in blocked and not excused(one)
    ]
    findings = [
        *group(violations),
        *together(
            one
            for one in (
                *AccountCheck(transaction, result, facts, policy).findings(),
                *plan_findings(transaction, facts, policy),
                *attempt_findings(result, policy),
            )
            if one.severity is not Severity.IGNORE
            and not exceptions.excuse(one.rule, one.path, [one.package])
        ),
    ]
    unknowns = (
        *result.unknowns,
        *facts.problems,
        *_unfinished(transaction, result),
        *attempt_unknowns(result),
        *unsure_owners(transaction, result, facts, policy, violations, excused),
    )
    return Judgement(_verdict(findings, unknowns), worst_first(findings), unknowns)


def _verdict(findings: Iterable[Finding], unknowns: tuple[Unknown, ...]) -> Verdict:
    if any(finding.severity is Severity.BLOCK for finding in findings):
        return Verdict.BLOCK
    return Verdict.UNKNOWN if unknowns else Verdict.ALLOW


def _unfinished(transaction: Transaction, result: RehearsalResult) -> Iterator[Unknown]:
    """Yield why the rehearsal does not show the whole transaction, where its own unknowns do not say so."""
    if transaction.items and not result.steps:
        yield Unknown("the rehearsal", "not one call of dpkg was made")
    elif left := sum(step.status is None for step in result.steps):
        calls = "call" if len(result.steps) == 1 else "calls"
        reason = f"{left} of {len(result.steps)} {calls} of dpkg were not carried out to the end"
        yield Unknown("the rest of the transaction", reason)
    elif not result.complete and not result.unknowns:
        yield Unknown("the rehearsal", "it was cut off before its end")
    if not result.unknowns:
        for step in result.steps:
            if step.status:
                yield describe_failure(step.argv, step.status, b"")
