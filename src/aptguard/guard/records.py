# SPDX-License-Identifier: GPL-3.0-or-later
"""What the administrator's commands ask of the record: log, show, override, pause, resume."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from aptguard.alerts.events import override_event, pause_event
from aptguard.guard.caller import read_login_uid
from aptguard.guard.errors import GuardError
from aptguard.guard.pause_marker import read_marker, remove_marker, write_marker
from aptguard.guard.peer import Peer
from aptguard.guard.state import GuardState
from aptguard.ledger.override import Grantor, OverrideState, Pause, findings_digest
from aptguard.ledger.rows import clean
from aptguard.ledger.store import Ledger
from aptguard.policy.finding import Verdict
from aptguard.report.machine import summary_as_plain
from aptguard.report.model import Report
from aptguard.serialization import to_plain
from aptguard.transaction.fingerprint import normalize_id

_LONGEST_SECONDS = 30 * 86400
_WITHOUT_LEDGER = "There are no overrides without it; 'aptguard pause' needs no ledger."
_LONGEST_AGE = 1 << 40  # seconds; far before there was any ledger


def log(state: GuardState, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"reports": [...]}``, the newest first; filters: since, verdict, package, path, limit."""
    verdict, package, path = (_text(parameters, name) for name in ("verdict", "package", "path"))
    if verdict and verdict not in {known.value for known in Verdict}:
        raise GuardError("InvalidParameter", "The parameter verdict must be allow, block or unknown.")
    age = _number(parameters, "since", 0, _LONGEST_AGE) if parameters.get("since") else None
    limit = _number(parameters, "limit", 20, 10_000)
    reports = state.in_ledger_or_refuse(
        lambda ledger: ledger.reports(
            since=None if age is None else time.time() - age,
            verdict=Verdict(verdict) if verdict else None,
            package=None if package is None else clean(package),
            path=None if path is None else os.fsencode(path),
            limit=limit,
        )
    )
    return {"reports": [summary_as_plain(report) for report in reports]}


def show(state: GuardState, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"report": ...}`` for the parameter ``id``, and its overrides."""
    report = _report(state, parameters)
    overrides = state.in_ledger(lambda ledger: ledger.overrides(identifier=report.id), ())
    return {"report": to_plain(report), "overrides": to_plain(overrides)}


def grant_override(state: GuardState, parameters: Mapping[str, Any], peer: Peer) -> dict[str, Any]:
    """Let the transaction ``id`` through once; ``reason`` is required, ``seconds`` is how long it holds."""
    reason = _reason(parameters)
    try:
        report = _report(state, parameters)
    except GuardError as error:
        if error.name != "LedgerUnavailable":
            raise
        raise GuardError(error.name, f"{error.message} {_WITHOUT_LEDGER}") from error
    if report.verdict is Verdict.ALLOW:
        raise GuardError("NotBlocked", f"{report.id} was allowed: there is nothing to override.")
    state.end_what_is_over()
    now = time.time()
    default = state.policy().policy.limits.override_minutes * 60
    override = state.in_ledger_or_refuse(
        lambda ledger: ledger.grant_override(
            report,
            findings_digest=findings_digest(report.findings, report.unknowns),
            granted_at=now,
            expires_at=now + _number(parameters, "seconds", default, _LONGEST_SECONDS),
            reason=reason,
            grantor=_grantor(parameters, peer),
        )
    )
    state.send(override_event("override-granted", override))
    return {"override": to_plain(override)}


def list_overrides(state: GuardState) -> dict[str, Any]:
    """Return ``{"overrides": [...]}``, the newest first."""
    state.end_what_is_over()
    return {"overrides": to_plain(state.in_ledger_or_refuse(lambda ledger: ledger.overrides()))}


def revoke_override(state: GuardState, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Take back the open override of the transaction ``id``."""
    identifier = _identifier(parameters)
    state.end_what_is_over()
    revoked = state.in_ledger_or_refuse(lambda ledger: ledger.revoke(identifier, time.time()))
    if revoked is None:
        known = state.in_ledger_or_refuse(lambda ledger: ledger.overrides(identifier=identifier, limit=1))
        if not known:
            raise GuardError(
                "NoSuchOverride", f"There is no override of {identifier}; see: aptguard override --list"
            )
        ended = {
            OverrideState.USED: "used up",
            OverrideState.EXPIRED: "expired",
            OverrideState.REVOKED: "revoked already",
            OverrideState.GRANTED: "over",
        }[known[0].state]
        raise GuardError("NoSuchOverride", f"The override of {identifier} is {ended}: nothing to revoke.")
    state.send(override_event("override-expired", revoked, "revoked"))
    return {"override": to_plain(revoked)}


def pause(state: GuardState, parameters: Mapping[str, Any], peer: Peer) -> dict[str, Any]:
    """Switch blocking off for ``seconds``; it ends by itself."""
    reason, now = _reason(parameters), time.time()
    seconds = _number(parameters, "seconds", 0, _LONGEST_SECONDS)
    started = Pause(now, now + seconds, reason, _grantor(parameters, peer))

    def written(ledger: Ledger) -> bool:
        ledger.set_pause(started)
        return True

    recorded = state.in_ledger(written, False)
    try:
        # Without a ledger the marker alone has it: just then there must be a way to let apt pass.
        write_marker(started, alone=not recorded)
    except GuardError as error:
        if not recorded:
            raise
        state.degraded(f"{error.message} They will not announce it, and not know it without the guard.")
    state.send(pause_event("paused", started))
    return {"pause": to_plain(started)}


def resume(state: GuardState, peer: Peer) -> dict[str, Any]:
    """End the pause; ``{"pause": None}`` when there was none."""
    marked = read_marker(time.time())
    remove_marker()
    try:
        ended = state.in_ledger_or_refuse(lambda ledger: ledger.clear_pause()) or marked
    except GuardError:
        if marked is None or state.pause_in_force() is not None:
            raise
        ended = marked
    if ended is not None:
        state.send(pause_event("resumed", ended, f"by {Grantor(peer.uid).name}"))
    return {"pause": to_plain(ended)}


def _report(state: GuardState, parameters: Mapping[str, Any]) -> Report:
    identifier = _identifier(parameters)
    report = state.in_ledger_or_refuse(lambda ledger: ledger.report(identifier))
    if report is None:
        raise GuardError("NoSuchTransaction", f"There is no transaction {identifier}; see: aptguard log")
    return report


def _identifier(parameters: Mapping[str, Any]) -> str:
    text = _text(parameters, "id")
    if text is None:
        raise GuardError("InvalidParameter", "The ID of a transaction is missing; see: aptguard log")
    try:
        return normalize_id(text)
    except ValueError as error:
        raise GuardError("InvalidParameter", str(error)) from error


def _reason(parameters: Mapping[str, Any]) -> str:
    reason = parameters.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise GuardError("InvalidParameter", "A reason is required: it goes on the record (--reason TEXT).")
    return reason.strip()[:1000]


def _text(parameters: Mapping[str, Any], name: str) -> str | None:
    """Return a parameter as text that can be written down and looked for, None when it is not given."""
    value = parameters.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, str) and b"\0" not in os.fsencode(value):
            return value
    except UnicodeEncodeError:  # half of a character
        pass
    raise GuardError("InvalidParameter", f"The parameter {name} must be text.")


def _number(parameters: Mapping[str, Any], name: str, default: int, most: int) -> int:
    number = parameters.get(name)
    if number is None:
        number = default
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= most:
        raise GuardError("InvalidParameter", f"The parameter {name} must be a number from 1 to {most}.")
    return number


def _grantor(parameters: Mapping[str, Any], peer: Peer) -> Grantor:
    sudo_user, terminal = parameters.get("sudo_user"), parameters.get("tty")
    return Grantor(
        uid=peer.uid,
        login_uid=read_login_uid(peer.pid),
        sudo_user=sudo_user if isinstance(sudo_user, str) else None,
        tty=terminal if isinstance(terminal, str) else None,
    )
