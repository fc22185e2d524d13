# SPDX-License-Identifier: GPL-3.0-or-later
"""What the packages of a transaction list before it, as canonical paths."""

from __future__ import annotations

from dataclasses import dataclass

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.errors import DpkgDatabaseError
from aptguard.host.ucf_registry import ucf_files
from aptguard.shown import shown
from aptguard.transaction.model import Transaction


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """``conffiles`` are dpkg's and ucf's; ``binary_packages`` are the transaction's, named as dpkg does."""

    listed: frozenset[bytes]
    conffiles: frozenset[bytes]
    binary_packages: frozenset[str]


def read_own_files(transaction: Transaction, database: DpkgDatabase) -> OwnFiles:
    """Return the files of the transaction's packages, with diversions applied.

    Raises DpkgDatabaseError when a list cannot be read, or when dpkg does not know a package that is to be
    taken away.
    """
    database.stanzas(transaction.packages)
    listed: set[bytes] = set()
    conffiles: set[bytes] = set()
    names: set[str] = set()
    diversions = database.diversions
    for item in transaction.items:
        stanza = database.stanza(item.package, item.architecture)
        if stanza is None:
            if item.action.takes_away:
                raise DpkgDatabaseError(
                    f"{shown(item.package)} is to be taken away, but dpkg's status does not know it "
                    f"for the architecture {shown(item.architecture)}."
                )
            names.add(item.qualified if item.multi_arch == "same" else item.package)
            continue
        names.add(stanza.binary_package)
        for path in database.file_list(item.package, item.architecture):
            listed.add(database.canonical.path(diversions.place_of(item.package, path)))
        for path in stanza.conffiles:
            conffiles.add(database.canonical.path(diversions.place_of(item.package, path)))
    for path in ucf_files(database.ucf_registry, transaction.packages):
        conffiles.add(database.canonical.path(path))
    return OwnFiles(frozenset(listed), frozenset(conffiles), frozenset(names))
