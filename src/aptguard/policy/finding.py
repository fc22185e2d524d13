# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judgement says, as values; standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aptguard.rehearsal.model import Unknown


class Verdict(Enum):
    """The outcome; nothing that failed may ever end as ALLOW."""

    ALLOW = "allow"
    BLOCK = "block"
    UNKNOWN = "unknown"


class Severity(Enum):
    """How much a rule matters."""

    BLOCK = "block"
    WARN = "warn"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not happen, said so that it can be shown.

    Exactly one of ``path``, ``account`` and ``subject_package`` says what it is about. ``change`` is a value
    of changes.Kind or a word for accounts and packages. A finding about a subtree has ``path`` of its top,
    ``count`` of paths in it, ``size`` in bytes and up to ten ``examples``, newest data first.
    ``origin`` says where the rule is written (``FILE:LINE``).
    """

    rule: str
    severity: Severity
    reason: str
    change: str
    path: bytes | None = None
    account: str | None = None
    subject_package: str | None = None
    package: str | None = None
    script: str | None = None
    command: tuple[bytes, ...] = ()
    count: int = 1
    size: int = 0
    newest_mtime_ns: int | None = None
    examples: tuple[bytes, ...] = ()
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict with its reasons."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    unknowns: tuple[Unknown, ...]
