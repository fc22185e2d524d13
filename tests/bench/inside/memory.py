# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of the daemon at rest, and of daemon and helper at the peak of a rehearsal of 100 packages."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from typing import Any

from inside.apt_runs import toys, with_first_version, without
from inside.engine import check
from inside.measure import row

TITLE = "Memory"
HOW = (
    "proportional set size (PSS, /proc/PID/smaps_rollup) of all Python processes in the service's "
    "control group, every 20 ms; without the upper layer, which is a tmpfs, and without dpkg and the "
    "scripts; the peer is python3 -SI, waiting"
)


def measure() -> list[dict[str, Any]]:
    """Return rows in MiB."""
    with_first_version(100)
    subprocess.run(["systemctl", "stop", "aptguard.service"], check=True, capture_output=True)
    stopped = _sum()
    check("purge", toys(1))
    time.sleep(0.5)
    first = [_sum()]
    at_rest, peaks = [], []
    for _ in range(3):
        peaks.append(_peak())
        time.sleep(0.5)
        at_rest.append(_sum())
    python = [_bare_python() for _ in range(3)]
    without(100)
    return [
        row("not running", [stopped], None, unit="MiB"),
        row("at rest, after one small transaction", first, python[:1], unit="MiB", aim="ours", at_most=40.0),
        row("at rest, after 100 packages", at_rest, python, unit="MiB", aim="ours", at_most=40.0),
        row("peak, purge of 100 packages", peaks, python, unit="MiB", aim="ours", at_most=200.0),
    ]


def _peak() -> float:
    stop = threading.Event()
    seen = [0.0]

    def sample() -> None:
        while not stop.is_set():
            seen.append(_sum())
            time.sleep(0.02)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        check("purge", toys(100))
    finally:
        stop.set()
        thread.join()
    return max(seen)


def _sum() -> float:
    show = ["systemctl", "show", "--property=ControlGroup", "--value", "aptguard.service"]
    group = subprocess.run(show, check=True, capture_output=True, text=True).stdout.strip()
    total = 0.0
    for directory, _, _ in os.walk(f"/sys/fs/cgroup{group}") if group else ():
        with open(f"{directory}/cgroup.procs", encoding="ascii") as file:
            total += sum(_pss(int(line)) for line in file)
    return total


def _pss(pid: int) -> float:
    try:
        if not os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("python"):
            return 0.0
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0.0


def _bare_python() -> float:
    with subprocess.Popen(["/usr/bin/python3", "-SI", "-c", "input()"], stdin=subprocess.PIPE) as process:
        time.sleep(0.3)
        used = _pss(process.pid)
        assert process.stdin is not None
        process.stdin.write(b"\n")
    return used
