# SPDX-License-Identifier: GPL-3.0-or-later
"""State directories and accounts that a package made for its service under another name than its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.own_scripts import OwnScripts
from aptguard.policy.facts import Accounts
from aptguard.transaction.model import Transaction

_STATE = frozenset({b"/var/lib", b"/var/spool", b"/var/games"})
_RECORDS = frozenset({b"/var/log", b"/var/cache"})  # whose they are is plain from who names them
_SYSTEM_ACCOUNTS = range(100, 1000)  # Debian policy 9.2.2: made by packages as they are installed
_MOST = 50


def service_homes(
    transaction: Transaction, database: DpkgDatabase, directories: Iterable[bytes], accounts: Accounts
) -> frozenset[bytes]:
    """Return those of the unlisted ``directories`` that a package of the transaction made for its service.

    Such a directory lies directly below /var/lib or the like, belongs to a system account, and the
    package's scripts name both. For one below /var/log and /var/cache it is enough to be named.
    """
    users = {one.uid: one.name.encode("utf-8", "surrogateescape") for one in accounts.accounts}
    named: list[tuple[bytes, bytes | None]] = []
    for directory in sorted(directories):
        above = directory.rpartition(b"/")[0]
        if len(named) == _MOST:
            break
        if above in _RECORDS:
            named.append((directory, None))
        elif above in _STATE:
            uid = _owner(database.path_below_root(directory))
            if uid in _SYSTEM_ACCOUNTS and uid in users:
                named.append((directory, users[uid]))
    if not named:
        return frozenset()
    scripts = [OwnScripts(item, database) for item in transaction.items]
    return frozenset(
        directory
        for directory, user in named
        if any((user is None or user in one.words) and one.names_path(directory) for one in scripts)
    )


def own_accounts(
    transaction: Transaction, database: DpkgDatabase, before: Accounts, after: Accounts
) -> frozenset[str]:
    """Return the accounts and groups that vanish and that scripts of the transaction's packages name."""
    lost = _names(before) - _names(after)
    if not lost:
        return frozenset()
    words = {word for item in transaction.items for word in OwnScripts(item, database).words}
    return frozenset(name for name in lost if name.encode("utf-8", "surrogateescape") in words)


def _names(accounts: Accounts) -> frozenset[str]:
    return frozenset(one.name for one in accounts.accounts) | frozenset(one.name for one in accounts.groups)


def _owner(path: bytes) -> int | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_uid if stat.S_ISDIR(status.st_mode) else None
