# SPDX-License-Identifier: GPL-3.0-or-later
"""Time to verdict for a purge of real packages, beside the real purge in a copy."""

from __future__ import annotations

import os
from typing import Any

from inside.apt_runs import DEBS
from inside.copies import command_in_copy
from inside.engine import check
from inside.measure import quick_dpkg, row

TITLE = "Time to verdict for a purge, beside the real dpkg --purge"
HOW = (
    "the engine's time in `aptguard check purge` (without apt's planning) and, in alternation, dpkg "
    "--purge of the same in a fresh overlay; that one with --no-triggers, but where triggers are named: "
    "there dpkg runs them as well, as the rehearsal does"
)
_LARGE = ("libboost1.74-dev", "libboost1.83-dev")


def measure() -> list[dict[str, Any]]:
    """Return two rows for each package: the engine, and the whole command."""
    large = next(
        name
        for name in _LARGE
        if os.path.exists(f"/var/lib/dpkg/info/{name}.list")
        or os.path.exists(f"/var/lib/dpkg/info/{name}:amd64.list")
    )
    rows = []
    for size, package, runs in (("small", "hello", 7), ("middle", "manpages-dev", 5), ("large", large, 3)):
        check("purge", [package])
        pairs = []
        for _ in range(runs):
            real = command_in_copy(["dpkg", "--no-triggers", "--purge", package])
            pairs.append((check("purge", [package]), real))
        files = _files(package)
        name = f"{size}: {package}, {files} files"
        theirs = [real for _, real in pairs]
        rows.append(row(name, [one.engine_ms for one, _ in pairs], theirs))
        rows.append(row(f"{name}, whole command", [one.command_ms for one, _ in pairs], theirs))
    return [*rows, _with_triggers()]


def _with_triggers() -> dict[str, Any]:
    """Purge a package that fires a trigger of another, whose script then copies /usr/share/doc."""
    names = ("toy-index", "toy-fires")
    quick_dpkg("--install", *(f"{DEBS}/{name}_1.0_all.deb" for name in names))
    try:
        check("purge", ["toy-fires"])
        pairs = []
        for _ in range(7):
            real = command_in_copy(["dpkg", "--purge", "toy-fires"])
            pairs.append((check("purge", ["toy-fires"]), real))
        runs = [one.engine_ms for one, _ in pairs]
        return row("toy with a trigger of another package", runs, [real for _, real in pairs])
    finally:
        quick_dpkg("--purge", *names)


def _files(package: str) -> int:
    for name in (package, f"{package}:amd64"):
        if os.path.exists(f"/var/lib/dpkg/info/{name}.list"):
            with open(f"/var/lib/dpkg/info/{name}.list", "rb") as file:
                return sum(1 for _ in file)
    raise RuntimeError(f"{package} has no file list")
