# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hooks add to a whole run of apt, by kind of transaction; the same run without them beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from inside import hooks
from inside.measure import apt, command, paired, quick_dpkg

DEBS = "/srv/testbed-repository"
TITLE = "A whole run of apt, with and without aptguard"
HOW = (
    "wall time of apt-get on one booted guest; hooks moved away and in place alternately; packages from"
    " a local repository; the daemon runs, except where it is said to start"
)


def toys(count: int) -> list[str]:
    """Return the names of the first toy packages."""
    return [f"toy-{number:03}" for number in range(1, count + 1)]


def without(count: int) -> None:
    """Let none of the toys be installed."""
    quick_dpkg("--purge", *toys(count))


def with_first_version(count: int) -> None:
    """Let the first version of the toys be installed."""
    quick_dpkg("--install", *(f"{DEBS}/{toy}_1.0_all.deb" for toy in toys(count)))


def run_with(programs: tuple[str, ...], prepare: Callable[[], None], argv: list[str]) -> float:
    """Prepare without any hooks, then time ``argv`` with those of ``programs``."""
    hooks.only()
    prepare()
    hooks.only(*programs)
    try:
        return command(argv)
    finally:
        hooks.only()


def measure() -> list[dict[str, Any]]:
    """Return the rows."""
    second = [f"{toy}=2.0" for toy in toys(30)]
    first = [f"{toy}=1.0" for toy in toys(30)]
    added_60 = {"aim": "added", "at_most": 60.0}
    half = {"aim": "ratio", "at_most": 1.5}
    kinds: tuple[tuple[str, int, Callable[[], None], list[str], dict[str, Any]], ...] = (
        ("install 1 toy", 7, lambda: without(1), apt("install", first[0]), added_60),
        ("install 30 toys", 3, lambda: without(30), apt("install", *first), added_60),
        ("install hello", 5, lambda: quick_dpkg("--purge", "hello"), apt("install", "hello"), added_60),
        ("upgrade 30 toys", 3, lambda: with_first_version(30), apt("install", *second), half),
        ("remove 1 toy", 5, lambda: with_first_version(1), apt("remove", toys(1)[0]), half),
        ("purge 10 toys", 5, lambda: with_first_version(10), apt("purge", *toys(10)), half),
    )
    without(30)
    rows = []
    for name, runs, prepare, argv, aim in kinds:
        run_with(("aptguard",), prepare, argv)  # the daemon has started, its index is built
        rows.append(
            paired(
                name,
                runs,
                lambda prepare=prepare, argv=argv: run_with(("aptguard",), prepare, argv),
                lambda prepare=prepare, argv=argv: run_with((), prepare, argv),
                **aim,
            )
        )

    def nobody_home() -> None:
        without(1)
        subprocess.run(["systemctl", "stop", "aptguard.service"], check=True, capture_output=True)

    argv = apt("install", first[0])
    rows.append(
        paired(
            "install 1 toy, the daemon starts",
            5,
            lambda: run_with(("aptguard",), nobody_home, argv),
            lambda: run_with((), nobody_home, argv),
        )
    )
    without(30)
    return rows
