# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions of 1 to 300 packages, rehearsed and judged, beside the real dpkg run."""

from __future__ import annotations

from typing import Any

from inside.apt_runs import DEBS, toys, with_first_version, without
from inside.copies import command_in_copy
from inside.engine import check
from inside.measure import row

TITLE = "Transactions of 1 to 300 packages, beside the real dpkg run"
HOW = (
    "the engine's time in `aptguard check` and, in alternation, dpkg --install or --purge of the same "
    "packages in a fresh overlay"
)


def measure() -> list[dict[str, Any]]:
    """Return rows for installing and for purging."""
    rows = []
    without(300)
    for operation in ("install", "purge"):
        if operation == "purge":
            with_first_version(300)
        for count, runs in ((1, 5), (10, 3), (100, 2), (300, 1)):
            names = toys(count)
            if operation == "install":
                asked = [f"{name}=1.0" for name in names]
                real = [
                    "dpkg",
                    "--no-triggers",
                    "--install",
                    *(f"{DEBS}/{name}_1.0_all.deb" for name in names),
                ]
            else:
                asked, real = names, ["dpkg", "--no-triggers", "--purge", *names]
            check(operation, asked)
            pairs = []
            for _ in range(runs):
                theirs = command_in_copy(real)
                pairs.append((check(operation, asked).engine_ms, theirs))
            rows.append(row(f"{operation} {count}", [one for one, _ in pairs], [other for _, other in pairs]))
    without(300)
    return rows
