# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a hook runs: what the scripts will find, and what a report has to fit; standard library only."""

from __future__ import annotations

import os
import time

from output import printable, say

TYPE_CHECKING = False  # without typing, which takes milliseconds to load
if TYPE_CHECKING:
    from typing import Any

SHOW_PROGRESS_AFTER = 0.5  # seconds


def surroundings() -> dict[str, Any]:
    """Return the parameters that every question has."""
    umask = os.umask(0o077)
    os.umask(umask)
    locale = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := os.environ.get(name))), "C")
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
    return {
        "environment": {name: value for name, value in os.environ.items() if name != "APT_HOOK_INFO_FD"},
        "cwd": _cwd(),
        "umask": umask,
        "terminal": os.isatty(0),
        "columns": _columns(),
        "colour": os.isatty(2) and not plain,
        "ascii": "utf" not in locale.lower(),
    }


def _columns() -> int:
    try:
        return os.get_terminal_size(2).columns or 80
    except OSError:
        return 80


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been deleted
        return "/"


class ProgressLine:
    """One live line on stderr, when that is a terminal and the wait is long enough to be noticed."""

    def __init__(self) -> None:
        self._from = time.monotonic() + SHOW_PROGRESS_AFTER
        self._columns = _columns()
        # Below apt it is apt's own terminal, which ends up in its log and in pipes.
        self._live = os.isatty(2) and not {"DPKG_HOOK_ACTION", "DPKG_FRONTEND_LOCKED"} <= os.environ.keys()
        self._text = ""
        self._shown = ""

    def show(self, text: object) -> None:
        """Take ``text`` as what is being done; it appears when its time has come."""
        self._text = ("aptguard: " + printable(text))[: self._columns - 1]
        self.tick()

    def due(self) -> float:
        """Return the seconds until the line has to be drawn."""
        return self._from - time.monotonic() if self._live and self._text != self._shown else 3600.0

    def tick(self) -> None:
        """Draw the line if it is due."""
        if self._live and self._text != self._shown and time.monotonic() >= self._from:
            say("\r" + self._text + " " * (len(self._shown) - len(self._text)))
            self._shown = self._text

    def erase(self) -> None:
        """Take the line away again."""
        if self._shown:
            say("\r" + " " * len(self._shown) + "\r")
        self._text = self._shown = ""
