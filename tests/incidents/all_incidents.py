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
    "benign_cleaning_up",
    "benign_upgrades",
    "benign_system",
)

ALL: tuple[Incident, ...] = tuple(
    incident for module in MODULES for incident in importlib.import_module(f"incidents.{module}").INCIDENTS
)


@dataclass(frozen=True)
class Play:
    """One incident on one Debian."""

    incident: Incident
    version: str

    def __str__(self) -> str:
        return f"debian{self.version}: {self.incident.name}"


def _plays() -> tuple[Play, ...]:
    versions = sorted(CODENAMES)
    if os.environ.get("APTGUARD_INCIDENTS") == "all":
        return tuple(Play(incident, version) for incident in ALL for version in versions)
    return tuple(Play(incident, versions[number % len(versions)]) for number, incident in enumerate(ALL))


PLAYS = _plays()
