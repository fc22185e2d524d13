# SPDX-License-Identifier: GPL-3.0-or-later
"""Which conffiles were edited on this machine, and which of them the new version does not have any more."""

from __future__ import annotations

from collections.abc import Iterable

from aptguard.changes.model import Kind
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.shipped_files import differs_from
from aptguard.rehearsal.model import RehearsalResult
from aptguard.transaction.model import Item, Transaction


def conffile_list_paths(item: Item) -> tuple[bytes, ...]:
    """Return where dpkg keeps the list of the conffiles that the unpacked version declares."""
    return tuple(
        b"/var/lib/dpkg/info/" + name.encode("utf-8", "surrogateescape") + b".conffiles"
        for name in (item.qualified, item.package)
    )


def edited_conffiles(
    transaction: Transaction, result: RehearsalResult, database: DpkgDatabase
) -> frozenset[bytes]:
    """Return the conffiles that the rehearsal touched and whose content is not the one that dpkg recorded."""
    touched = {change.path for change in result.changes if change.deleted or Kind.CONTENT in change.kinds}
    edited = set()
    for item in transaction.items:
        stanza = database.stanza(item.package, item.architecture)
        if stanza is None or not touched:
            continue
        for path, digest in stanza.conffile_sums.items():
            place = database.canonical.path(database.diversions.place_of(item.package, path))
            if place in touched and differs_from(database.path_below_root(place), digest):
                edited.add(place)
    return frozenset(edited)


def given_up(item: Item, result: RehearsalResult, database: DpkgDatabase) -> frozenset[bytes]:
    """Return the conffiles that the new version does not declare: dpkg goes on listing them as obsolete.

    Paths as the package writes them.
    """
    stanza = database.stanza(item.package, item.architecture)
    if stanza is None or not stanza.conffiles:
        return frozenset()
    paths = conffile_list_paths(item)
    if not any(path in result.collected for path in paths):
        return frozenset()
    declared: set[bytes] = set()
    for path in paths:
        declared.update(_declared(result.collected.get(path) or b""))
    return frozenset(stanza.conffiles) - declared


def _declared(data: bytes) -> Iterable[bytes]:
    """Return the paths in a conffiles file; deb-conffiles(5) allows flags before them."""
    return (line[line.index(b"/") :].rstrip() for line in data.split(b"\n") if b"/" in line)
