# SPDX-License-Identifier: GPL-3.0-or-later
"""The places that the packages of a transaction may look after themselves; standard library only."""

from __future__ import annotations

from enum import Enum

from aptguard.changes.model import Change
from aptguard.policy.facts import Facts
from aptguard.policy.model import Place
from aptguard.policy.package_names import own_names
from aptguard.policy.places import Places
from aptguard.policy.shared_directories import SHARED_DIRECTORIES
from aptguard.transaction.model import Action, Transaction


class TakenAway(Enum):
    """What becomes of the package that a place belongs to."""

    PURGED = "purged"
    REMOVED = "removed"
    STAYS = "stays"


class OwnPlaces:
    """Whose place a path is in: by the policy's ``own`` rules, and below directories no one else lists."""

    def __init__(self, transaction: Transaction, facts: Facts, places: Places) -> None:
        self._actions = {item.package: item.action for item in transaction.items}
        self._places = places
        self._directories = facts.directories - SHARED_DIRECTORIES
        self._names = {
            package: own_names(package, facts.packages.values()) for package in sorted(self._actions)
        }
        self._facts = facts
        self._all = tuple(self._names)
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def actors(self, change: Change) -> tuple[str, ...]:
        """Return the packages that may have made the change: the one seen, else all of the transaction."""
        if change.cause is not None and change.cause.package is not None:
            return (change.cause.package.partition(":")[0],)
        return self._all

    def names(self, change: Change) -> tuple[str, ...]:
        """Return the names that ``{package}`` stands for, for this change."""
        actors = self.actors(change)
        known = self._known.get(actors)
        if known is None:
            found: list[str] = []
            for actor in actors:
                if actor in self._names:
                    found += self._names[actor]
                else:  # the postinst of a package outside, run by a trigger
                    found += own_names(actor, self._facts.packages.values())
            known = self._known[actors] = tuple(dict.fromkeys(found))
        return known

    def action(self, change: Change) -> TakenAway | None:
        """Return what becomes of the owner of the place of this change, None when it is nobody's place."""
        path = change.path
        if (
            self._directory_above(path) is not None
            or self._places.covers(Place.OWN, path, self.actors(change)) is not None
            # A shortened name may mean the place of a package that stays.
            or (
                self._places.covers(Place.OWN, path, self.names(change)) is not None
                and not self._listed_by_others(path)
            )
        ):
            return self.action_of_cause(change)
        return None

    def of_transaction(self, path: bytes) -> bool:
        """Return whether ``path`` is in a place of any package of the transaction, whoever acted."""
        return self._places.covers(Place.OWN, path, self._actions) is not None

    def action_of_cause(self, change: Change) -> TakenAway:
        """Return what becomes of the package that made the change.

        Where it was not seen, the answer is the one under which the least may be deleted.
        """
        actors = [actor for actor in self.actors(change) if actor in self._actions]
        leaving = [self._actions[actor] for actor in actors if self._actions[actor].takes_away]
        if not leaving:
            return TakenAway.STAYS
        if Action.REMOVE in leaving:
            return TakenAway.REMOVED
        return TakenAway.PURGED

    def directory_of(self, path: bytes) -> bytes:
        """Return the topmost own directory that ``path`` is in, or its parent."""
        listed = self._directory_above(path)
        if listed is not None:
            return listed
        parts = path.split(b"/")
        # /var/lib/NAME, /etc/NAME: the place itself is the first directory below the shared one.
        for depth in range(2, len(parts)):
            directory = b"/".join(parts[:depth])
            if directory not in SHARED_DIRECTORIES:
                return directory
        return path.rpartition(b"/")[0]

    def _listed_by_others(self, path: bytes) -> bool:
        while path := path.rpartition(b"/")[0]:
            if path in self._facts.directory_owners and path not in SHARED_DIRECTORIES:
                return True
        return False

    def _directory_above(self, path: bytes) -> bytes | None:
        found = path if path in self._directories else None
        parent = path.rpartition(b"/")[0]
        while parent:
            if parent in self._directories:
                found = parent
            parent = parent.rpartition(b"/")[0]
        return found
