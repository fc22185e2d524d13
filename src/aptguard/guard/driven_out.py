# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that a call of plain dpkg takes away without being told to: an archive conflicts with them.

``dpkg -i new.deb`` removes what the new package both conflicts with and replaces (deb-control(5); Debian
policy 7.6.2). No line announces it; whether dpkg really does it is known after the rehearsal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aptguard.host.archive_control import control_of
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.status_file import PRESENT, Stanza, StatusFile
from aptguard.transaction.model import Action, Item, Transaction

STATUS = b"/var/lib/dpkg/status"


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


def _conflicts(archive: bytes) -> Iterator[str]:
    control = control_of(archive)
    for field in (b"conflicts", b"breaks"):
        yield from _names(control.text(field))


def _provided(stanza: Stanza) -> Iterator[str]:
    return _names(stanza.text(b"provides"))


def _names(relations: str) -> Iterator[str]:
    """Yield the names in a field of relations, without versions and architectures."""
    for relation in relations.split(","):
        name = relation.partition("(")[0].strip().partition(":")[0]
        if name:
            yield name
