# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left on the machine after a transaction: who still does a job, which directories are emptied."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from aptguard.changes.model import FileType
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.status_file import PRESENT
from aptguard.policy.roles import Role
from aptguard.rehearsal.model import RehearsalResult
from aptguard.transaction.model import Transaction


@dataclass(frozen=True, slots=True)
class RoleHolders:
    """By the name of each role that a package of the transaction holds and loses: who goes and who stays."""

    leaving: dict[str, tuple[str, ...]]
    staying: dict[str, tuple[str, ...]]


def role_holders(
    transaction: Transaction, database: DpkgDatabase, roles: Sequence[Role], listed_after: Container[bytes]
) -> RoleHolders:
    """Return who holds those of ``roles`` that a package which is taken away has, before and after.

    ``listed_after`` are the canonical paths that packages of the transaction list at its end.
    """
    taken = {item.package for item in transaction.takes_away}
    leaving: dict[str, tuple[str, ...]] = {}
    staying: dict[str, tuple[str, ...]] = {}
    if not taken:
        return RoleHolders(leaving, staying)
    coming = {item.package for item in transaction.items if not item.action.takes_away}
    places = {
        path: database.canonical.path(path.encode("utf-8", "surrogateescape"))
        for role in roles
        for path in role.paths
    }
    # Whoever has no readable list counts as no holder: then a role is told as lost that is not, at worst.
    owners = database.owners_as_far_as_known(set(places.values())).known if places else {}
    present: frozenset[str] | None = None
    for role in roles:
        by_file = {owner.partition(":")[0] for path in role.paths for owner in owners.get(places[path], ())}
        lost = {package for package in taken if package in by_file or role.holds(package)}
        if not lost:
            continue
        if present is None:
            present = _present(database) - taken | coming
        held = {package for package in present if package in by_file or role.holds(package)}
        if any(places[path] in listed_after for path in role.paths):
            held |= coming
        leaving[role.name], staying[role.name] = tuple(sorted(lost)), tuple(sorted(held))
    return RoleHolders(leaving, staying)


def _present(database: DpkgDatabase) -> frozenset[str]:
    return frozenset(package for (package, _), state in database.states().items() if state.status in PRESENT)


def emptied_directories(
    directories: Iterable[bytes], result: RehearsalResult, database: DpkgDatabase, listed: frozenset[bytes]
) -> frozenset[bytes]:
    """Return those of ``directories`` that stay, but lose every entry that no package lists.

    Only where a directory is among the lost ones: single files come and go.
    """
    deleted = {change.path: change for change in result.changes if change.deleted}
    parents = {
        path.rpartition(b"/")[0]
        for path, change in deleted.items()
        if change.before is not None and change.before.type is FileType.DIRECTORY
    }
    emptied = set()
    for directory in directories:
        if directory in parents and directory not in deleted:
            try:
                names = os.listdir(database.path_below_root(directory))
            except OSError:
                continue
            if all((path := directory + b"/" + name) in deleted or path in listed for name in names):
                emptied.add(directory)
    return frozenset(emptied)
