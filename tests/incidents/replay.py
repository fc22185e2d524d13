# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges a recording again, far from the machine that it was made on."""

from __future__ import annotations

import functools
import os
import tempfile
from dataclasses import replace

from aptguard.guard.recording import Recording
from aptguard.policy.finding import Judgement
from aptguard.policy.layers import PolicyPaths
from aptguard.policy.load import load_policy
from aptguard.policy.model import Policy

SHIPPED = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
    "src",
    "aptguard",
    "policy",
    "shipped",
)


@functools.cache
def shipped_policy() -> Policy:
    """Return the rules that aptguard comes with."""
    with tempfile.TemporaryDirectory(prefix="aptguard-policy-") as nothing:
        paths = PolicyPaths(SHIPPED, f"{nothing}/no.toml", nothing, f"{nothing}/last-valid")
        loaded = load_policy(paths)
    assert not loaded.problems, [problem.sentence() for problem in loaded.problems]
    return loaded.policy


def judged_by_the_shipped_policy(recording: Recording) -> Judgement:
    """Return what the rules that aptguard comes with say of the recorded transaction."""
    return without_directories(recording.judged_again(shipped_policy()))


def without_directories(judgement: Judgement) -> Judgement:
    """Return the judgement with rules named by file and line only, wherever the file lies."""
    return replace(
        judgement,
        findings=tuple(replace(one, origin=os.path.basename(one.origin)) for one in judgement.findings),
    )
