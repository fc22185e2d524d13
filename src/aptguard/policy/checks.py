# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in checks of the judge: their names, what they mean, and how much they matter by default.

Standard library only. A policy may set ``[check.NAME]`` for these names and no others.
"""

from __future__ import annotations

from aptguard.policy.finding import Severity
from aptguard.policy.model import CheckSetting

BUILT_IN = "built-in"  # the origin of what no file says

_EXPLANATIONS: tuple[tuple[str, str], ...] = (
    ("foreign-file", "A file that belongs to another installed package would be deleted or altered."),
    (
        "unowned-file",
        "A file that belongs to no package would be deleted or altered; it may be somebody's data.",
    ),
    (
        "top-level-directory",
        "A directory at the top of the file system would vanish, or change its type, mode or owner.",
    ),
    (
        "account-home",
        "An account has / or a protected directory as its home, so that removing the account deletes it.",
    ),
    (
        "account-lost",
        "An account or a group would vanish or change its number; files it owns would be nobody's.",
    ),
    ("lost-payload", "A file that an installed package lists would be missing afterwards."),
    (
        "remove-deletes-data",
        "Removing a package, without purging it, would delete data that it should leave.",
    ),
    (
        "local-edit",
        "A configuration file edited on this machine would be overwritten or deleted without a copy.",
    ),
    (
        "protected-package",
        "The transaction takes away a package that this machine needs to boot or to be repaired.",
    ),
    (
        "mass-removal",
        "Many packages would go that nobody has named: one that conflicts with half of the machine, perhaps.",
    ),
    (
        "foreign-owner",
        "A file that a package brings would belong to a person's account, by the number it was built with.",
    ),
    (
        "mounted-data",
        "Files would be deleted on a file system that somebody mounted inside the package's directory.",
    ),
    (
        "deferred-execution",
        "A script puts a file where it will be executed or obeyed later, and no package lists it.",
    ),
    (
        "added-file",
        "A file that somebody has put into the package's directory in /etc would be deleted with it.",
    ),
    (
        "attempt",
        "A script tried to do harm and was stopped by the rehearsal; the real run would not stop it.",
    ),
)

_WARNINGS = frozenset({"added-file", "deferred-execution"})

DEFAULT_CHECKS: dict[str, CheckSetting] = {
    name: CheckSetting(
        name=name,
        severity=Severity.WARN if name in _WARNINGS else Severity.BLOCK,
        explanation=explanation,
        origin=BUILT_IN,
    )
    for name, explanation in _EXPLANATIONS
}

CHECK_NAMES: frozenset[str] = frozenset(DEFAULT_CHECKS)
