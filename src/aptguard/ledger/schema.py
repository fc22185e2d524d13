# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the ledger and the way from each version of them to the next.

``PRAGMA user_version`` holds the number of migrations that have been applied. A migration that was
released is never edited: a change of the tables is one more entry at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from aptguard.ledger.error import LedgerError

_VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    # `id` repeats: the same transaction, tried again, has the same one. `report` is zlib over JSON.
    """CREATE TABLE reports (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        id          TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        time        REAL NOT NULL,
        verdict     TEXT NOT NULL CHECK (verdict IN ('allow', 'block', 'unknown')),
        user        TEXT NOT NULL,
        frontend    TEXT NOT NULL,
        packages    TEXT NOT NULL,
        report      BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX reports_by_id ON reports (id)",
    "CREATE INDEX reports_by_time ON reports (time)",
    """CREATE TABLE overrides (
        number          INTEGER PRIMARY KEY AUTOINCREMENT,
        id              TEXT NOT NULL,
        fingerprint     TEXT NOT NULL,
        findings_digest TEXT NOT NULL,
        granted_at      REAL NOT NULL,
        expires_at      REAL NOT NULL,
        reason          TEXT NOT NULL,
        uid             INTEGER NOT NULL,
        login_uid       INTEGER,
        sudo_user       TEXT,
        tty             TEXT,
        state           TEXT NOT NULL CHECK (state IN ('granted', 'used', 'expired', 'revoked')),
        applied_at      REAL,
        applied_run     TEXT,
        used_at         REAL
    ) STRICT""",
    # One transaction never has two open overrides, whoever asks at the same time.
    "CREATE UNIQUE INDEX one_open_override ON overrides (fingerprint) WHERE state = 'granted'",
    """CREATE TABLE pause (
        single    INTEGER PRIMARY KEY CHECK (single = 1),
        since     REAL NOT NULL,
        until     REAL NOT NULL,
        reason    TEXT NOT NULL,
        uid       INTEGER NOT NULL,
        login_uid INTEGER,
        sudo_user TEXT,
        tty       TEXT
    ) STRICT""",
)

_VERSION_2 = (
    # What became of an approved transaction; `run` is JSON.
    """CREATE TABLE runs (
        report INTEGER PRIMARY KEY,
        time   REAL NOT NULL,
        run    TEXT NOT NULL
    ) STRICT""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2)


def version(connection: sqlite3.Connection) -> int:
    """Return how many migrations the file has behind it; 0 for a new one."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def refuse_newer(connection: sqlite3.Connection, path: str) -> None:
    """Raise LedgerError when the file was made by an aptguard that knows more than this one."""
    found = version(connection)
    if found > len(MIGRATIONS):
        raise LedgerError(
            f"The ledger {path} has schema version {found}, and this aptguard knows up to {len(MIGRATIONS)}: "
            "it was written by a newer aptguard. Install that version again, or move the file away."
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Apply the migrations that the file does not have yet, all in one transaction or none of them."""
    if version(connection) == len(migrations):
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for number in range(version(connection), len(migrations)):
            for statement in migrations[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
