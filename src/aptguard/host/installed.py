# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the installed packages."""

from __future__ import annotations

from aptguard.host.dpkg_database import DpkgDatabase, DpkgDatabaseError
from aptguard.host.status_file import PRESENT


def installed_packages() -> frozenset[str] | None:
    """Return the packages that have files here, by name; None where dpkg's status cannot be read."""
    try:
        states = DpkgDatabase().states()
    except (DpkgDatabaseError, OSError):
        return None
    return frozenset(package for (package, _), state in states.items() if state.status in PRESENT)
