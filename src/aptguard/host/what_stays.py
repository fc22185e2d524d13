# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left on the machine after a transaction: who still does a job, which directories are emptied."""

from __future__ import annotations

import os
from collections.abc import Iterable

from aptguard.changes.model import FileType
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.status_file import PRESENT
from aptguard.policy.roles import roles_of
from aptguard.rehearsal.model import RehearsalResult
from aptguard.transaction.model import Transaction


def role_holders(transaction: Transaction, database: DpkgDatabase) -> dict[str, tuple[str, ...]]:
    """Return, for each role of a package that is taken away, the packages that hold it afterwards."""
    leaving = {item.package for item in transaction.takes_away}
    roles = roles_of(leaving)
    if not roles:
        return {}
    staying = {
        package
        for (package, _), state in database.states().items()
        if state.status in PRESENT and package not in leaving
    }
    staying.update(item.package for item in transaction.items if not item.action.takes_away)
    return {role.name: tuple(sorted(filter(role.holds, staying))) for role in roles}


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
