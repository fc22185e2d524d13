# SPDX-License-Identifier: GPL-3.0-or-later
"""Wishes in dpkg's selections that a run of apt fulfils although its plan does not name them.

apt removes and purges in the end by ``dpkg --remove --pending`` and ``--purge --pending``. For its run it
sets aside the wishes for other packages (pkgDPkgPM::Go in apt's apt-pkg/deb/dpkgpm.cc, 2.6 and 3.0), but only
those for packages that are installed: what has been removed but for its configuration files is purged where
anybody ever wished so (or its purge failed once). And with ``dpkg::selection::current::saveandrestore`` set
to false apt sets no wish aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.status_file import PRESENT
from aptguard.transaction.configuration import AptConfiguration, truth
from aptguard.transaction.model import Action, Item, Transaction
from aptguard.transaction.package_state import PackageState

_SETTING = "dpkg::selection::current::saveandrestore"


def with_standing_wishes(transaction: Transaction, database: DpkgDatabase) -> Transaction:
    """Return the transaction with a purge for each package whose purge a standing wish asks for.

    Only an assumed one: apt makes its last call only where something of its own is left to be purged. Raises
    DpkgDatabaseError.
    """
    purges = [place for place, item in enumerate(transaction.items) if item.action is Action.PURGE]
    if not purges or not database.may_have_selected("purge"):
        return transaction
    wished = tuple(
        Item(*key, Action.PURGE, old_version=version or None, purge_assumed=True)
        for key, state in _outside(transaction, database)
        if state.selection == "purge"
        and (not (version := _version(key, database)) or state.status == "config-files")
    )
    # Not behind what the plan configures in the end.
    before, after = transaction.items[: purges[-1] + 1], transaction.items[purges[-1] + 1 :]
    return replace(transaction, items=(*before, *wished, *after)) if wished else transaction


def why_not_set_aside(
    transaction: Transaction, configuration: AptConfiguration, database: DpkgDatabase
) -> str | None:
    """Return in sentences which wish for an installed package the run may fulfil; None where none.

    Which of apt's calls come to that depends on the order of its work, which nobody knows beforehand.
    Raises DpkgDatabaseError.
    """
    value = configuration.find(_SETTING)
    if value is None or truth(value) is not False or not transaction.takes_away:
        return None
    for key, state in _outside(transaction, database):
        if state.status in PRESENT and state.selection in ("deinstall", "purge"):
            return (
                f"{_SETTING} is false, so that apt may fulfil a wish in dpkg's selections as well: "
                f"'{key[0]} {state.selection}'. Take it back: echo {key[0]} install | dpkg --set-selections, "
                "or leave out that setting."
            )
    return None


def _outside(
    transaction: Transaction, database: DpkgDatabase
) -> Iterator[tuple[tuple[str, str], PackageState]]:
    """Yield package and architecture of all that the plan neither takes away nor unpacks, with its state.

    What is unpacked has the selection ``install`` from then on.
    """
    planned = {
        (item.package, item.architecture) for item in transaction.items if item.action is not Action.CONFIGURE
    }
    replaced = {
        item.package for item in transaction.items if item.action.unpacks and item.multi_arch != "same"
    }
    for key, state in database.states().items():
        if key not in planned and key[0] not in replaced and state.status != "not-installed":
            yield key, state


def _version(key: tuple[str, str], database: DpkgDatabase) -> str:
    # For want of a version apt does not see that the package is there at all.
    stanza = database.stanza(*key)
    return "" if stanza is None else stanza.version
