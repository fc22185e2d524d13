# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the commands print: one JSON document, or text in the terminal's style."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

from aptguard.report.machine import SCHEMA
from aptguard.report.style import Style, style_for


def stdout_style() -> Style:
    """Return the style for standard output."""
    terminal = sys.stdout.isatty()
    return style_for(os.environ, terminal=terminal, columns=shutil.get_terminal_size().columns)


def print_json(document: dict[str, Any]) -> None:
    """Print ``document`` as the one JSON document of this command, with the schema's number."""
    print(json.dumps({"schema": SCHEMA, **document}, indent=2))


def live_line() -> Callable[[str], None] | None:
    """Return a function that shows what is being tried on one line of a terminal; None without a terminal."""
    if not sys.stderr.isatty():
        return None
    columns = shutil.get_terminal_size().columns

    def show(text: str) -> None:
        sys.stderr.write("\r" + text[: columns - 1].ljust(columns - 1) + "\r")
        sys.stderr.flush()

    return show


def clear_live_line() -> None:
    """Take the live line away."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
