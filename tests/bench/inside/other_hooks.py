# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hooks of others add to the same run of apt."""

from __future__ import annotations

from typing import Any

from inside import hooks
from inside.apt_runs import run_with, without
from inside.measure import apt, paired, row

TITLE = "Installing one package with the hooks of others"
HOW = "as in the table of whole runs of apt: wall time of apt-get, with one program's hooks and with none"


def measure() -> list[dict[str, Any]]:
    """Return a row for each program whose hooks are there."""
    argv = apt("install", "toy-001=1.0")
    rows = []
    for program in hooks.FILES:
        if not hooks.there(program):
            rows.append(
                row(
                    program,
                    [],
                    None,
                    note="not measured: not installed here; apt-listbugs asks the network in each run",
                )
            )
            continue
        try:
            run_with((program,), lambda: without(1), argv)
            rows.append(
                paired(
                    program,
                    5,
                    lambda program=program: run_with((program,), lambda: without(1), argv),
                    lambda: run_with((), lambda: without(1), argv),
                )
            )
        except RuntimeError as error:
            rows.append(
                row(program, [], None, note=f"not measured: {str(error).strip().splitlines()[-1][:120]}")
            )
    without(1)
    return rows
