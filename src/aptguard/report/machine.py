# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as JSON for other programs: ``check --json``, ``show --json``. Pure.

Schema 1 is what the interface document promises; it is changed only by adding keys. Paths and commands
are escaped as aptguard.shown does, so that each string is valid Unicode on one line.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aptguard.policy.finding import Finding
from aptguard.rehearsal.model import LyingBelow, Unknown
from aptguard.report.model import ChangedPath, Report
from aptguard.report.real_run import real_run_as_plain
from aptguard.shown import shown
from aptguard.transaction.model import Item, Transaction

SCHEMA = 1


def report_as_plain(report: Report, *, changes: bool = False) -> dict[str, Any]:
    """Return the JSON document of ``report``; with ``changes`` it holds each changed path too."""
    counts: dict[str, Any] = dict(report.changes)
    if changes:
        counts["paths"] = [_changed_path(changed) for changed in report.changed_paths]
    return {
        "schema": SCHEMA,
        "id": report.id,
        "time": timestamp(report.time),
        "host": shown(report.host),
        "verdict": report.verdict.value,
        "mode": report.mode,
        "transaction": _transaction(report.transaction, report.user),
        "findings": [finding_as_plain(finding) for finding in report.findings],
        "unknowns": [_unknown(unknown) for unknown in report.unknowns],
        "changes": counts,
        "scripts": [
            {
                "package": run.package,
                "script": run.script,
                "begin": round(run.begin, 4),
                "seconds": round(run.seconds, 4),
            }
            for run in report.scripts
        ],
        "effects": [
            {"kind": effect.kind, "detail": shown(effect.detail), "cause": effect.cause}
            for effect in report.effects
        ],
        "notes": [shown(note) for note in report.notes],
        "complete": report.complete,
        "lying_below": _lying_below(report.lying_below),
        "real_run": real_run_as_plain(report.real_run),
        "timing": {stage: round(seconds, 4) for stage, seconds in report.timing.items()},
    }


def summary_as_plain(report: Report) -> dict[str, Any]:
    """Return the short form that ``log --json`` lists."""
    return {
        "id": report.id,
        "time": timestamp(report.time),
        "verdict": report.verdict.value,
        "mode": report.mode,
        "user": shown(report.user),
        "frontend": shown(report.transaction.frontend),
        "items": [f"{item.action.value} {item.package}" for item in report.transaction.headline],
        "findings": len(report.findings),
        "unknowns": len(report.unknowns),
        "real_run": None if report.real_run is None else report.real_run.end.value,
    }


def timestamp(seconds: float) -> str:
    """Return ``seconds`` since the epoch as UTC in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def finding_as_plain(finding: Finding) -> dict[str, Any]:
    """Return one finding; keys that do not apply are absent."""
    plain: dict[str, Any] = {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "reason": shown(finding.reason),
        "change": finding.change,
        "path": None if finding.path is None else shown(finding.path),
        "account": None if finding.account is None else shown(finding.account),
        "subject_package": finding.subject_package,
        "package": finding.package,
        "script": finding.script,
        "command": [shown(word) for word in finding.command] or None,
        "count": finding.count,
        "size": finding.size,
        "newest": None if finding.newest_mtime_ns is None else timestamp(finding.newest_mtime_ns / 1e9),
        "examples": [shown(path) for path in finding.examples] or None,
        "origin": finding.origin or None,
    }
    return {key: value for key, value in plain.items() if value is not None}


def _transaction(transaction: Transaction, user: str) -> dict[str, Any]:
    return {
        "frontend": shown(transaction.frontend),
        "user": shown(user),
        "command_line": None if transaction.command_line is None else shown(transaction.command_line),
        "items": [_item(item) for item in transaction.items],
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "package": item.package,
        "architecture": item.architecture,
        "action": item.action.value,
        "old_version": item.old_version,
        "new_version": item.new_version,
        **({"purge_assumed": True} if item.purge_assumed else {}),
    }


def _unknown(unknown: Unknown) -> dict[str, Any]:
    plain = {"what": shown(unknown.what), "reason": shown(unknown.reason)}
    return plain if unknown.path is None else {**plain, "path": shown(unknown.path)}


def _lying_below(below: LyingBelow | None) -> dict[str, Any] | None:
    if below is None:
        return None
    return {"path": shown(below.directory), "count": below.paths, "at_least": below.at_least}


def _changed_path(changed: ChangedPath) -> dict[str, Any]:
    return {
        "path": shown(changed.path),
        "kinds": list(changed.kinds),
        "owner": changed.owner_class,
        "size": changed.size,
        "package": changed.package,
        "script": changed.script,
    }
