# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan itself takes away, before any file is looked at; standard library only."""

from __future__ import annotations

from collections.abc import Iterator

from aptguard.policy.check_settings import check_setting
from aptguard.policy.facts import Facts, PackageFacts
from aptguard.policy.finding import Finding
from aptguard.policy.model import Policy
from aptguard.transaction.model import Item, Transaction


def plan_findings(transaction: Transaction, facts: Facts, policy: Policy) -> Iterator[Finding]:
    """Yield a finding for each package that must stay and would go.

    Essential, Protected and Important are fields of the package (deb-control(5)); the kernel is the one
    that runs (uname(2)).
    """
    setting = check_setting(policy, "protected-package")
    stays = {item.package for item in transaction.items if not item.action.takes_away}
    for item in transaction.takes_away:
        why = _why(item, _facts_of(item, facts), facts)
        # A crossgrade takes one architecture of a package away and brings another.
        if why is not None and item.package not in stays:
            yield Finding(
                rule=setting.name,
                severity=setting.severity,
                reason=f"{item.package} would be {'purged' if item.action.value == 'purge' else 'removed'}, "
                f"and {why}.",
                change="removed",
                subject_package=item.package,
                package=item.package,
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
