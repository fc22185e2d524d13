# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy that can be used, and where it comes from; standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aptguard.policy.model import Policy
from aptguard.policy.problem import PolicyProblem


class Basis(Enum):
    """Where the policy in force comes from."""

    FILES = "files"  # all files are valid
    LAST_VALID = "last valid"  # the copy of the policy from before a file was broken
    VENDOR = "vendor"  # the shipped files alone
    BUILT_IN = "built-in"  # not even those


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy that can be used, always; ``degraded`` when it is not what the files say, for ``problems``."""

    policy: Policy
    problems: tuple[PolicyProblem, ...] = ()
    degraded: bool = False
    basis: Basis = Basis.FILES
