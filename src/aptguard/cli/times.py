# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as an administrator writes them: how long something lasts, and since when it is asked for."""

from __future__ import annotations

import argparse
import re
import time
from datetime import date, datetime, timedelta

_DURATION = re.compile(r"([0-9]+)\s*(s|sec|m|min|h|d)?", re.ASCII)
_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, None: 60}
_LONGEST_SECONDS = 30 * 86400
_OLDEST_SECONDS = 100 * 365 * 86400
_DATE_FORMS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def duration(text: str) -> int:
    """Return the seconds in ``30s``, ``15min``, ``2h`` or ``1d`` (a bare number is minutes).

    Raises argparse.ArgumentTypeError with a sentence.
    """
    seconds = _seconds(text)
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no duration between one second and 30 days; write 15min, 2h or 1d."
        )
    return seconds


def age(text: str) -> int:
    """Return how many seconds ago ``text`` was: a duration, ``today``, ``yesterday``, or a date and time.

    Dates are the machine's local time, as those of journalctl(1) are. Raises argparse.ArgumentTypeError with
    a sentence.
    """
    seconds = _seconds(text)
    if not seconds:
        moment = _moment(text.strip())
        seconds = 0 if moment is None else int(time.time() - moment.timestamp()) + 1
    if not 0 < seconds <= _OLDEST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no time; write 2h, 7d, today, yesterday, 2026-01-31 or '2026-01-31 14:00'."
        )
    return seconds


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    return int(match.group(1)) * _UNITS[match.group(2)] if match and len(match.group(1)) < 10 else 0


def _moment(text: str) -> datetime | None:
    midnight = datetime.combine(date.today(), datetime.min.time())
    if text in ("today", "yesterday"):
        return midnight - timedelta(days=text == "yesterday")
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None
