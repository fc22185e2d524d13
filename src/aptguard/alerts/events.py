# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told to the journal, made from the values that it is about; pure.

Every text is escaped here (aptguard.shown), so that nothing a package or a caller wrote can forge a
line, a field or a colour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aptguard.alerts.message_ids import MESSAGE_IDS, EventName
from aptguard.ledger.override import Grantor, Override, OverrideState, Pause
from aptguard.policy.finding import Finding, Verdict
from aptguard.report.model import Report
from aptguard.shown import shown
from aptguard.transaction.model import Transaction

# syslog(3)
CRITICAL, ERROR, WARNING, NOTICE, INFO = 2, 3, 4, 5, 6

MAX_VALUES = 64  # of one field
MAX_VALUE_CHARACTERS = 4096  # PATH_MAX, before escaping
_MAX_FIELDS_CHARACTERS = 60_000  # of all values; one datagram holds about 200 kB, in up to 4 bytes each

_PRIORITIES = {
    EventName.BLOCKED: CRITICAL,
    EventName.ALLOWED: INFO,
    EventName.UNKNOWN: ERROR,
    EventName.OVERRIDE_GRANTED: WARNING,
    EventName.OVERRIDE_USED: WARNING,
    EventName.OVERRIDE_EXPIRED: NOTICE,
    EventName.OVERRIDE_REVOKED: NOTICE,
    EventName.PAUSED: WARNING,
    EventName.RESUMED: NOTICE,
    EventName.DIVERGED: CRITICAL,
    EventName.DANGER: WARNING,
    EventName.DEGRADED: ERROR,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One record for the journal.

    ``priority`` is syslog's (0 to 7). ``fields`` are the values of ``APTGUARD_*`` fields by their name
    without that prefix, in capitals; a field with several values is repeated.
    """

    name: EventName
    message: str
    priority: int
    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def message_id(self) -> str:
        """The number of this kind of event, 32 hex digits."""
        return MESSAGE_IDS[self.name]


def make_event(
    name: EventName,
    message: str,
    *,
    priority: int | None = None,
    **fields: str | bytes | float | Iterable[str | bytes] | None,
) -> Event:
    """Return an event with all its texts escaped and bounded; fields that are None or empty are left out.

    Field names are given in lower case without the prefix: ``make_event(DANGER, "...", path=home)``.
    What did not fit is counted in the field OMITTED (``PATH 1200``).
    """
    values: dict[str, tuple[str, ...]] = {}
    omitted: list[str] = []
    room = _MAX_FIELDS_CHARACTERS
    for key, given in fields.items():
        texts = _texts(given)
        taken: list[str] = []
        for text in texts[:MAX_VALUES]:
            if len(text) > room:
                break
            taken.append(text)
            room -= len(text)
        if taken:
            values[key.upper()] = tuple(taken)
        if len(taken) < len(texts):
            omitted.append(f"{key.upper()} {len(texts) - len(taken)}")
    if omitted:
        values["OMITTED"] = tuple(omitted)
    chosen = _PRIORITIES[name] if priority is None else priority
    return Event(name, _bounded(message), chosen, values)


def event_from_report(report: Report) -> Event:
    """Return the event ``blocked``, ``allowed`` or ``unknown`` for a judged transaction.

    In ``report`` mode nothing was stopped: a block is then said to be one that would have been, as a warning.
    """
    what = f"{describe(report.transaction)} ({report.transaction.frontend}, {report.user})"
    enforced = report.mode == "enforce"
    match report.verdict:
        case Verdict.BLOCK:
            name = EventName.BLOCKED
            message = f"{'Blocked' if enforced else 'Would have blocked'} {what}: {_first_finding(report)}."
        case Verdict.UNKNOWN:
            name = EventName.UNKNOWN
            message = f"Could not tell whether {what} is safe: {_first_unknown(report)}."
        case Verdict.ALLOW:
            name = EventName.ALLOWED
            message = f"Allowed {what}."
    priority = None
    if report.verdict is not Verdict.ALLOW:
        message += f" All of it: aptguard show {report.id}."
        if enforced:
            message += f" To let it through once: aptguard override {report.id} --reason TEXT."
        else:
            priority = WARNING
    findings = report.findings
    return make_event(
        name,
        message,
        priority=priority,
        id=report.id,
        verdict=report.verdict.value,
        user=report.user,
        frontend=report.transaction.frontend,
        mode=report.mode,
        rule=_unique(finding.rule for finding in findings),
        package=_unique(finding.package for finding in findings)
        or _unique(item.package for item in report.transaction.items),
        script=_unique(finding.script for finding in findings),
        account=_unique(finding.account for finding in findings),
        path=_unique(finding.path for finding in findings),
        reason=_unique([*(f.reason for f in findings), *(f"{u.what}: {u.reason}" for u in report.unknowns)]),
    )


def event_from_override(override: Override) -> Event:
    """Return the event for the state that ``override`` is in now: granted, used, expired or revoked."""
    match override.state:
        case OverrideState.GRANTED:
            name = EventName.OVERRIDE_GRANTED
            minutes = max(0, round((override.expires_at - override.granted_at) / 60))
            message = f"Override of {override.id} granted for {minutes} min by {_who(override.grantor)}"
        case OverrideState.USED:
            name = EventName.OVERRIDE_USED
            message = f"Override of {override.id} used up: the transaction has run, by leave of"
            message += f" {_who(override.grantor)}"
        case OverrideState.EXPIRED:
            name = EventName.OVERRIDE_EXPIRED
            message = f"Override of {override.id} expired without having been used, granted by"
            message += f" {_who(override.grantor)}"
        case OverrideState.REVOKED:
            name = EventName.OVERRIDE_REVOKED
            message = f"Override of {override.id} revoked, granted by {_who(override.grantor)}"
    return make_event(
        name,
        f"{message}: {override.reason}",
        id=override.id,
        reason=override.reason,
        **_who_fields(override.grantor),
    )


def event_from_pause(pause: Pause, *, over: bool) -> Event:
    """Return the event ``paused``, or ``resumed`` for a pause that is ``over``."""
    if over:
        name, message = EventName.RESUMED, f"Blocking is on again; it was paused by {_who(pause.grantor)}"
    else:
        minutes = max(0, round((pause.until - pause.since) / 60))
        name, message = EventName.PAUSED, f"Blocking is off for {minutes} min by {_who(pause.grantor)}"
    return make_event(name, f"{message}: {pause.reason}", reason=pause.reason, **_who_fields(pause.grantor))


def describe(transaction: Transaction) -> str:
    """Return a transaction in a few words (``purge of toy and 3 more``)."""
    if not transaction.items:
        return "a run without packages"
    # What takes a package away is what people look for.
    first = (transaction.takes_away or transaction.items)[0]
    more = len(transaction.items) - 1
    return f"{first.action.value} of {first.package}" + (f" and {more} more" if more else "")


def _first_finding(report: Report) -> str:
    if not report.findings:
        return "no finding is recorded"
    first = report.findings[0]
    text = f"{_subject(first)} ({first.change})"
    if first.package or first.script:
        text += f" by {' of '.join(part for part in (first.script, first.package) if part)}"
    more = len(report.findings) - 1
    return text + (f", and {more} more findings" if more > 1 else ", and 1 more finding" if more else "")


def _subject(finding: Finding) -> str:
    if finding.path is not None:
        return finding.path.decode("utf-8", "surrogateescape")
    if finding.account is not None:
        return f"account {finding.account}"
    return f"package {finding.subject_package}"


def _first_unknown(report: Report) -> str:
    if not report.unknowns:
        return "no reason is recorded"
    return f"{report.unknowns[0].what}: {report.unknowns[0].reason}".rstrip(".")


def _who(grantor: Grantor) -> str:
    return f"{grantor.sudo_user} (sudo)" if grantor.sudo_user else f"uid {grantor.uid}"


def _who_fields(grantor: Grantor) -> dict[str, Any]:
    login = None if grantor.login_uid is None else str(grantor.login_uid)
    return {"user": _who(grantor), "login_uid": login, "tty": grantor.tty}


def _unique(values: Iterable[str | bytes | None]) -> list[str | bytes]:
    return list(dict.fromkeys(value for value in values if value))


def _texts(given: str | bytes | float | Iterable[str | bytes] | None) -> list[str]:
    if given is None or given in ("", b""):
        return []
    if isinstance(given, (str, bytes)):
        return [_bounded(given)]
    if isinstance(given, (int, float)):
        return [str(given)]
    return [_bounded(value) for value in given]


def _bounded(value: str | bytes) -> str:
    cut = value[:MAX_VALUE_CHARACTERS]
    return shown(cut) + ("..." if len(cut) < len(value) else "")
