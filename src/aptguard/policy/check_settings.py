# SPDX-License-Identifier: GPL-3.0-or-later
"""Which severity and wording a built-in check has under a policy; standard library only."""

from __future__ import annotations

from aptguard.policy.checks import BUILT_IN, DEFAULT_CHECKS
from aptguard.policy.finding import Severity
from aptguard.policy.model import CheckSetting, Policy

# Checks of the judge that a policy file cannot set yet.
_FURTHER = {
    check.name: check
    for check in (
        CheckSetting(
            "local-edit",
            Severity.BLOCK,
            "A file in /etc that was edited on this machine would be overwritten or deleted without a copy, "
            "because its package does not declare it as a configuration file.",
            BUILT_IN,
        ),
        CheckSetting(
            "protected-package",
            Severity.BLOCK,
            "The transaction takes away a package that this machine needs to boot or to be repaired.",
            BUILT_IN,
        ),
        CheckSetting(
            "deferred-execution",
            Severity.WARN,
            "A script puts a file where it will be executed or obeyed later, and no package lists it.",
            BUILT_IN,
        ),
    )
}


def check_setting(policy: Policy, name: str) -> CheckSetting:
    """Return the setting of the check ``name`` that is in force; KeyError when there is no such check."""
    found = policy.checks.get(name) or DEFAULT_CHECKS.get(name)
    return found if found is not None else _FURTHER[name]
