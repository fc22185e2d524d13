# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hooks of others add to the same run of apt."""

from __future__ import annotations

import contextlib
from typing import Any

from inside import hooks
from inside.apt_runs import run_with, without
from inside.bug_server import without_bugs
from inside.measure import apt, paired, row

TITLE = "Installing one package with the hooks of others"
HOW = (
    "as in the table of whole runs of apt: wall time of apt-get, with one program's hooks and with none; "
    "apt-listbugs asks a server on the loopback which knows no bugs"
)


def measure() -> list[dict[str, Any]]:
    """Return a row for each program whose hooks are there."""
    hooks.only(*hooks.FILES)
    rows = []
    for program in hooks.FILES:
        if not hooks.there(program):
            rows.append(row(program, [], None, note="not measured: not installed here"))
            continue
        with contextlib.ExitStack() as stack:
            if program == "apt-listbugs":
                stack.enter_context(without_bugs(hooks.FILES[program][0]))
            hooks.only()
            try:
                rows.append(_row(program))
            except RuntimeError as error:
                note = f"not measured: {str(error).strip().splitlines()[-1][:120]}"
                rows.append(row(program, [], None, note=note))
            hooks.only(*hooks.FILES)
    hooks.only()
    without(1)
    return rows


def _row(program: str) -> dict[str, Any]:
    argv = apt("install", "toy-001=1.0")
    run_with((program,), lambda: without(1), argv)
    return paired(
        program,
        5,
        lambda: run_with((program,), lambda: without(1), argv),
        lambda: run_with((), lambda: without(1), argv),
    )
