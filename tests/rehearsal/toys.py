# SPDX-License-Identifier: GPL-3.0-or-later
"""A toy package with a careless postrm: installed on a throw-away machine, its purge rehearsed there."""

from __future__ import annotations

from pathlib import Path

from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import Limits, RehearsalResult
from aptguard.transaction.model import Action, Item, Transaction
from packages.builder import build_deb
from rehearsal.machine import LIMITS, Machine


def rehearse_purge(
    machine: Machine,
    directory: Path,
    postrm: str,
    *,
    limits: Limits = LIMITS,
    stop_patterns: tuple[bytes, ...] = (),
) -> RehearsalResult:
    """Install a package whose ``postrm purge`` runs ``postrm``, and rehearse its purge with real dpkg."""
    script = f'case "$1" in\npurge)\n{postrm}\n;;\nesac'
    machine.install(build_deb(directory / "debs", "toy", scripts={"postrm": script}))
    item = Item("toy", "all", Action.PURGE, old_version="1.0")
    calls = steps(Transaction("apt-get", (item,)), triggers=False)
    return machine.rehearse(*calls, limits=limits, stop_patterns=stop_patterns)


def deleted_by_script(result: RehearsalResult) -> set[bytes]:
    """Return what the toy's ``postrm purge`` deleted, by what is said of who did it."""
    return {
        change.path
        for change in result.changes
        if change.deleted
        and change.cause is not None
        and (change.cause.package, change.cause.script) == ("toy", "postrm purge")
    }
