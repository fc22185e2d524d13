# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that read back what aptguard itself has written, when that is damaged; and what is made of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import zlib
from collections.abc import Iterable

from aptguard.ledger.error import LedgerError
from aptguard.ledger.override import Grantor, Pause, findings_digest
from aptguard.ledger.store import Ledger
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Verdict
from aptguard.policy.judge import judge
from aptguard.policy.load import PolicyPaths, load_policy
from aptguard.rehearsal.model import RehearsalResult
from aptguard.report import details, machine, text
from aptguard.report.model import Report
from aptguard.report.report_page import report_page
from aptguard.report.style import Style
from aptguard.serialization import dumps, loads
from fuzz.target import Target, demand, demand_printable, demand_sentence
from unit.change_sets import PURGE, TODAY, altered, default_policy, gone, made, result
from unit.ledger_values import NOW, grant, report

_STYLES = (Style(columns=80, colour=True, ascii=False), Style(columns=40, colour=False, ascii=True))
_TOKENS = (
    b'"findings":[',
    b'"verdict":"allow"',
    b'"path":"\\udcff"',
    b"null",
    b"NaN",
    b"1e999",
    b"-1",
    b"\\u0000",
    b"[[[[[[[[",
    b'"transaction":{"frontend":"x","items":[]}',
)


class ReportTarget(Target):
    """A report as JSON, read back and rendered in every way."""

    name = "report"
    share = 50
    tokens = _TOKENS

    def seeds(self) -> Iterable[bytes]:
        yield dumps(report(changed=2)).encode()
        yield dumps(report(verdict=Verdict.ALLOW)).encode()
        judged = judge(PURGE, result(gone("/srv/x"), made("/etc/y")), Facts(), default_policy(), TODAY)
        plain = json.loads(dumps(report()))
        yield json.dumps({**plain, "findings": json.loads(dumps(judged.findings))}).encode()

    def attempt(self, data: bytes) -> None:
        try:
            one = loads(Report, data)
        except ValueError as error:
            demand_sentence(error)
            return
        demand(dumps(loads(Report, dumps(one))) == dumps(one), "written and read again it is another report")
        for style in _STYLES:
            colourless = Style(columns=style.columns, colour=False, ascii=style.ascii)
            text.refusal(one, style, override_minutes=15)
            demand_printable(text.refusal(one, colourless, override_minutes=15, by_unknown=True))
            demand_printable(text.passed_with_doubts(one, colourless))
            demand_printable(text.passed_with_warnings(one, colourless))
            demand_printable(text.passed_by_override(one, colourless, "reason\n", "who\x1b"))
            demand_printable(details.details(one, colourless, changes=True))
        json.dumps(machine.report_as_plain(one, changes=True), allow_nan=False)
        json.dumps(machine.summary_as_plain(one), allow_nan=False)
        demand_printable(report_page(one))


class RehearsalAnswerTarget(Target):
    """What the helper process answers: from inside the rehearsal, where the scripts have been."""

    name = "rehearsal_answer"
    share = 50
    tokens = (*_TOKENS, b'"kinds":["deleted"]', b'"complete":true', b'"unknowns":[]', b'"type":"file"')

    def seeds(self) -> Iterable[bytes]:
        yield dumps(result(gone("/srv/x"), made("/etc/y"), altered("/usr/bin/z"))).encode()
        yield dumps(RehearsalResult((), (), False)).encode()

    def attempt(self, data: bytes) -> None:
        try:
            rehearsed = loads(RehearsalResult, data)
        except ValueError as error:
            demand_sentence(error)
            return
        judgement = judge(PURGE, rehearsed, Facts(), default_policy(), TODAY)
        cut_off = not rehearsed.complete or rehearsed.unknowns or not rehearsed.steps
        failed = any(step.status != 0 for step in rehearsed.steps)
        doubtful = bool(cut_off or failed)
        demand(not (doubtful and judgement.verdict is Verdict.ALLOW), "a rehearsal with doubts was allowed")


class LedgerRowsTarget(Target):
    """A ledger whose rows hold what nobody wrote: the first byte says which column."""

    name = "ledger_rows"
    share = 20
    tokens = _TOKENS
    _columns = (
        "UPDATE reports SET report = ?",
        "UPDATE reports SET packages = CAST(? AS TEXT)",
        "UPDATE overrides SET reason = CAST(? AS TEXT)",
        "UPDATE overrides SET expires_at = CAST(? AS REAL)",
        "UPDATE overrides SET fingerprint = CAST(? AS TEXT)",
        "UPDATE pause SET until = CAST(? AS REAL)",
        "UPDATE pause SET reason = CAST(? AS TEXT)",
        "UPDATE overrides SET sudo_user = CAST(? AS TEXT), granted_at = CAST(? AS REAL)",
    )

    def __init__(self) -> None:
        super().__init__()
        _fill(os.path.join(self.directory, "state"))
        self._ledger = Ledger(os.path.join(self.directory, "state"))
        self._raw = sqlite3.connect(os.path.join(self.directory, "state", "ledger.db"), isolation_level=None)
        self._raw.execute("PRAGMA synchronous = OFF")
        tables = ("reports", "overrides", "pause")
        self._rows = {name: self._raw.execute(f"SELECT * FROM {name}").fetchall() for name in tables}

    def seeds(self) -> Iterable[bytes]:
        plain = dumps(report()).encode()
        return (
            b"0" + plain,
            b'1["toy"]',
            b"2why",
            b"31700000000.5",
            b"4" + b"aa" * 32,
            b"5nan",
            b"6\xff",
            b"7x",
        )

    def attempt(self, data: bytes) -> None:
        column = data[0] % len(self._columns) if data else 0
        value: bytes = zlib.compress(data[1:], 1) if column == 0 else data[1:]
        for table, rows in self._rows.items():
            self._raw.execute(f"DELETE FROM {table}")
            self._raw.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        with contextlib.suppress(sqlite3.IntegrityError):
            self._raw.execute(self._columns[column], [value] * self._columns[column].count("?"))
            _read_all(self._ledger)

    def close(self) -> None:
        self._raw.close()
        self._ledger.close()
        super().close()


class LedgerFileTarget(Target):
    """A ledger's file with the bytes of an input written over it at places that it names itself."""

    name = "ledger_file"
    share = 12
    largest = 512
    tokens = (b"SQLite format 3\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"granted", b"CREATE TABLE")

    def __init__(self) -> None:
        super().__init__()
        self._state = os.path.join(self.directory, "state")
        _fill(self._state)
        self._files = {}
        for name in os.listdir(self._state):
            with open(os.path.join(self._state, name), "rb") as file:
                self._files[name] = file.read()
        self._whole = self._files["ledger.db"]

    def seeds(self) -> Iterable[bytes]:
        shuffled = random.Random(1)
        return [b"", b"\0\0\x10abc", *(shuffled.randbytes(60) for _ in range(8))]

    def attempt(self, data: bytes) -> None:
        damaged = bytearray(self._whole)
        for start in range(0, len(data) - 3, 12):
            place = int.from_bytes(data[start : start + 3], "big") % len(damaged)
            piece = data[start + 3 : start + 12]
            damaged[place : place + len(piece)] = piece
        if data[:1] == b"\xff":
            del damaged[len(damaged) * (len(data) % 64) // 64 :]
        for name in os.listdir(self._state):
            os.unlink(os.path.join(self._state, name))
        with open(os.path.join(self._state, "ledger.db"), "wb", opener=_private) as file:
            file.write(damaged)
        ledger = Ledger(self._state)
        try:
            _read_all(ledger)
            with contextlib.suppress(LedgerError):
                ledger.record(report("2222-2222", fingerprint="bb" * 32))
        finally:
            ledger.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _fill(directory: str) -> None:
    ledger = Ledger(directory)
    ledger.record(report())
    grant(ledger)
    ledger.set_pause(Pause(NOW, NOW + 60, "It is needed.", Grantor(uid=0)))
    ledger.close()
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "ledger.db"))) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _read_all(ledger: Ledger) -> None:
    """Read everything, as the guard does; nothing may come out that would let another transaction pass."""
    digest = findings_digest(report().findings)
    other = None
    for read in (
        lambda: ledger.reports(limit=10),
        lambda: ledger.reports(package="toy", path=b"/srv", verdict=Verdict.BLOCK),
        lambda: ledger.report("7F3K-92QX"),
        ledger.overrides,
        lambda: ledger.override_for("aa" * 32, digest, NOW + 1),
        lambda: ledger.pause(NOW + 1),
        lambda: ledger.expire_pause(NOW + 1),
    ):
        try:
            read()
        except LedgerError as error:
            demand_sentence(error)
    with contextlib.suppress(LedgerError):
        other = ledger.override_for("cc" * 32, digest, NOW + 1)
    demand(other is None, "an override was found that nobody has granted")
    for problem in ledger.problems:
        demand_sentence(problem)


class LastValidTarget(Target):
    """The copy of the last valid policy."""

    name = "last_valid_policy"
    share = 20
    largest = 4096
    tokens = (*_TOKENS, b'"schema": 1', b'"severity": "ignore"', b'"text": "/srv/**"', b'"checks": {}')

    def __init__(self) -> None:
        super().__init__()
        vendor = os.path.join(self.directory, "vendor")
        os.mkdir(vendor)
        self._last = os.path.join(self.directory, "last")
        broken = os.path.join(self.directory, "broken.toml")
        with open(os.path.join(vendor, "a.toml"), "w", encoding="ascii") as file:
            file.write('[rule.keep]\nplace = "data"\npaths = ["/srv/**"]\nbecause = "Data lives here."\n')
        self._paths = PolicyPaths(vendor, broken, "/nonexistent/x", self._last)
        load_policy(self._paths)
        with open(broken, "w", encoding="ascii") as file:
            file.write("broken")
        with open(self._last, "rb") as file:
            self._valid = file.read()

    def seeds(self) -> Iterable[bytes]:
        return (self._valid, b'{"schema": 1, "policy": {}}')

    def attempt(self, data: bytes) -> None:
        with open(self._last, "wb") as file:
            file.write(data)
        loaded = load_policy(self._paths)
        demand(loaded.degraded, "a broken file was not told of")
        for problem in loaded.problems:
            demand_sentence(problem.sentence())
        judge(PURGE, result(gone("/srv/x/y")), Facts(), loaded.policy, TODAY)
