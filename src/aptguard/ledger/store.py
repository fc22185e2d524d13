# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard remembers on disk: reports, overrides, the pause.

Every method raises LedgerError with a sentence when the file cannot be read or written. Times are UTC in
seconds since the epoch and are given by the caller. What a method says is written is on disk when it
returns (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any

from aptguard.ledger.database import Database
from aptguard.ledger.error import LedgerError
from aptguard.ledger.override import Grantor, Override, OverrideState, Pause
from aptguard.ledger.rows import clean, concerns, grantor_row, select_overrides, select_pause
from aptguard.policy.finding import Verdict
from aptguard.report.model import RealRun, Report
from aptguard.serialization import dumps, loads

DIRECTORY = "/var/lib/aptguard"
_CLOCK_SLACK = 60.0  # seconds by which a grant may lie in the future (a clock that was set back a little)
_ROW_BYTES = 500  # what a row takes beside its report: the other columns and the indexes
_PROBE_BYTES = 8192
_GRANTED = OverrideState.GRANTED.value
_SELECT = "SELECT id, reports.report, run FROM reports LEFT JOIN runs ON runs.report = number"


class Ledger:
    """The ledger in ``directory``, which is made (mode 0700) when it is not there; opened at first use."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        self._database = Database(directory)

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong and was mended since this object was made, as sentences."""
        return tuple(self._database.problems)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # reports

    def record(self, report: Report) -> int:
        """Write ``report`` down and return its number."""
        row = (
            report.id,
            report.fingerprint,
            report.time,
            report.verdict.value,
            clean(report.user),
            clean(report.transaction.frontend),
            json.dumps(sorted(report.transaction.packages)),
            zlib.compress(dumps(report).encode("ascii"), 1),
        )
        return self._database.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO reports (id, fingerprint, time, verdict, user, frontend, packages, report)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                ).lastrowid
                or 0
            ),
            "record a verdict",
        )

    def record_run(self, number: int, run: RealRun) -> None:
        """Write down what became of the transaction whose report has ``number``."""
        self._database.write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO runs (report, time, run) VALUES (?, ?, ?)",
                (number, run.time, dumps(run)),
            ),
            "record how a run ended",
        )

    def reports(
        self,
        *,
        since: float | None = None,
        verdict: Verdict | None = None,
        package: str | None = None,
        path: bytes | None = None,
        limit: int = 100,
    ) -> tuple[Report, ...]:
        """Return up to ``limit`` reports, the newest first, that fit every filter given.

        ``package`` is one of the transaction; ``path`` is where, or below which, a finding or a change lies.
        """
        conditions = ["1"]
        values: list[Any] = []
        if since is not None:
            conditions.append("reports.time >= ?")
            values.append(since)
        if verdict is not None:
            conditions.append("verdict = ?")
            values.append(verdict.value)
        if package is not None:
            conditions.append("EXISTS (SELECT 1 FROM json_each(packages) WHERE value = ?)")
            values.append(package)
        query = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY number DESC"

        def operation(connection: sqlite3.Connection) -> tuple[Report, ...]:
            found: list[Report] = []
            for row in connection.execute(query, values):
                if len(found) >= limit:
                    break
                try:
                    report = self._load(*row)
                except LedgerError as error:
                    self._database.note(str(error))  # one bad row must not hide all the others
                    continue
                if path is None or concerns(report, path):
                    found.append(report)
            return tuple(found)

        return self._database.read(operation, "read the reports")

    def report(self, identifier: str) -> Report | None:
        """Return the latest report with that ID, or None."""
        query = f"{_SELECT} WHERE id = ? ORDER BY number DESC LIMIT 1"
        row = self._database.read(
            lambda connection: connection.execute(query, (identifier,)).fetchone(),
            f"read the report {identifier}",
        )
        return None if row is None else self._load(*row)

    def _load(self, identifier: str, blob: bytes, run: str | None) -> Report:
        try:
            report = loads(Report, zlib.decompress(blob))
            return report if run is None else dataclasses.replace(report, real_run=loads(RealRun, run))
        except (ValueError, TypeError, OverflowError, RecursionError, zlib.error) as error:
            raise LedgerError(
                f"The report {identifier} in the ledger {self._database.path} is not readable: {error}."
                " It was written by another version of aptguard, or the file was edited."
            ) from error

    # overrides

    def grant_override(
        self,
        report: Report,
        *,
        findings_digest: str,
        granted_at: float,
        expires_at: float,
        reason: str,
        grantor: Grantor,
    ) -> Override:
        """Write down that the transaction of ``report`` may run once; an open override of it is replaced."""

        def operation(connection: sqlite3.Connection) -> Override:
            connection.execute(
                "UPDATE overrides SET state = 'revoked' WHERE fingerprint = ? AND state = ?",
                (report.fingerprint, _GRANTED),
            )
            cursor = connection.execute(
                "INSERT INTO overrides (id, fingerprint, findings_digest, granted_at, expires_at, reason,"
                " uid, login_uid, sudo_user, tty, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    report.id,
                    report.fingerprint,
                    findings_digest,
                    granted_at,
                    expires_at,
                    clean(reason),
                    *grantor_row(grantor),
                    _GRANTED,
                ),
            )
            return select_overrides(connection, "number = ?", (cursor.lastrowid,))[0]

        return self._database.write(operation, f"grant an override of {report.id}")

    def override_for(self, fingerprint: str, findings_digest: str, now: float) -> Override | None:
        """Return the override in force for exactly this transaction with exactly these findings, or None."""
        found = self._database.read(
            lambda connection: select_overrides(
                connection,
                "fingerprint = ? AND findings_digest = ? AND state = ?"
                " AND expires_at > ? AND granted_at <= ?",
                (fingerprint, findings_digest, _GRANTED, now, now + _CLOCK_SLACK),
            ),
            "read the overrides",
        )
        return found[0] if found else None

    def apply_override(self, number: int, *, run: str, now: float) -> bool:
        """Note that a hook of the apt run ``run`` was told to go on because of it; it stays open.

        Returns False when it is not open any more: then the hook must not go on.
        """
        return self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE overrides SET applied_at = ?, applied_run = ?"
                    " WHERE number = ? AND state = ? AND expires_at > ?",
                    (now, run, number, _GRANTED, now),
                ).rowcount
                == 1
            ),
            "apply an override",
        )

    def mark_overrides_used(self, *, run: str | None = None, now: float) -> tuple[Override, ...]:
        """Use up the overrides that were applied in the apt run ``run`` (None: in any); return them."""
        condition = "state = ? AND applied_at IS NOT NULL"
        values: list[Any] = [_GRANTED]
        if run is not None:
            condition, values = condition + " AND applied_run = ?", [*values, run]
        return self._end_overrides(OverrideState.USED, condition, values, now, "use up an override")

    def expire(self, now: float) -> tuple[Override, ...]:
        """End the overrides whose time is over; return those that this call ended."""
        return self._end_overrides(
            OverrideState.EXPIRED, "state = ? AND expires_at <= ?", [_GRANTED, now], now, "expire overrides"
        )

    def revoke(self, identifier: str, now: float) -> Override | None:
        """End the open override with that ID; None when there is none."""
        ended = self._end_overrides(
            OverrideState.REVOKED,
            "state = ? AND id = ? AND expires_at > ?",
            [_GRANTED, identifier, now],
            now,
            f"revoke the override of {identifier}",
        )
        return ended[0] if ended else None

    def overrides(self, *, identifier: str | None = None, limit: int = 100) -> tuple[Override, ...]:
        """Return the overrides (of that ID), open or ended, the newest first."""
        condition, values = ("1", []) if identifier is None else ("id = ?", [identifier])
        return self._database.read(
            lambda connection: select_overrides(connection, condition, values, limit), "read the overrides"
        )

    def _end_overrides(
        self, state: OverrideState, condition: str, values: Sequence[Any], now: float, what: str
    ) -> tuple[Override, ...]:
        def operation(connection: sqlite3.Connection) -> tuple[Override, ...]:
            numbers = [override.number for override in select_overrides(connection, condition, values)]
            used_at = now if state is OverrideState.USED else None
            connection.executemany(
                "UPDATE overrides SET state = ?, used_at = ? WHERE number = ?",
                [(state.value, used_at, number) for number in numbers],
            )
            marks = ", ".join("?" * len(numbers))
            return select_overrides(connection, f"number IN ({marks})", numbers)

        # Looked at first without a write lock: this runs for every transaction, and mostly finds nothing.
        if not self._database.read(
            lambda connection: select_overrides(connection, condition, values, 1), what
        ):
            return ()
        return self._database.write(operation, what)

    # pause

    def set_pause(self, pause: Pause) -> None:
        """Write down that blocking is off until ``pause.until``; an earlier pause is replaced."""
        self._database.write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO pause (single, since, until, reason, uid, login_uid, sudo_user, tty)"
                " VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
                (pause.since, pause.until, clean(pause.reason), *grantor_row(pause.grantor)),
            ),
            "write down the pause",
        )

    def clear_pause(self) -> Pause | None:
        """End the pause; return the one that was there, over or not."""

        def operation(connection: sqlite3.Connection) -> Pause | None:
            found = select_pause(connection)
            connection.execute("DELETE FROM pause")
            return found

        return self._database.write(operation, "end the pause")

    def pause(self, now: float) -> Pause | None:
        """Return the pause in force at ``now``, or None."""
        found = self._database.read(select_pause, "read the pause")
        return found if found and found.since - _CLOCK_SLACK <= now < found.until else None

    def expire_pause(self, now: float) -> Pause | None:
        """Take away a pause whose time is over and return it (to exactly one caller); else None."""

        def operation(connection: sqlite3.Connection) -> Pause | None:
            found = select_pause(connection)
            if found is None or now < found.until:
                return None
            connection.execute("DELETE FROM pause")
            return found

        if self._database.read(select_pause, "read the pause") is None:
            return None
        return self._database.write(operation, "end the pause")

    def probe(self) -> None:
        """Show that a report of ordinary size can be written: LedgerError says why not."""
        self._database.write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', hex(randomblob(?)))",
                (_PROBE_BYTES,),
            ),
            "write a probe",
        )
        self._database.write(
            lambda connection: connection.execute("DELETE FROM meta WHERE key = 'probe'"), "take a probe away"
        )

    # retention

    def prune(self, *, keep_days: float, max_bytes: int, now: float) -> int:
        """Take away what is older than ``keep_days``, then the oldest reports above ``max_bytes``.

        Open overrides stay, with the reports that they are about, and so does the newest report. Returns
        the number of reports that are gone.
        """
        oldest = now - keep_days * 86400

        def operation(connection: sqlite3.Connection) -> int:
            connection.execute(
                "DELETE FROM overrides WHERE state != ? AND max(granted_at, expires_at) < ?",
                (_GRANTED, oldest),
            )
            spared = (
                "fingerprint NOT IN (SELECT fingerprint FROM overrides WHERE state = 'granted')"
                " AND number < (SELECT max(number) FROM reports)"
            )
            gone = connection.execute(f"DELETE FROM reports WHERE time < ? AND {spared}", (oldest,)).rowcount
            size = f"length(report) + length(packages) + {_ROW_BYTES}"
            rows = connection.execute(
                f"SELECT number, {size}, {spared} FROM reports ORDER BY number"
            ).fetchall()
            excess = sum(size for _, size, _ in rows) - max_bytes
            for number, freed, may_go in rows:
                if excess <= 0:
                    break
                if may_go:
                    connection.execute("DELETE FROM reports WHERE number = ?", (number,))
                    excess, gone = excess - freed, gone + 1
            connection.execute("DELETE FROM runs WHERE report NOT IN (SELECT number FROM reports)")
            return gone

        gone = self._database.write(operation, "prune old records")
        if gone:
            self._database.shrink()
        return gone
