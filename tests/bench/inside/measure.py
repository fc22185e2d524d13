# SPDX-License-Identifier: GPL-3.0-or-later
"""Timing of commands, alternately with and without what is measured; standard library only."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "TERM": "dumb",
}

Timed = Callable[[], float]


def command(argv: Sequence[str], *, accept: tuple[int, ...] = (0,), input: str | None = None) -> float:
    """Run ``argv`` and return its milliseconds; raises RuntimeError for any other exit status."""
    started = time.perf_counter()
    done = subprocess.run(
        argv,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=ENVIRONMENT,
        cwd="/",
        check=False,
    )
    milliseconds = (time.perf_counter() - started) * 1000
    if done.returncode not in accept:
        raise RuntimeError(f"{' '.join(argv)[:300]} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return milliseconds


def row(case: str, ours: Sequence[float], peer: Sequence[float] | None, **more: Any) -> dict[str, Any]:
    """Return one line of a table: milliseconds of each run, the n-th of both being a pair."""
    return {
        "case": case,
        "ours": [round(x, 3) for x in ours],
        "peer": peer and [round(x, 3) for x in peer],
        **more,
    }


def paired(case: str, runs: int, ours: Timed, peer: Timed, **more: Any) -> dict[str, Any]:
    """Return the row of ``runs`` pairs, the peer first and then alternately, so that both see one machine."""
    pairs = []
    for _ in range(runs):
        theirs = peer()
        pairs.append((ours(), theirs))
    return row(case, [one for one, _ in pairs], [other for _, other in pairs], **more)


def apt(*words: str) -> list[str]:
    """Return apt-get's command line for a run that asks nothing."""
    return ["apt-get", "-q", "-y", "--no-install-recommends", *words]


def quick_dpkg(*words: str) -> None:
    """Bring packages into the state that a run begins with, without waiting for the disk."""
    command(["dpkg", "--force-all", "--force-unsafe-io", *words])
