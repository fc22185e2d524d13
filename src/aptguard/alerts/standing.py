# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands between two events: blocked and not looked at, paused, degraded; and what was counted.

The login banner and the metrics are rendered from it. Pure values; aptguard.alerts.standing_file keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from aptguard.alerts.events import Event
from aptguard.alerts.message_ids import EventName
from aptguard.report.model import Report

_MOST = 50  # of what is kept; the ledger has all
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Stopped:
    """A transaction that was stopped and that nobody has looked at; ``id`` is empty where it has none."""

    id: str
    time: float
    what: str


@dataclass(frozen=True, slots=True)
class Standing:
    """All that stands. Times are UTC in seconds since the epoch; texts are escaped already.

    ``counts`` is of verdicts by kind, ``stopped`` of transactions that were stopped, ``seconds`` what all
    judgements took together; these only grow. ``dangers`` are those that the journal knows of.
    """

    unseen: tuple[Stopped, ...] = ()
    degraded: tuple[str, ...] = ()
    paused_until: float | None = None
    paused_because: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    stopped: int = 0
    seconds: float = 0.0
    last_time: float | None = None
    last_verdict: str = ""
    last_seconds: float = 0.0
    dangers: tuple[str, ...] = ()


def after_event(standing: Standing, event: Event, report: Report | None, now: float) -> Standing:
    """Return what stands after ``event``; ``report`` is the transaction's where the event is about one."""
    identifier = _first(event, "ID")
    match event.name:
        case EventName.BLOCKED | EventName.UNKNOWN | EventName.ALLOWED:
            return _after_verdict(standing, event, report, now)
        case EventName.OVERRIDE_GRANTED | EventName.OVERRIDE_USED:
            return after_look(standing, identifier)
        case EventName.PAUSED:
            until = datetime.fromisoformat(_first(event, "UNTIL")).timestamp()
            because = _first(event, "REASON")[:_MOST_CHARACTERS]
            return replace(standing, paused_until=until, paused_because=because)
        case EventName.RESUMED:
            return replace(standing, paused_until=None, paused_because="")
        case EventName.DEGRADED:
            reason = _first(event, "REASON")[:_MOST_CHARACTERS]
            others = tuple(one for one in standing.degraded if one != reason)
            return replace(standing, degraded=(*others, reason)[-_MOST:])
        case EventName.OVERRIDE_EXPIRED | EventName.DIVERGED | EventName.DANGER:
            return standing


def after_look(standing: Standing, identifier: str | None = None) -> Standing:
    """Return what stands after somebody has looked at the transaction ``identifier`` (None: at all)."""
    if identifier is None:
        return replace(standing, unseen=())
    return replace(standing, unseen=tuple(one for one in standing.unseen if one.id != identifier))


def after_recovery(standing: Standing, part: str | None = None) -> Standing:
    """Return what stands after the ``part`` of the guard (``policy``, ``ledger``; None: all) works again."""
    left = () if part is None else tuple(r for r in standing.degraded if not r.startswith(f"{part}: "))
    return replace(standing, degraded=left)


def after_dangers(standing: Standing, dangers: tuple[str, ...]) -> Standing:
    """Return what stands when exactly these ``dangers`` lie dormant, and have been told of."""
    return replace(standing, dangers=dangers)


def _after_verdict(standing: Standing, event: Event, report: Report | None, now: float) -> Standing:
    verdict = _first(event, "VERDICT")
    took = sum(report.timing.values()) if report is not None else 0.0
    counted = replace(
        standing,
        counts={**standing.counts, verdict: standing.counts.get(verdict, 0) + 1},
        seconds=standing.seconds + took,
        last_time=now,
        last_verdict=verdict,
        last_seconds=took,
    )
    identifier = _first(event, "ID")
    # Without an outcome it could not even be read, and was stopped.
    if not _first(event, "OUTCOME", "stop").startswith("stop"):
        # The same transaction has gone through, by whoever's leave: it is over.
        return after_look(counted, identifier)
    others = tuple(one for one in counted.unseen if one.id != identifier)
    stopped = Stopped(identifier, now, event.message[:_MOST_CHARACTERS])
    return replace(counted, unseen=(*others, stopped)[-_MOST:], stopped=counted.stopped + 1)


def _first(event: Event, name: str, otherwise: str = "") -> str:
    values = event.fields.get(name, ())
    return values[0] if values else otherwise
