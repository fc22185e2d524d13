# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan itself takes away, before any file is looked at; standard library only."""

from __future__ import annotations

from collections.abc import Iterator

from aptguard.policy.asked_for import AskedFor
from aptguard.policy.check_settings import check_setting
from aptguard.policy.facts import Facts, PackageFacts
from aptguard.policy.finding import Finding, Severity
from aptguard.policy.model import Policy
from aptguard.policy.roles import Role
from aptguard.transaction.model import Action, Item, Transaction

_MANY = 15  # packages taken away that nobody named


def plan_findings(transaction: Transaction, facts: Facts, policy: Policy) -> Iterator[Finding]:
    """Yield a finding for each package that must stay and would go, and one when far too many would go.

    Essential, Protected and Important are fields of the package (deb-control(5)); the kernel is the one
    that runs (uname(2)). A role (aptguard.policy.roles) may go with a package that somebody named, and not
    as a side effect.
    """
    setting = check_setting(policy, "protected-package")
    asked = AskedFor(transaction)
    stays = {item.package for item in transaction.items if not item.action.takes_away}
    for item in transaction.takes_away:
        package = _facts_of(item, facts)
        # A crossgrade takes one architecture of a package away and brings another.
        if item.package in stays:
            continue
        why = _why(item, package, facts)
        if why is not None:
            yield _gone(item, setting.name, setting.severity, setting.origin, f"{why}.")
        for role in _lost_roles(item, package, facts, policy, asked):
            yield _gone(item, role.name, role.severity, role.origin, _role_sentence(role, item, asked))
    yield from _mass_removal(transaction, facts, policy, asked)


def _gone(item: Item, rule: str, severity: Severity, origin: str, why: str) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        reason=f"{item.package} would be {_done(item)}, and {why}",
        change="removed",
        subject_package=item.package,
        package=item.package,
        origin=origin,
    )


def _done(item: Item) -> str:
    return "purged" if item.action is Action.PURGE else "removed"


def _lost_roles(
    item: Item, package: PackageFacts | None, facts: Facts, policy: Policy, asked: AskedFor
) -> list[Role]:
    """Return the roles that nobody holds any more when ``item`` is gone, and that had to stay."""
    if package is None or package.status == "config-files":
        return []
    return [
        role
        for role in policy.roles
        if role.severity is not Severity.IGNORE
        and (role.holds(item.package) or item.package in facts.role_leavers.get(role.name, ()))
        and not facts.role_holders.get(role.name)
        and (role.even_if_asked or not asked.names(item.package))
    ]


def _role_sentence(role: Role, item: Item, asked: AskedFor) -> str:
    unasked = "" if asked.names(item.package) else "; nobody asked for that"
    return f"nothing else on this machine does its work ({role.name}){unasked}. {role.explanation}"


def _mass_removal(
    transaction: Transaction, facts: Facts, policy: Policy, asked: AskedFor
) -> Iterator[Finding]:
    """Yield one finding when an installation, or a removal, takes many packages away that nobody named."""
    if asked.left_to_apt:
        return
    unasked = []
    for item in transaction.takes_away:
        package = _facts_of(item, facts)
        if package is not None and package.status != "config-files" and not asked.names(item.package):
            unasked.append(item.package)
    if len(unasked) < _MANY:
        return
    setting = check_setting(policy, "mass-removal")
    severity = setting.severity
    if asked.removal and severity is Severity.BLOCK:
        severity = Severity.WARN
    yield Finding(
        rule=setting.name,
        severity=severity,
        reason=f"{len(unasked)} packages would go that nobody named: {', '.join(unasked[:5])} and others.",
        change="removed",
        subject_package=unasked[0],
        count=len(unasked),
        origin=setting.origin,
    )


def _why(item: Item, package: PackageFacts | None, facts: Facts) -> str | None:
    if facts.running_kernel and item.package in (
        f"linux-image-{facts.running_kernel}",
        f"linux-image-{facts.running_kernel}-unsigned",
    ):
        # Purging what was removed before takes no kernel away any more.
        return None if package is not None and package.status == "config-files" else "this kernel is running"
    if package is None or package.status == "config-files":
        return None
    if package.essential:
        return "Debian marks it as essential"
    if package.protected or package.important:
        return "Debian marks it as protected"
    return None


def _facts_of(item: Item, facts: Facts) -> PackageFacts | None:
    return facts.packages.get(item.qualified) or facts.packages.get(item.package)
