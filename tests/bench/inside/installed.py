# SPDX-License-Identifier: GPL-3.0-or-later
"""Each installed package purged by itself: rehearsed, and really in a copy."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from aptguard.rehearsal.model import RehearsalRequest, Step
from aptguard.rehearsal.rehearse import rehearse
from inside.copies import command_in_copy
from inside.measure import ENVIRONMENT, row

TITLE = "Purge of each installed package, one by one"
HOW = (
    "rehearse() of dpkg --no-triggers --force-depends --purge and, right before it, the same call in a "
    "fresh overlay; a package that dpkg refuses is left out of both; one pair for each package"
)
_OPTIONS = ("--no-triggers", "--force-depends", "--force-remove-protected", "--purge")


def measure() -> list[dict[str, Any]]:
    """Return one row with a pair for each package."""
    query = ["dpkg-query", "--show", "--showformat", "${binary:Package} ${Essential} ${db:Status-Status}\n"]
    listed = subprocess.run(query, check=True, capture_output=True, text=True).stdout.split("\n")
    packages = [
        line.split()[0]
        for line in listed
        if line.endswith(" no installed") and line.split()[0] not in ("aptguard", "boom")
    ]
    environment = {os.fsencode(name): os.fsencode(value) for name, value in ENVIRONMENT.items()}
    ours, peer, refused = [], [], []
    for package in packages:
        try:
            real = command_in_copy(["dpkg", *_OPTIONS, package])
        except RuntimeError:
            refused.append(package)
            continue
        step = Step((b"/usr/bin/dpkg", *(option.encode() for option in _OPTIONS), package.encode()))
        started = time.perf_counter()
        result = rehearse(RehearsalRequest((step,), environment))
        milliseconds = (time.perf_counter() - started) * 1000
        if not result.complete:
            refused.append(f"{package} (only in the rehearsal)")
            continue
        ours.append(milliseconds)
        peer.append(real)
    note = f"{len(ours)} packages" + (f"; refused: {', '.join(refused[:6])}" if refused else "")
    return [row("every package that is not essential", ours, peer, aim="ours", at_most=250.0, note=note)]
