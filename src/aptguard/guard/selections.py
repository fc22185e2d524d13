# SPDX-License-Identifier: GPL-3.0-or-later
"""dpkg's selections that a front end wrote before its transaction was blocked, and what they were before.

aptitude stores its wishes in dpkg's selections before any hook of apt runs. Left there after a block, the
next ``apt-get dselect-upgrade`` or ``dpkg --purge --pending`` would fulfil them.
"""

from __future__ import annotations

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.errors import DpkgDatabaseError
from aptguard.host.status_file import StatusFile
from aptguard.transaction.model import Transaction

FORMER_STATUS = b"/status-old"  # dpkg's own copy from before its last change: dpkg(1), FILES
_WRITES_SELECTIONS = frozenset(("aptitude",))


def selections_to_put_back(transaction: Transaction, database: DpkgDatabase) -> str:
    """Return the input of ``dpkg --set-selections`` that undoes what the front end wrote; empty for nothing.

    Only wishes for a package of the transaction that dpkg's copy from before its last change does not have:
    what somebody else wished for earlier stays. Raises DpkgDatabaseError.
    """
    if transaction.frontend not in _WRITES_SELECTIONS:
        return ""
    try:
        with open(database.administrative_directory + FORMER_STATUS, "rb") as file:
            former = StatusFile(file.read()).stanzas(transaction.packages)
    except OSError as error:
        raise DpkgDatabaseError(f"dpkg's former status cannot be read: {error.strerror}.") from error
    lines = []
    for item in transaction.takes_away:
        key = (item.package, item.architecture)
        before, now = former.get(key), database.stanza(*key)
        if before is not None and now is not None and before.selection != now.selection:
            # dpkg takes "name:all" for no package that is installed under the native architecture.
            name = item.package if item.architecture == "all" else item.qualified
            lines.append(f"{name} {before.selection}\n")
    return "".join(dict.fromkeys(lines))
