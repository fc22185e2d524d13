# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of test groups (groups.toml), and what pytest said of one of them."""

from __future__ import annotations

import glob
import os
import re
import tomllib
from dataclasses import dataclass

from testbed.server import PROJECT

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "groups.toml")
_COUNTS = re.compile(r"(\d+) (passed|failed|skipped|errors?|rerun|xfailed|xpassed)\b")


@dataclass(frozen=True, slots=True)
class Group:
    """Test files that run together; with ``boot`` on a machine of their own, ``serial`` in one process.

    ``by_file``: the tests of a file one after the other, as they ask for something of the whole machine.
    """

    name: str
    tests: tuple[str, ...]
    boot: bool = False
    serial: bool = False
    only_own_version: bool = False
    by_file: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many tests of a group passed, failed and were skipped, and what is to be read of it."""

    passed: int
    failed: int
    skipped: int
    lines: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether something was tested and nothing failed."""
        return self.failed == 0 and self.passed > 0


def groups() -> tuple[Group, ...]:
    """Return the groups of the list, file patterns resolved.

    :raises ValueError: a pattern fits no file, so that the list is out of date.
    """
    with open(LIST, "rb") as file:
        listed = tomllib.load(file)["group"]
    found = []
    for group in listed:
        tests: list[str] = []
        for pattern in group["tests"]:
            fitting = sorted(glob.glob(pattern, root_dir=PROJECT))
            if not fitting:
                raise ValueError(f"{LIST}: no file fits {pattern!r} of the group {group['name']!r}")
            tests += (name for name in fitting if name not in tests)
        flags = {name: group.get(name, False) for name in ("boot", "serial", "only_own_version", "by_file")}
        found.append(Group(group["name"], tuple(tests), **flags))
    return tuple(found)


def outcome(status: int, text: str) -> Outcome:
    """Return what pytest's output says; a run that ended without its last line is one failure."""
    lines = text.splitlines()
    told = tuple(line for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED", "RERUN")))
    last = next((line for line in reversed(lines) if re.search(r" in \d+[.\d]*s\b", line)), "")
    counts = {what.rstrip("s"): int(number) for number, what in _COUNTS.findall(last)}
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("xpassed", 0)
    if status not in (0, 1, 5) or (status == 1 and not failed):
        failed += 1
        told += (f"pytest ended with {status}", *lines[-40:])
    return Outcome(counts.get("passed", 0), failed, counts.get("skipped", 0), told)
