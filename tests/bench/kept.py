# SPDX-License-Identifier: GPL-3.0-or-later
"""Earlier runs, kept to compare with: tests/bench/kept/DATE.json. They name no machine."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kept")


def newest() -> dict[str, Any] | None:
    """Return the latest kept run, None when there is none."""
    names = (
        sorted(name for name in os.listdir(DIRECTORY) if name.endswith(".json"))
        if os.path.isdir(DIRECTORY)
        else []
    )
    if not names:
        return None
    with open(os.path.join(DIRECTORY, names[-1]), encoding="utf-8") as file:
        run: dict[str, Any] = json.load(file)
    return run


def keep(run: dict[str, Any]) -> str:
    """Write ``run`` among the kept ones and return where.

    A second one of a day takes the place of the first, question by question.
    """
    os.makedirs(DIRECTORY, exist_ok=True)
    path = os.path.join(DIRECTORY, f"{run['when']}.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            run = {**run, "questions": {**json.load(file)["questions"], **run["questions"]}}
    with open(path, "w", encoding="utf-8") as file:
        # One row a line: a change of one figure is a change of one line.
        rows = {
            name: [json.dumps(one) for one in question["rows"]] for name, question in run["questions"].items()
        }
        file.write("{\n")
        for key in ("when", "machine", "debian", "root", "minutes"):
            file.write(f" {json.dumps(key)}: {json.dumps(run[key])},\n")
        file.write(' "questions": {\n')
        parts = []
        for name, question in run["questions"].items():
            head = f'  {json.dumps(name)}: {{"title": {json.dumps(question["title"])},\n'
            head += f'   "how": {json.dumps(question["how"])},\n   "rows": [\n    '
            parts.append(head + ",\n    ".join(rows[name]) + "\n   ]}")
        file.write(",\n".join(parts) + "\n }\n}\n")
    return path


def machine_words() -> str:
    """Return what kind of machine this is, in words."""
    with open("/proc/meminfo", encoding="ascii") as file:
        gibibytes = int(file.readline().split()[1]) >> 20
    release = ".".join(platform.release().split(".")[:2])
    cores = len(os.sched_getaffinity(0))
    python = platform.python_version()
    words = f"{cores} cores {platform.machine()}, {gibibytes} GiB, Linux {release}, Python {python}"
    # Others' work on the same cores: then only ratios mean something.
    return f"{words}, load {os.getloadavg()[1]:.0f} before"
