# SPDX-License-Identifier: GPL-3.0-or-later
"""Between the ledger's rows and its values."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from aptguard.ledger.override import Grantor, Override, OverrideState, Pause
from aptguard.report.model import Report


def grantor_row(grantor: Grantor) -> tuple[int, int | None, str | None, str | None]:
    """Return the columns uid, login_uid, sudo_user, tty."""
    return (grantor.uid, grantor.login_uid, _clean_or_none(grantor.sudo_user), _clean_or_none(grantor.tty))


def clean(text: str) -> str:
    """Return ``text`` as SQLite can hold it: a byte that was no UTF-8 becomes a backslash escape.

    So does half of a character, as JSON can have it.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "backslashreplace")
    return data.decode("utf-8", "backslashreplace")


def _clean_or_none(text: str | None) -> str | None:
    return None if text is None else clean(text)


def concerns(report: Report, path: bytes) -> bool:
    """Whether a finding or a change of ``report`` lies at ``path`` or below it."""
    below = path.rstrip(b"/") + b"/"
    paths = [finding.path for finding in report.findings if finding.path is not None]
    paths += [change.path for change in report.changed_paths]
    return any(candidate == path or candidate.startswith(below) for candidate in paths)


def select_overrides(
    connection: sqlite3.Connection, condition: str, values: Sequence[Any], limit: int = -1
) -> tuple[Override, ...]:
    """Return the overrides that fit the SQL ``condition`` with its ``values``, the newest first."""
    rows = connection.execute(
        "SELECT number, id, fingerprint, findings_digest, granted_at, expires_at, reason, uid, login_uid,"
        " sudo_user, tty, state, applied_at, applied_run, used_at FROM overrides"
        f" WHERE {condition} ORDER BY number DESC LIMIT {limit:d}",
        values,
    ).fetchall()
    return tuple(_override(row) for row in rows)


def select_pause(connection: sqlite3.Connection) -> Pause | None:
    """Return the pause that is written down, over or not."""
    row = connection.execute(
        "SELECT since, until, reason, uid, login_uid, sudo_user, tty FROM pause"
    ).fetchone()
    if row is None:
        return None
    since, until, reason, *grantor = row
    return Pause(since, until, reason, Grantor(*grantor))


def _override(row: tuple[Any, ...]) -> Override:
    number, identifier, fingerprint, digest, granted_at, expires_at, reason, *grantor = row[:11]
    state, applied_at, applied_run, used_at = row[11:]
    return Override(
        number=number,
        id=identifier,
        fingerprint=fingerprint,
        findings_digest=digest,
        granted_at=granted_at,
        expires_at=expires_at,
        reason=reason,
        grantor=Grantor(*grantor),
        state=OverrideState(state),
        applied_at=applied_at,
        applied_run=applied_run,
        used_at=used_at,
    )
