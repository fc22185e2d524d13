# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as `aptguard check` uses it: whole command, and the engine's own share of it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from inside.measure import ENVIRONMENT


@dataclass(frozen=True)
class Verdict:
    """One answer: milliseconds of the whole command, of the engine, and the verdict."""

    command_ms: float
    engine_ms: float
    verdict: str
    stages: dict[str, float]


def check(operation: str, names: Sequence[str], *, expect: str = "allow") -> Verdict:
    """Return what ``aptguard check`` says; RuntimeError when that is not ``expect``."""
    started = time.perf_counter()
    done = subprocess.run(
        ["aptguard", "check", operation, *names, "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    seconds = time.perf_counter() - started
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"aptguard check {operation}: {done.stderr[-2000:]}") from None
    if report["verdict"] != expect:
        raise RuntimeError(f"aptguard check {operation} {names[0]}: {done.stdout[:3000]}")
    stages = report["timing"]
    engine = sum(value for name, value in stages.items() if not name.startswith("rehearse."))
    return Verdict(seconds * 1000, engine * 1000, report["verdict"], stages)
