# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that a call of plain dpkg takes away without being told to: an archive conflicts with them.

``dpkg -i new.deb`` removes what the new package both conflicts with and replaces (deb-control(5); Debian
policy 7.6.2). No line announces it; whether dpkg really does it is known after the rehearsal.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from aptguard.host.archive_control import control_of
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.status_file import PRESENT, Stanza, StatusFile
from aptguard.transaction.model import Action, Item, Transaction

STATUS = b"/var/lib/dpkg/status"
_RELATION = re.compile(r"([^\s(:]+)[^(]*(?:\(\s*([<>=]+)\s*([^)\s]+)\s*\))?")


@dataclass(frozen=True, slots=True)
class Relation:
    """``NAME (OPERATOR VERSION)``; the latter two are empty where the relation is about any version."""

    name: str
    operator: str = ""
    version: str = ""


def with_driven_out(
    transaction: Transaction, status_after: bytes | None, database: DpkgDatabase
) -> Transaction:
    """Return the transaction with a removal for each package that is gone after its rehearsal.

    Only those that an archive of the transaction declares a conflict with: a script that takes another
    package away gets no leave for it here. Raises DpkgDatabaseError, ArchiveError.
    """
    archives = [item.archive for item in transaction.items if item.archive is not None]
    if status_after is None or not archives:
        return transaction
    after = {key for key, stanza in StatusFile(status_after).stanzas().items() if stanza.status in PRESENT}
    gone = [
        key
        for key, state in database.states().items()
        if state.status in PRESENT and key not in after and key[0] not in transaction.packages
    ]
    if not gone:
        return transaction
    rivals = {name for archive in archives for name in _conflicts(archive)}
    driven_out = [
        Item(*key, Action.REMOVE, old_version=stanza.text(b"version"))
        for key in gone
        if (stanza := database.stanza(*key)) is not None and rivals & {key[0], *_provided(stanza)}
    ]
    return replace(transaction, items=(*transaction.items, *driven_out))


def may_drive_out(transaction: Transaction, database: DpkgDatabase) -> bool:
    """Return whether an archive may take away an installed package that the transaction does not name.

    For want of a rehearsal, by what the archives declare: a conflict with it, or that they replace it, whose
    files may be all that it has (Debian policy 7.6). Raises DpkgDatabaseError, ArchiveError.
    """
    archives = [item.archive for item in transaction.items if item.archive is not None]
    relations = [
        relation
        for archive in archives
        for field in (b"conflicts", b"breaks", b"replaces")
        for relation in _relations(control_of(archive).text(field))
    ]
    if not relations:
        return False
    states = database.states().items()
    others = [key for key, state in states if state.status in PRESENT and key[0] not in transaction.packages]
    database.stanzas(name for name, _ in others)  # all at once: one look-up reads the whole file
    for key in others:
        stanza = database.stanza(*key)
        if stanza is not None:
            names = {one.name: one.version for one in _relations(stanza.text(b"provides"))}
            names[stanza.package] = stanza.version
            if any(_fits(relation, names) for relation in relations):
                return True
    return False


def _fits(relation: Relation, installed: Mapping[str, str]) -> bool:
    """Return whether a relation is about one of the names that are ``installed``, each with its version.

    A name that is provided without a version is not meant by a relation with one (Debian policy 7.5).
    """
    version = installed.get(relation.name)
    if version is None or (relation.version and not version):
        return False
    if not relation.version:
        return True
    compared = ["/usr/bin/dpkg", "--compare-versions", version, relation.operator, relation.version]
    return subprocess.run(compared, check=False, stderr=subprocess.DEVNULL).returncode != 1  # 2: nobody knows


def _conflicts(archive: bytes) -> Iterator[str]:
    control = control_of(archive)
    for field in (b"conflicts", b"breaks"):
        yield from _names(control.text(field))


def _provided(stanza: Stanza) -> Iterator[str]:
    return _names(stanza.text(b"provides"))


def _names(field: str) -> Iterator[str]:
    return (relation.name for relation in _relations(field))


def _relations(field: str) -> Iterator[Relation]:
    """Yield the relations of a field, without architectures (Debian policy 7.1)."""
    for text in field.split(","):
        found = _RELATION.match(text.strip())
        if found:
            yield Relation(*found.groups(default=""))
