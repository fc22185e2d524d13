# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit has found, as values; standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aptguard.policy.finding import Finding
from aptguard.rehearsal.model import Unknown


class Outcome(Enum):
    """What the purge would do."""

    HARMLESS = "harmless"
    LAND_MINE = "land-mine"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A package that could be purged; ``status`` is the third word of dpkg's status."""

    package: str
    architecture: str
    version: str
    status: str

    @property
    def name(self) -> str:
        """The name with architecture."""
        return f"{self.package}:{self.architecture}"


@dataclass(frozen=True, slots=True)
class Audited:
    """One candidate with what its purge would do: the harmful findings, or why it is not known."""

    candidate: Candidate
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    unknowns: tuple[Unknown, ...] = ()
