# SPDX-License-Identifier: GPL-3.0-or-later
"""Each changed path against the rules: whose is it, and may it be treated so. Standard library only.

The order of the questions is the order of precedence; the first that answers decides:
protected, top of the file system, new, lost or taken from another package, the transaction's own,
bookkeeping that many share, and last the paths that nobody lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from aptguard.changes.model import Cause, Change, FileType, Kind
from aptguard.policy.by_products import original_names
from aptguard.policy.check_settings import check_setting
from aptguard.policy.dangerous_homes import is_person
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Severity
from aptguard.policy.model import Place, Policy
from aptguard.policy.moved import MovedFiles
from aptguard.policy.own_places import OwnPlaces, TakenAway
from aptguard.policy.places import Places
from aptguard.policy.violation import Violation, of_check, of_rule
from aptguard.transaction.model import Transaction

# Emptied at boot or made to be lost: what is listed there may be missing (file-hierarchy(7)).
_VOLATILE = (b"/run/", b"/tmp/", b"/var/tmp/", b"/var/cache/", b"/dev/")
# Symbolic links at the top without which nothing can be executed.
_TOP_LINKS = frozenset({b"/bin", b"/sbin", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/libo32"})
# Where what a package leaves behind on plain removal is state worth having (Debian policy 6.8).
_STATE = (b"/etc/", b"/opt/", b"/srv/", b"/usr/local/")
# Of /var these come back by themselves, or tell only of what has been.
_NO_STATE = (b"/var/cache/", b"/var/log/", b"/var/tmp/", b"/var/run/", b"/var/lock/", b"/var/crash/")
_DEFERRED = (
    b"/etc/sudoers.d/",
    b"/etc/cron.",
    b"/var/spool/cron/",
    b"/etc/ld.so.preload",
    b"/etc/profile.d/",
    b"/etc/systemd/system/",
    b"/etc/apt/apt.conf.d/",
    b"/etc/dpkg/dpkg.cfg.d/",
)
_ONLY_METADATA = frozenset(
    {Kind.MODE, Kind.SETUID, Kind.OWNER, Kind.GROUP, Kind.ACL, Kind.CAPABILITY, Kind.XATTRS, Kind.FLAGS}
)

_NOBODY: Mapping[bytes, tuple[Cause, ...]] = MappingProxyType({})


class PathCheck:
    """Judges the changes of one rehearsal; pure."""

    def __init__(
        self,
        transaction: Transaction,
        changes: tuple[Change, ...],
        facts: Facts,
        policy: Policy,
        earlier_causes: Mapping[bytes, tuple[Cause, ...]] = _NOBODY,
    ) -> None:
        self._transaction = transaction
        self._changes = changes
        self._earlier_causes = earlier_causes
        self._facts = facts
        self._policy = policy
        self._places = Places(policy)
        self._own_places = OwnPlaces(transaction, facts, self._places)
        self._moved = MovedFiles(changes)
        self._taking_part: dict[str, bool] = {}
        self._sources: dict[tuple[str, ...], frozenset[str]] = {}
        self._deleted = {change.path for change in changes if change.deleted}
        self._filled = {change.path for change in changes if change.after is not None}
        self._lost_links = {
            change.path: change.before.target
            for change in changes
            if change.deleted and change.before is not None and change.before.target is not None
        }
        self._persons = {
            account.uid for account in facts.accounts_after.accounts if account.uid and is_person(account)
        }

    def violations(self) -> Iterator[Violation]:
        """Yield what breaks a rule; at most one for each name of a changed file and each who changed it."""
        for change in self._changes:
            if not change.kinds:
                continue  # nothing differs
            for one in (change, *self._by_others(change)):
                for name in _names_affected(one):
                    found = self._judge(name)
                    if found is not None and found.severity is not Severity.IGNORE:
                        yield found

    def violations_by_view(self) -> Iterator[tuple[bytes, Violation]]:
        """Yield what breaks a rule that protects a view of the changed path, with the path's own name."""
        for change in self._changes:
            if not change.kinds or not change.views:
                continue
            for one in (change, *self._by_others(change)):
                for view in one.views:
                    rule = self._places.protects_view(view, one.kinds, self._own_places.names(one))
                    if rule is not None:
                        yield change.path, of_rule(replace(one, path=view.path), rule)

    def _by_others(self, change: Change) -> Iterator[Change]:
        """Yield the change as the deed of each who changed the path before: one may, another may not."""
        for cause in self._earlier_causes.get(change.path, ()):
            yield replace(change, cause=cause)

    def own(self, path: bytes) -> bool:
        """Return whether ``path`` is a file of the transaction's packages, before or after."""
        facts = self._facts
        return (
            path in facts.listed_before
            or path in facts.listed_after
            or path in facts.conffiles
            or (bool(facts.conffiles) and not facts.conffiles.isdisjoint(original_names(path)))
        )

    def _judge(self, change: Change) -> Violation | None:
        names = self._own_places.names(change)
        protected = self._places.rule_for(Place.PROTECTED, change, names)
        if protected is not None:
            return of_rule(change, protected)
        if _is_top_level(change):
            return self._check("top-level-directory", change)
        if self._gets_foreign_owner(change):
            return self._check("foreign-owner", change)
        if change.before is None:
            return self._judge_new(change, names)
        return self._judge_lost(change) or self._judge_by_owner(change, names)

    def _gets_foreign_owner(self, change: Change) -> bool:
        """Whether a packaged file comes with the number of the account that built it, a person's here."""
        before, after = change.before, change.after
        return (
            after is not None
            and after.uid in self._persons
            and (before is None or before.uid != after.uid)
            and change.path in self._facts.listed_after
        )

    def _judge_new(self, change: Change, names: tuple[str, ...]) -> Violation | None:
        if not change.path.startswith(_DEFERRED) or change.after is None:
            return None
        is_program = change.after.type is FileType.REGULAR and change.after.size > 0
        if (
            not is_program
            or self.own(change.path)
            or self._places.rule_for(Place.SHARED_STATE, change, names) is not None
            or self._own_places.action(change) is not None
        ):
            return None
        return self._check("deferred-execution", change)

    def _judge_lost(self, change: Change) -> Violation | None:
        path, facts = change.path, self._facts
        if not change.deleted or path.startswith(_VOLATILE):
            return None
        if path in facts.listed_after and path not in facts.diverted:
            owners = facts.owners.get(path, ())
            return self._check("lost-payload", change, owners)
        if path in facts.replaced:
            return self._check("lost-payload", change, facts.replaced[path])
        if path in facts.alternatives and self._choice_of(path) in facts.listed_after - self._deleted:
            return self._check("lost-payload", change)
        return None

    def _choice_of(self, link: bytes) -> bytes | None:
        """Return the program that the lost link of an alternative led to (update-alternatives(1))."""
        return self._lost_links.get(self._lost_links.get(link, b""))

    def _judge_by_owner(self, change: Change, names: tuple[str, ...]) -> Violation | None:
        path, facts = change.path, self._facts
        if path in facts.diverted and (not change.deleted or facts.diverted[path] in self._filled):
            return None
        own = self.own(path)
        others = tuple(name for name in facts.owners.get(path, ()) if not self._takes_part(name))
        if change.deleted:
            if others and not (_is_directory(change) and self._siblings(change, others)):
                return self._check("foreign-file", change, others)
        elif others and not own and not self._siblings(change, others):
            if (
                self._places.rule_for(Place.SHARED_STATE, change, names) is not None
                or path in facts.alternatives
            ):
                return None
            return self._check("foreign-file", change, others)
        if own:
            return self._judge_own(change)
        if others or path in facts.alternatives:
            return None
        return self._judge_unowned(change, names)

    def _judge_own(self, change: Change) -> Violation | None:
        # A package that is taken away takes its files along; one that stays owes the administrator a copy.
        if change.path not in self._facts.locally_modified or self._moved.kept(change):
            return None
        action = self._own_places.action_of_cause(change)
        return None if action is TakenAway.PURGED else self._check("local-edit", change)

    def _judge_unowned(self, change: Change, names: tuple[str, ...]) -> Violation | None:
        if change.path in self._facts.copies:
            return None
        data = self._places.rule_for(Place.DATA, change, names)
        if data is None and (
            _is_unit_link(change)
            or change.path in self._facts.self_made
            or self._places.rule_for(Place.SHARED_STATE, change, names) is not None
        ):
            return None
        action = self._own_places.action(change)
        if action is None:
            if data is not None:
                return of_rule(change, data)
            return None if self._is_taken_over(change) else self._check("unowned-file", change)
        if not change.deleted or not _holds_something(change) or self._moved.kept(change):
            return None
        if data is not None:
            if action is TakenAway.PURGED:
                return of_rule(change, data)
            return self._check("remove-deletes-data", change)
        if self._is_on_a_mount_inside(change):
            return self._check("mounted-data", change)
        if not _is_state(change.path):
            return None
        match action:
            case TakenAway.PURGED:
                return self._check("added-file", change) if change.path in self._facts.added else None
            case TakenAway.REMOVED:
                return self._check("remove-deletes-data", change)
            case TakenAway.STAYS:
                # An upgrade may drop single files of its state, but not the whole directory.
                top = self._own_places.directory_of(change.path)
                whole = top in self._deleted or top in self._facts.emptied
                return self._check("remove-deletes-data", change) if whole else None

    def _is_taken_over(self, change: Change) -> bool:
        """Whether the state of a package of the transaction was moved by the one that takes its place."""
        return (
            change.deleted
            and self._own_places.of_transaction(change.path)
            and (not _holds_something(change) or self._moved.kept(change))
        )

    def _is_on_a_mount_inside(self, change: Change) -> bool:
        """Whether the path is on a file system that is mounted somewhere inside the package's directory."""
        top = self._own_places.directory_of(change.path)
        return any(
            point.startswith(top + b"/") and change.path.startswith(point + b"/")
            for point in self._facts.mount_points
        )

    def _takes_part(self, owner: str) -> bool:
        found = self._taking_part.get(owner)
        if found is None:
            package, _, architecture = owner.partition(":")
            found = self._taking_part[owner] = any(
                item.package == package and (not architecture or item.architecture == architecture)
                for item in self._transaction.items
            )
        return found

    def _siblings(self, change: Change, others: tuple[str, ...]) -> bool:
        """Whether the file belongs to a package of the same source as the one that alters it."""
        actors = self._own_places.actors(change)
        sources = self._sources.get(actors)
        if sources is None:
            sources = self._sources[actors] = frozenset(
                facts.source
                for facts in self._facts.packages.values()
                if facts.source and facts.package in actors
            )
        return any(
            name in self._facts.packages and self._facts.packages[name].source in sources for name in others
        )

    def _check(self, name: str, change: Change, owners: tuple[str, ...] = ()) -> Violation:
        return of_check(change, check_setting(self._policy, name), owners)


def _names_affected(change: Change) -> list[Change]:
    """Return the change under each hard link of the file: what alters the inode alters it everywhere."""
    if change.deleted or change.before is None:
        return [change]
    return [change, *(replace(change, path=name, other_names=()) for name in change.other_names)]


def _is_top_level(change: Change) -> bool:
    if change.before is None or change.path.count(b"/") != 1:
        return False
    if change.before.type is FileType.DIRECTORY:
        return bool(change.kinds - {Kind.XATTRS, Kind.FLAGS, Kind.CONTENT})
    return change.path in _TOP_LINKS and bool(change.kinds - _ONLY_METADATA)


def _is_state(path: bytes) -> bool:
    return path.startswith(_STATE) or (path.startswith(b"/var/") and not path.startswith(_NO_STATE))


def _is_directory(change: Change) -> bool:
    return change.before is not None and change.before.type is FileType.DIRECTORY


def _is_unit_link(change: Change) -> bool:
    """Whether it is a link by which a unit is enabled, masked or given an alias (systemctl(1))."""
    return (
        change.before is not None
        and change.before.type is FileType.SYMLINK
        and (
            change.path.startswith((b"/etc/systemd/system/", b"/etc/systemd/user/"))
            or (change.path.startswith(b"/usr/lib/systemd/") and change.before.target == b"/dev/null")
        )
    )


def _holds_something(change: Change) -> bool:
    """Whether the deleted path was data: a file that is not empty, or a link that may lead to data."""
    node = change.before
    if node is None:
        return False
    return node.type is FileType.SYMLINK or (node.type is FileType.REGULAR and node.size > 0)
