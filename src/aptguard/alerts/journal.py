# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling the journal: events for administrators, and the daemon's own log; both through structlog.

structlog is imported at the first record (it takes 50 to 150 ms), and is not needed to tell: when it
cannot be imported, as half way through an upgrade of Python, the record goes out without it.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import cache
from typing import TYPE_CHECKING, Any

from aptguard.alerts.events import ERROR, INFO, NOTICE, WARNING, Event
from aptguard.alerts.sink import Channel, Record, deliver
from aptguard.shown import shown

__all__ = ["Event", "log", "send_event", "to_record"]

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_PRIORITY_OF_METHOD = {
    "debug": 7,
    "info": INFO,
    "notice": NOTICE,
    "warning": WARNING,
    "error": ERROR,
    "exception": ERROR,
    "critical": 2,
}
_SUMMARY_FIELDS = ("EVENT", "ID", "USER")


def send_event(event: Event) -> Channel:
    """Tell ``event``; return where it went. Never raises and never waits longer than seconds."""
    fields = {"EVENT": (event.name.value,), **event.fields}
    try:
        logger = _logger()
    except Exception:
        return deliver(to_record(event.message, event.priority, event.message_id, fields))
    sent: Channel = logger.critical(
        event.message, _priority=event.priority, _message_id=event.message_id, **fields
    )
    return sent


def log() -> FilteringBoundLogger:
    """Return the daemon's own log: ``log().info("text", name=value)`` becomes APTGUARD_NAME=value."""
    logger: FilteringBoundLogger = _logger()
    return logger


def to_record(
    message: str, priority: int, message_id: str | None, fields: Mapping[str, tuple[str, ...]]
) -> Record:
    """Return the record with fields named as in the journal; each value of a field is one line of it."""
    lines = [("MESSAGE_ID", message_id)] if message_id else []
    for name, values in fields.items():
        lines += [(f"APTGUARD_{name}", value) for value in values]
    summary = [f"{name.lower()}={fields[name][0]}" for name in _SUMMARY_FIELDS if fields.get(name)]
    return Record(message, priority, tuple(lines), " ".join(summary))


class _Outlet:
    """What structlog calls the logger: each of its methods takes a finished record."""

    def __getattr__(self, method: str) -> Any:
        if method not in _PRIORITY_OF_METHOD:
            raise AttributeError(method)
        return deliver


@cache
def _logger() -> Any:
    import structlog

    return structlog.wrap_logger(
        _Outlet(),
        processors=[structlog.processors.format_exc_info, _render],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        context_class=dict,
    )


def _render(
    _logger: Any, method: str, values: MutableMapping[str, Any]
) -> tuple[tuple[Record], dict[str, Any]]:
    """Return the event dictionary of structlog as the argument of deliver(); its last processor."""
    priority = values.pop("_priority", _PRIORITY_OF_METHOD[method])
    message_id = values.pop("_message_id", None)
    message = values.pop("event", "")
    if message_id is not None:  # an Event: escaped already
        return (to_record(message, priority, message_id, values),), {}
    fields = {_field_name(name): (shown(str(value)),) for name, value in values.items() if value is not None}
    return (to_record(shown(str(message)), priority, None, fields),), {}


def _field_name(name: str) -> str:
    """Letters, digits and underscores in capitals, as journald takes them (systemd.journal-fields(7))."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name).upper()[:50]
