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
from aptguard.ledger.override import Grantor, Override, Pause
from aptguard.policy.finding import Finding, Verdict
from aptguard.report.machine import timestamp
from aptguard.report.model import RealRun, Report, RunEnd
from aptguard.report.real_run import ALARMING, divergence_subject, is_grave
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
    EventName.UNKNOWN: WARNING,
    EventName.OVERRIDE_GRANTED: WARNING,
    EventName.OVERRIDE_USED: WARNING,
    EventName.OVERRIDE_EXPIRED: NOTICE,
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


def event_from_report(
    report: Report,
    outcome: str | None = None,
    *,
    override: Override | None = None,
    pause: Pause | None = None,
) -> Event:
    """Return the event ``blocked``, ``allowed`` or ``unknown`` for a judged transaction.

    ``outcome`` is what became of it (guard.decision.Outcome; None: what the verdict and the mode say); with
    ``override`` or ``pause`` it names whose leave let it pass. A harm that was let pass is a warning.
    """
    outcome = outcome or ("stop" if report.mode == "enforce" else "pass in report mode")
    stopped = outcome.startswith("stop")
    what = f"{describe(report.transaction)} ({report.transaction.frontend}, {report.user})"
    match report.verdict:
        case Verdict.BLOCK:
            # By leave of a person it is let through: that is no alarm, and has events of its own as well.
            name = EventName.ALLOWED if override or pause else EventName.BLOCKED
            message = f"{'Blocked' if stopped else 'Would have blocked'} {what}: {_first_finding(report)}."
        case Verdict.UNKNOWN:
            name = EventName.UNKNOWN
            message = f"Could not tell whether {what} is safe: {_first_unknown(report)}."
            message += " It was blocked." if stopped else ""
        case Verdict.ALLOW:
            name = EventName.ALLOWED
            message = f"Allowed {what}."
    priority = None
    if report.verdict is not Verdict.ALLOW:
        if not stopped:
            priority = WARNING
            message += f" It goes on ({outcome}{_leave(override, pause)})."
        message += f" All of it: aptguard show {report.id}."
        if stopped:
            message += f" To let it through once: aptguard override {report.id} --reason TEXT."
    findings = report.findings
    reasons = [*(f.reason for f in findings), *(f"{u.what}: {u.reason}" for u in report.unknowns)]
    return make_event(
        name,
        message,
        priority=priority,
        id=report.id,
        verdict=report.verdict.value,
        outcome=outcome if report.verdict is not Verdict.ALLOW else "pass",
        user=report.user,
        frontend=report.transaction.frontend,
        mode=report.mode,
        rule=_unique(finding.rule for finding in findings),
        package=_unique(finding.package for finding in findings)
        or _unique(item.package for item in report.transaction.items),
        script=_unique(finding.script for finding in findings),
        account=_unique(finding.account for finding in findings),
        reason=_unique(reasons),
        path=_unique(finding.path for finding in findings),
    )


def override_event(name: str, override: Override, why: str = "") -> Event:
    """Return the event ``name`` (``override-granted``, ``-used``, ``-expired``) about ``override``.

    ``why`` says how it came to that where the name does not (``revoked``).
    """
    kind = EventName(name)
    who = override.grantor.name
    match kind:
        case EventName.OVERRIDE_GRANTED:
            minutes = max(0, round((override.expires_at - override.granted_at) / 60))
            message = f"Override of {override.id} granted for {minutes} min by {who}"
        case EventName.OVERRIDE_USED:
            message = f"Override of {override.id} used up: the transaction has run, by leave of {who}"
        case EventName.OVERRIDE_EXPIRED:
            message = f"Override of {override.id} ended without having been used, granted by {who}"
        case _:
            raise ValueError(f"{name} is no event of an override.")
    return make_event(
        kind,
        f"{message}{f' ({why})' if why else ''}: {override.reason}",
        id=override.id,
        reason=override.reason,
        until=timestamp(override.expires_at),
        outcome=why,
        **_who_fields(override.grantor),
    )


def pause_event(name: str, pause: Pause, why: str = "") -> Event:
    """Return the event ``paused`` or ``resumed`` about ``pause``; ``why`` says what ended it."""
    kind = EventName(name)
    who = pause.grantor.name
    match kind:
        case EventName.PAUSED:
            minutes = max(0, round((pause.until - pause.since) / 60))
            message = f"Blocking is off for {minutes} min, paused by {who}"
        case EventName.RESUMED:
            message = f"Blocking is on again, it was paused by {who}"
        case _:
            raise ValueError(f"{name} is no event of a pause.")
    return make_event(
        kind,
        f"{message}{f' ({why})' if why else ''}: {pause.reason}",
        reason=pause.reason,
        until=timestamp(pause.until),
        outcome=why,
        **_who_fields(pause.grantor),
    )


def diverged_event(identifier: str, packages: Iterable[str], run: RealRun) -> Event | None:
    """Return the event ``diverged`` about the ``run`` of the transaction ``identifier`` of ``packages``.

    None for a run that ended as its rehearsal, or did not begin. What is gone and was to stay is an alarm;
    all else is a warning.
    """
    if run.end not in ALARMING:
        return None
    first = f": {divergence_subject(run.divergences[0])}" if run.divergences else ""
    if first:
        first += f", {run.divergences[0].reason}"
    ended = "did not come to its end" if run.end is RunEnd.HALF_WAY else "did what its rehearsal did not"
    more = f", and {len(run.divergences) - 1} more" if len(run.divergences) > 1 else ""
    return make_event(
        EventName.DIVERGED,
        f"The run of {identifier} {ended}{first}{more}. All of it: aptguard show {identifier}.",
        priority=CRITICAL if is_grave(run) else WARNING,
        id=identifier,
        outcome=run.end.value,
        reason=_unique([run.reason, *(one.reason for one in run.divergences)]),
        path=_unique(one.path for one in run.divergences),
        package=_unique(one.package for one in run.divergences) or _unique(packages),
    )


def degraded_event(reason: str) -> Event:
    """Return the event ``degraded``: a part of the guard does not work, for ``reason``."""
    return make_event(EventName.DEGRADED, f"The guard is degraded: {reason}", reason=reason)


def danger_event(danger: Finding) -> Event:
    """Return the event ``danger``: an account lies dormant whose removal would do harm."""
    return make_event(
        EventName.DANGER,
        f"Danger lying dormant: {_subject(danger)}: {danger.reason}",
        rule=danger.rule,
        account=danger.account,
        path=danger.path,
        package=danger.package,
        reason=danger.reason,
    )


def describe(transaction: Transaction) -> str:
    """Return a transaction in a few words (``purge of toy and 3 more``, else the command itself)."""
    if not transaction.items:
        return f"'{transaction.command_line}'" if transaction.command_line else "a run without packages"
    # What takes a package away is what people look for.
    first = (transaction.takes_away or transaction.headline)[0]
    more = len(transaction.headline) - 1
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


def _leave(override: Override | None, pause: Pause | None) -> str:
    if override is not None:
        return f" of {override.grantor.name}: {override.reason}"
    if pause is not None:
        return f" by {pause.grantor.name}: {pause.reason}"
    return ""


def _who_fields(grantor: Grantor) -> dict[str, Any]:
    login = None if grantor.login_uid is None else str(grantor.login_uid)
    return {"user": grantor.name, "login_uid": login, "tty": grantor.tty}


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
