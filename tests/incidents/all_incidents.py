# SPDX-License-Identifier: GPL-3.0-or-later
"""All incidents, and on which Debian each is played."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass

from incidents.incident import Incident
from testbed.trees import CODENAMES

MODULES = (
    "class_a_accounts",
    "class_b_wrong_path",
    "class_c_data",
    "class_d_other_packages",
    "class_e_upgrade",
    "class_f_links_and_mounts",
    "class_g_metadata",
    "class_h_plan",
    "class_i_somebody_else",
    "class_rest",
    "storage",
    "benign_cleaning_up",
    "benign_upgrades",
    "benign_system",
)

ALL: tuple[Incident, ...] = tuple(
    incident for module in MODULES for incident in importlib.import_module(f"incidents.{module}").INCIDENTS
)


# Played a second time on a machine with systemd, journal, and the daemon behind its socket.
ALSO_BOOTED = (
    "a plain removal by dpkg deletes the account whose home is the root directory",
    "an uninstaller walks into a volume of the network that is still mounted",
    "a removal takes the links away by which its service was enabled",
    "a service that is started after the installation will do what nobody rehearsed",
)


@dataclass(frozen=True)
class Play:
    """One incident on one Debian."""

    incident: Incident
    version: str
    booted: bool = False

    def __str__(self) -> str:
        return f"debian{self.version}{' booted' if self.booted else ''}: {self.incident.name}"


def _plays() -> tuple[Play, ...]:
    versions = sorted(CODENAMES)
    booted = [one for one in ALL if one.name in ALSO_BOOTED]
    if os.environ.get("APTGUARD_INCIDENTS") == "all":
        plays = [(one, version, False) for one in ALL for version in versions]
        plays += [(one, version, True) for one in booted for version in versions]
    else:
        plays = [(one, versions[number % len(versions)], False) for number, one in enumerate(ALL)]
        plays += [(one, versions[number % len(versions)], True) for number, one in enumerate(booted)]
    return tuple(Play(*one) for one in plays)


PLAYS = _plays()
