# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's figures: made from the newest kept run by ``make bench-readme``, and held to it by a test."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench import kept, tables

README = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "README.md"
)
BEGIN, END = "<!-- figures: make bench-readme -->\n", "<!-- end of figures -->\n"
# Question, beginning of the case, and how the README calls it and its peer.
LINES = (
    ("apt_runs", "install 1 toy", "`apt-get install` of one small package, guarded", "without aptguard"),
    ("apt_runs", "install 30 toys", "`apt-get install` of 30 small packages, guarded", "without aptguard"),
    ("apt_runs", "purge 10 toys", "`apt-get purge` of 10 small packages, guarded", "without aptguard"),
    ("other_hooks", "apt-listbugs", "the first with apt-listbugs instead", "without any hook"),
    ("other_hooks", "etckeeper", "the first with etckeeper instead", "without any hook"),
    ("other_hooks", "needrestart", "the first with needrestart instead", "without any hook"),
    ("verdicts", "small", "verdict on a purge of {} files", "the real `dpkg --purge`"),
    ("verdicts", "middle", "verdict on a purge of {} files", "the real `dpkg --purge`"),
    ("verdicts", "large", "verdict on a purge of {} files", "the real `dpkg --purge`"),
    ("flood", "400000", "verdict on `rm -rf /*` with 400 000 files", "that `rm`, in a copy"),
    ("start", "started ahead", "an empty rehearsal", "bwrap with an overlay"),
    ("piuparts", "purge of 1 toy", "is this purge safe? (`aptguard check`)", "piuparts"),
    ("memory", "at rest, after one", "the daemon's memory at rest", "an idle `python3`"),
    ("memory", "peak", "its peak, a purge of 100 packages", "an idle `python3`"),
)


def section(run: dict[str, Any]) -> str:
    """Return the README's lines for a kept run: medians, the ratio of pairs, and the quartiles."""
    rows = [line for one in LINES if (line := _line(run, *one))]
    debian = f"Debian {run['debian']}"
    return "\n".join(
        [
            f"Measured on {run['when']} in a booted guest ({debian}) on",
            f"{run['machine']}:",
            "medians, the ratio of pairs that were measured alternately, and quartiles of the first column.",
            "",
            "| | measured | peer | ratio | quartiles |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _line(run: dict[str, Any], question: str, case: str, name: str, peer: str) -> str | None:
    for row in run["questions"].get(question, {"rows": ()})["rows"]:
        if not row["case"].startswith(case) or "whole command" in row["case"]:
            continue
        found = tables.figures(row)
        if found["ours"] is None or found["peer"] is None or found["ratio"] is None:
            return None
        unit = row.get("unit", "ms")
        files = re.search(r"(\d+) files", row["case"])
        cells = (
            name.format(files[1] if files else ""),
            _number(found["ours"], unit),
            f"{_number(found['peer'], unit)} ({peer})",
            f"{found['ratio']:.2f}",
            f"{_number(found['low'], '')}to {_number(found['high'], '')}".strip(),
        )
        return f"| {' | '.join(cells)} |"
    return None


def _number(value: float, unit: str) -> str:
    if unit != "MiB" and value >= 10_000:
        return f"{value:.0f} {unit}"
    return f"{value:.4g} {unit}"


def replaced(text: str, run: dict[str, Any]) -> str:
    """Return the README's ``text`` with the figures of ``run``; ValueError where it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the line {BEGIN.strip()} or {END.strip()}")
    return before + begin + section(run) + end + after


def main() -> None:
    """Write the newest kept figures into the README."""
    run = kept.newest()
    if run is None:
        sys.exit("nothing is kept: make bench BENCH_ARGUMENTS=--keep")
    with open(README, encoding="utf-8") as file:
        text = file.read()
    with open(README, "w", encoding="utf-8") as file:
        file.write(replaced(text, run))


if __name__ == "__main__":
    main()
