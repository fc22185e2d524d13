# SPDX-License-Identifier: GPL-3.0-or-later
"""Which severity and wording a built-in check has under a policy; standard library only."""

from __future__ import annotations

from aptguard.policy.checks import DEFAULT_CHECKS
from aptguard.policy.model import CheckSetting, Policy


def check_setting(policy: Policy, name: str) -> CheckSetting:
    """Return the setting of the check ``name`` that is in force; KeyError when there is no such check."""
    return policy.checks.get(name) or DEFAULT_CHECKS[name]
