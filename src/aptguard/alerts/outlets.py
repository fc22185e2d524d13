# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an event goes besides the journal: login banner, metrics, the administrator's own programs.

None of it may fail a judgement: what goes wrong here is one warning in the log.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from aptguard.alerts import login_banner, metrics, notify
from aptguard.alerts.events import Event
from aptguard.alerts.journal import log
from aptguard.alerts.message_ids import EventName
from aptguard.alerts.standing import Standing, after_dangers, after_event, after_look, after_recovery
from aptguard.alerts.standing_file import change_standing, read_standing, write_atomically
from aptguard.policy.finding import Finding
from aptguard.report.machine import SCHEMA, report_as_plain, timestamp
from aptguard.report.model import Report
from aptguard.shown import shown

_MOST_CHARACTERS = 300  # of what tells one danger from another


class Outlets:
    """The ways out of one guard; ``figures`` gives dormant dangers and mode, where metrics are wanted."""

    def __init__(
        self,
        state_directory: str,
        figures: Callable[[], tuple[int, str]],
        *,
        metrics_directory: str = metrics.DIRECTORY,
        queue: str = notify.QUEUE,
        programs: str = notify.PROGRAMS,
    ) -> None:
        self._directory = state_directory
        self._figures = figures
        self._metrics_directory = metrics_directory
        self._queue = queue
        self._programs = programs
        self._warned: set[str] = set()
        self._told_dangers: frozenset[str] = frozenset()  # where nothing can be written down

    def told(self, event: Event, report: Report | None = None) -> None:
        """Take an event that the journal has been told; ``report`` is the transaction's it is about."""
        now = time.time()
        self._attempt("what stands", lambda: self._change(lambda old: after_event(old, event, report, now)))
        if event.name is not EventName.ALLOWED:
            self._attempt("the programs in notify.d", lambda: self._notify(event, report, now))

    def looked(self, identifier: str | None = None) -> None:
        """Note that the administrator has looked at one transaction, or at the whole record (None)."""
        if read_standing(self._directory).unseen:
            self._attempt("what stands", lambda: self._change(lambda old: after_look(old, identifier)))

    def recovered(self, part: str | None = None) -> None:
        """Note that ``part`` of the guard works again (None: that the administrator knows)."""
        if read_standing(self._directory).degraded:
            self._attempt("what stands", lambda: self._change(lambda old: after_recovery(old, part)))

    def new_dangers(self, dangers: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return those that nobody has been told of, once each; one that was gone is told of again."""
        named = {f"{danger.account}: {shown(danger.reason)}"[:_MOST_CHARACTERS]: danger for danger in dangers}
        known = {*read_standing(self._directory).dangers, *self._told_dangers}
        self._told_dangers = frozenset(named)
        if known != {*named}:
            self._attempt("what stands", lambda: self._change(lambda old: after_dangers(old, tuple(named))))
        return tuple(danger for name, danger in named.items() if name not in known)

    def _change(self, change: Callable[[Standing], Standing]) -> None:
        standing, changed = change_standing(self._directory, change)
        if not changed:
            return
        banner = os.path.join(self._directory, login_banner.FILE)
        write_atomically(banner, login_banner.banner_text(standing), mode=0o600)
        if os.path.isdir(self._metrics_directory):
            dormant, mode = self._figures()
            text = metrics.metrics_text(standing, dormant=dormant, mode=mode)
            write_atomically(os.path.join(self._metrics_directory, metrics.FILE), text, mode=0o644)

    def _notify(self, event: Event, report: Report | None, now: float) -> None:
        document = event_as_plain(event, report, now)
        queued = notify.queue_event(document, queue=self._queue, programs=self._programs)
        # With systemd a path unit sees the queue.
        if queued and not os.path.isdir("/run/systemd/system"):
            notify.start_detached()

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            reason = f"{what} could not be told: {error}"
            if reason not in self._warned:
                self._warned.add(reason)
                log().warning(reason)


def event_as_plain(event: Event, report: Report | None, now: float) -> dict[str, Any]:
    """Return what a program in notify.d gets: the report, where there is one, and what the event says."""
    head: dict[str, Any] = {"schema": SCHEMA, "time": timestamp(now), "host": _host()}
    fields = {
        name.lower(): values[0] if len(values) == 1 else list(values) for name, values in event.fields.items()
    }
    told = {"event": event.name.value, "priority": event.priority, "message": event.message}
    return {**fields, **head, **(report_as_plain(report) if report else {}), **told}


@functools.cache
def _host() -> str:
    return socket.gethostname()
