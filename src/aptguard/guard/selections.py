# SPDX-License-Identifier: GPL-3.0-or-later
"""dpkg's selections that a front end wrote before its transaction was blocked, and what they were before.

aptitude stores its wishes in dpkg's selections before any hook of apt runs. Left there after a block, the
next ``apt-get dselect-upgrade`` or ``dpkg --purge --pending`` would fulfil them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.errors import DpkgDatabaseError
from aptguard.host.status_file import StatusFile
from aptguard.transaction.model import Transaction

FORMER_STATUS = b"/status-old"  # dpkg's own copy from before its last change: dpkg(1), FILES
_WRITES_SELECTIONS = frozenset(("aptitude",))


@dataclass(frozen=True, slots=True)
class Wish:
    """A selection that a front end wrote for a transaction which was blocked.

    There was ``former`` before it wrote ``wished``. ``status`` and ``version`` say where the package stood.
    """

    package: str
    architecture: str
    wished: str
    former: str
    status: str
    version: str

    def __str__(self) -> str:
        # dpkg takes "name:all" for no package that is installed under the native architecture.
        name = self.package if self.architecture == "all" else f"{self.package}:{self.architecture}"
        return f"{name} {self.former}"


def wishes_of(transaction: Transaction, database: DpkgDatabase) -> tuple[Wish, ...]:
    """Return what the front end of ``transaction`` wrote for it into dpkg's selections.

    Only wishes for a package of the transaction that dpkg's copy from before its last change does not have:
    what somebody else wished for earlier stays. Raises DpkgDatabaseError.
    """
    if transaction.frontend not in _WRITES_SELECTIONS:
        return ()
    try:
        with open(database.administrative_directory + FORMER_STATUS, "rb") as file:
            former = StatusFile(file.read()).stanzas(transaction.packages)
    except OSError as error:
        raise DpkgDatabaseError(f"dpkg's former status cannot be read: {error.strerror}.") from error
    wishes = []
    for item in transaction.items:
        key = (item.package, item.architecture)
        before, now = former.get(key), database.stanza(*key)
        if before is not None and now is not None and before.selection != now.selection:
            wishes.append(Wish(*key, now.selection, before.selection, now.status, now.version))
    return tuple(dict.fromkeys(wishes))


def still_standing(wishes: Iterable[Wish], database: DpkgDatabase) -> tuple[Wish, ...]:
    """Return those ``wishes`` that still are as they were written, of packages that are as they were.

    What somebody has wished for since, or has done, is none of them. Raises DpkgDatabaseError.
    """
    found = []
    for wish in wishes:
        now = database.stanza(wish.package, wish.architecture)
        if now is not None and (now.selection, now.status, now.version) == (
            wish.wished,
            wish.status,
            wish.version,
        ):
            found.append(wish)
    return tuple(found)


def selections_to_put_back(wishes: Iterable[Wish]) -> str:
    """Return the input of ``dpkg --set-selections`` that undoes ``wishes``; empty for nothing."""
    return "".join(f"{wish}\n" for wish in wishes)
