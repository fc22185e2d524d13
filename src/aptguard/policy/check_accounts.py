# SPDX-License-Identifier: GPL-3.0-or-later
"""passwd(5) and group(5) before and after: lost accounts, changed numbers, lost members, dangerous homes.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator

from aptguard.changes.model import Cause
from aptguard.policy import account_causes as who
from aptguard.policy.check_settings import check_setting
from aptguard.policy.dangerous_homes import (
    has_the_default_home,
    is_person,
    is_static,
    normal,
    why_dangerous,
)
from aptguard.policy.facts import Account, Accounts, Facts, Group
from aptguard.policy.finding import Finding, Severity
from aptguard.policy.model import Policy
from aptguard.policy.package_names import own_names, related_account
from aptguard.policy.places import Places
from aptguard.rehearsal.model import RehearsalResult
from aptguard.shown import shown
from aptguard.transaction.model import Transaction


class AccountCheck:
    """Compares the accounts; pure. Accounts that the rehearsal did not touch are never mentioned."""

    def __init__(
        self, transaction: Transaction, result: RehearsalResult, facts: Facts, policy: Policy
    ) -> None:
        self._transaction = transaction
        self._facts = facts
        self._policy = policy
        self._places = Places(policy)
        self._causes = who.AccountCauses(result)

    def findings(self) -> Iterator[Finding]:
        """Yield the findings, those on accounts before those on groups."""
        before = {account.name: account for account in self._facts.accounts_before.accounts}
        after = {account.name: account for account in self._facts.accounts_after.accounts}
        for name, account in before.items():
            now = after.get(name)
            if now is None:
                yield from self._vanished(account)
            elif now != account:
                yield from self._changed(account, now)
            yield from self._removal_attempted(account)
        for name, account in after.items():
            if name not in before:
                yield from self._home(account, created=True)
        for account in self._facts.accounts_coming:
            yield from self._coming(account)
        yield from self._groups()

    def _coming(self, account: Account) -> Iterator[Finding]:
        if is_static(account) or has_the_default_home(account):
            return
        why = why_dangerous(account, self._facts.accounts_after, self._places)
        if why is not None:
            yield self._finding(
                "account-home",
                account.name,
                "created",
                f"A file in sysusers.d has the account made at the next boot, with the home "
                f"{shown(account.home)}, {why}: whatever removes the account with its home deletes that.",
                (),
                at_most=Severity.WARN,
            )

    def _vanished(self, account: Account) -> Iterator[Finding]:
        causes = self._causes.of(account.name, who.PASSWD, who.presence)
        leaving = _names(self._facts.accounts_before) - _names(self._facts.accounts_after)
        why = why_dangerous(account, self._facts.accounts_before, self._places, leaving)
        if why is not None and not is_static(account):
            # A plain userdel of it is harmless and welcome; with the home it is the accident itself.
            plain = bool(self._causes.commands_on(account.name)) and not self._with_home(account)
            yield self._finding(
                "account-home",
                account.name,
                "removed",
                f"The account is removed, and its home {shown(account.home)} is {why}.",
                causes,
                at_most=Severity.WARN if plain else Severity.BLOCK,
            )
        if is_static(account) or is_person(account):
            reason = "The account is none of a package's own, and it would be gone."
        elif not self._transaction.takes_away:
            reason = "The account would be gone although nothing is removed; its files would be a number's."
        elif self._related(account.name, account):
            return
        else:
            reason = "The account would be gone, and it does not look like one of the removed packages'."
            yield self._finding(
                "account-lost", account.name, "removed", reason, causes, at_most=Severity.WARN
            )
            return
        yield self._finding("account-lost", account.name, "removed", reason, causes)

    def _changed(self, account: Account, now: Account) -> Iterator[Finding]:
        if (now.uid, now.gid) != (account.uid, account.gid):
            yield self._finding(
                "account-lost",
                account.name,
                "number",
                f"Its number would change from {account.uid}:{account.gid} to {now.uid}:{now.gid}; "
                "files it owns would belong to somebody else.",
                self._causes.of(account.name, who.PASSWD, who.numbers),
            )
        if normal(now.home) != normal(account.home):
            yield from self._home(now, created=False)

    def _home(self, account: Account, *, created: bool) -> Iterator[Finding]:
        if is_static(account):
            return
        # systemd-sysusers gives / to whoever declares no home, and no package ever removes such an account.
        declared = account.name in self._facts.declared_accounts
        if declared and has_the_default_home(account):
            return
        coming = _names(self._facts.accounts_after) - _names(self._facts.accounts_before)
        why = why_dangerous(account, self._facts.accounts_after, self._places, coming)
        if why is not None:
            yield self._finding(
                "account-home",
                account.name,
                "created" if created else "home",
                f"The account gets the home {shown(account.home)}, {why}: "
                "whatever removes the account with its home one day deletes that.",
                self._causes.of(account.name, who.PASSWD, who.home),
                at_most=Severity.WARN if declared or why.startswith("the home of") else Severity.BLOCK,
            )

    def _removal_attempted(self, account: Account) -> Iterator[Finding]:
        """Judge the call and not its effect: userdel -r -f deletes in an order that differs each time."""
        if account.name not in {one.name for one in self._facts.accounts_after.accounts}:
            return  # judged as vanished
        why = why_dangerous(account, self._facts.accounts_before, self._places)
        callers = self._with_home(account)
        if why is not None and callers:
            yield self._finding(
                "attempt",
                account.name,
                "removed",
                f"A script tried to remove the account with its home, and its home "
                f"{shown(account.home)} is {why}.",
                callers,
            )

    def _with_home(self, account: Account) -> tuple[Cause, ...]:
        commands = self._causes.commands_on(account.name)
        return tuple(cause for command, cause in commands.items() if _removes_home(command))

    def _groups(self) -> Iterator[Finding]:
        after = {group.name: group for group in self._facts.accounts_after.groups}
        remaining = {account.name for account in self._facts.accounts_after.accounts}
        for group in self._facts.accounts_before.groups:
            now = after.get(group.name)
            lost = sorted(
                member
                for member in group.members - (now.members if now is not None else frozenset())
                if member in remaining
            )
            if lost:
                yield self._membership(group, lost, gone=now is None)
            if now is not None and now.gid != group.gid:
                yield self._finding(
                    "account-lost",
                    group.name,
                    "number",
                    f"The group's number would change from {group.gid} to {now.gid}; "
                    "its files would belong to another group.",
                    self._causes.of(group.name, who.GROUP, who.numbers),
                )
            elif now is None and not lost and (group.gid < 100 or not self._transaction.takes_away):
                yield self._finding(
                    "account-lost",
                    group.name,
                    "removed",
                    "The group would be gone although it is not the package's.",
                    self._causes.of(group.name, who.GROUP, who.presence),
                )

    def _membership(self, group: Group, lost: list[str], *, gone: bool) -> Finding:
        persons = ", ".join(shown(name) for name in lost[:5]) + (" and others" if len(lost) > 5 else "")
        own = bool(self._transaction.takes_away) and self._related(group.name, None)
        return self._finding(
            "account-lost",
            group.name,
            "members",
            f"{persons} would no longer be in the group{', which would be gone' if gone else ''}.",
            self._causes.of(group.name, who.GROUP, who.presence if gone else who.members),
            at_most=Severity.WARN if own else Severity.BLOCK,
        )

    def _related(self, name: str, account: Account | None) -> bool:
        if name in self._facts.own_accounts:
            return True
        packages = [item.package for item in self._transaction.takes_away]
        if any(related_account(name, one, own_names(one, self._facts.packages.values())) for one in packages):
            return True
        return (
            account is not None
            and normal(account.home) in self._facts.directories | self._facts.listed_before
        )

    def _finding(
        self,
        check: str,
        account: str,
        change: str,
        reason: str,
        causes: tuple[Cause, ...],
        at_most: Severity = Severity.BLOCK,
    ) -> Finding:
        setting = check_setting(self._policy, check)
        severity = setting.severity
        if severity is Severity.BLOCK and at_most is Severity.WARN:
            severity = Severity.WARN
        scripts = {(cause.package, cause.script) for cause in causes}
        # A wrong name is worse than none: where several may have done it, all of them are told.
        cause = causes[0] if len(scripts) == 1 else Cause(None, None)
        if len(scripts) > 1:
            packages = {cause.package for cause in causes}
            cause = Cause(causes[0].package if len(packages) == 1 else None, None)
            reason += f" Any of these may have done it: {', '.join(dict.fromkeys(map(_name, causes)))}."
        return Finding(
            rule=check,
            severity=severity,
            reason=reason,
            change=change,
            account=account,
            package=cause.package,
            script=cause.script,
            command=cause.command,
            origin=setting.origin,
        )


def _name(cause: Cause) -> str:
    return shown(" ".join(filter(None, (cause.package, cause.script or "dpkg"))))


def _names(accounts: Accounts) -> frozenset[str]:
    return frozenset(account.name for account in accounts.accounts)


def _removes_home(command: tuple[bytes, ...]) -> bool:
    """Return whether the argv is a userdel(8) or deluser(8) that takes the home along."""
    words = [command[0].rpartition(b"/")[2], *(word.rpartition(b"/")[2] for word in command[1:3])]
    if b"userdel" in words:
        return any(
            word == b"--remove" or (word[:1] == b"-" and word[:2] != b"--" and b"r" in word)
            for word in command[1:]
        )
    return b"deluser" in words and any(word in (b"--remove-home", b"--remove-all-files") for word in command)
