# SPDX-License-Identifier: GPL-3.0-or-later
"""What an override and a pause are, and to which findings an override is bound; pure values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from aptguard.policy.finding import Finding
from aptguard.rehearsal.model import Unknown


class OverrideState(Enum):
    """Where an override stands; only GRANTED lets anything through, and only until it expires."""

    GRANTED = "granted"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Grantor:
    """Who granted or paused, as the daemon learnt it from the socket's peer.

    ``login_uid`` is None where the kernel has none; ``sudo_user`` and ``tty`` are what the caller's
    surroundings say and can be forged by root.
    """

    uid: int
    login_uid: int | None = None
    sudo_user: str | None = None
    tty: str | None = None

    @property
    def name(self) -> str:
        """Who that is, for reading."""
        if self.sudo_user:
            return f"{self.sudo_user} (sudo)"
        own = "root" if self.uid == 0 else f"uid {self.uid}"
        return own if self.login_uid in (None, self.uid) else f"{own} (logged in as uid {self.login_uid})"


@dataclass(frozen=True, slots=True)
class Override:
    """One leave to run one blocked transaction once.

    Times are UTC in seconds since the epoch. ``applied_at`` and ``applied_run`` say when, and in which run
    of apt, a hook was last told to go on because of it; ``used_at`` when that transaction had run.
    """

    number: int
    id: str
    fingerprint: str
    findings_digest: str
    granted_at: float
    expires_at: float
    reason: str
    grantor: Grantor
    state: OverrideState = OverrideState.GRANTED
    applied_at: float | None = None
    applied_run: str | None = None
    used_at: float | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Blocking is switched off from ``since`` to ``until`` (UTC, seconds since the epoch)."""

    since: float
    until: float
    reason: str
    grantor: Grantor


def findings_digest(findings: Iterable[Finding], unknowns: Iterable[Unknown] = ()) -> str:
    """Return the hex SHA-256 digest of what was found: the same for the same set in any order.

    It covers rule, subject, change, package and script of each finding, and what and where of each unknown:
    a transaction with one new finding has another digest. Sizes, counts, examples and wording are left out,
    because they change between two rehearsals of the same harm.
    """
    lines = {
        json.dumps(
            [
                "finding",
                finding.rule,
                _text(finding.path),
                finding.account,
                finding.subject_package,
                finding.change,
                finding.package,
                finding.script,
            ]
        )
        for finding in findings
    }
    lines |= {json.dumps(["unknown", unknown.what, _text(unknown.path)]) for unknown in unknowns}
    return hashlib.sha256("\n".join(sorted(lines)).encode("ascii")).hexdigest()


def _text(path: bytes | None) -> str | None:
    return None if path is None else path.decode("utf-8", "surrogateescape")
