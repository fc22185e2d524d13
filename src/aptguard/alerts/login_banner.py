# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that a login shows while something was blocked and not looked at, is paused or degraded. Pure.

The file that is made of them is printed by a plain shell script (hooks/login-banner), which needs no
Python, no daemon and no record. Its lines are ``UNTIL<space>TEXT``; UNTIL is when the line is over, in
seconds since the epoch, 0 for a line that stays.
"""

from __future__ import annotations

from collections.abc import Iterator

from aptguard.alerts.standing import Standing
from aptguard.report.quantity import moment, plural

FILE = "login-banner"
_CHARACTERS = 160  # of a line; two rows of a terminal


def banner_text(standing: Standing) -> str:
    """Return the banner file's text, the most urgent line first; empty when nothing stands."""
    return "".join(f"{until:.0f} {_cut(line)}\n" for until, line in _lines(standing))


def _lines(standing: Standing) -> Iterator[tuple[float, str]]:
    if standing.unseen:
        last = standing.unseen[-1]
        if len(standing.unseen) == 1:
            look = f"aptguard show {last.id}" if last.id else "aptguard log"
            yield 0, f"aptguard: BLOCKED {moment(last.time)}, not looked at yet: {look}"
        else:
            many = plural(len(standing.unseen), "transaction")
            yield (
                0,
                f"aptguard: BLOCKED {many}, the last {moment(last.time)}, not looked at yet: aptguard log",
            )
    if standing.paused_until is not None:
        until = moment(standing.paused_until)
        yield (
            standing.paused_until,
            f"aptguard: PAUSED until {until}, nothing is blocked: {standing.paused_because}",
        )
    if standing.degraded:
        yield 0, f"aptguard: DEGRADED, see 'aptguard status': {standing.degraded[-1]}"


def _cut(line: str) -> str:
    return line if len(line) <= _CHARACTERS else line[: _CHARACTERS - 3] + "..."
