# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of measurements as text: medians, ratio and difference of pairs, spread, aim, and the earlier run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

# Not each row measures aptguard: some are of the hooks of others.
_HEAD = ("", "measured", "peer", "added", "ratio", "spread", "p95", "runs", "aim", "earlier")


def figures(row: dict[str, Any]) -> dict[str, float | None]:
    """Return what a row says: medians, the median of the pairs' differences and ratios, quartiles, p95."""
    ours: Sequence[float] = row["ours"]
    peer: Sequence[float] = row["peer"] or ()
    found: dict[str, float | None] = dict.fromkeys(("ours", "peer", "added", "ratio", "low", "high", "p95"))
    if not ours:
        return found
    found["ours"] = statistics.median(ours)
    found["low"], found["high"] = _quantile(ours, 0.25), _quantile(ours, 0.75)
    found["p95"] = _quantile(ours, 0.95)
    if peer:
        found["peer"] = statistics.median(peer)
        if len(peer) == len(ours):
            pairs = list(zip(ours, peer, strict=True))
            found["added"] = statistics.median(one - other for one, other in pairs)
            found["ratio"] = statistics.median(one / other for one, other in pairs)
        else:
            found["ratio"] = found["ours"] / found["peer"]
    return found


def met(row: dict[str, Any]) -> bool | None:
    """Whether the row's aim is met; None when it has none or was not measured."""
    value = figures(row)[row["aim"]] if "aim" in row else None
    return None if value is None else bool(value <= row["at_most"])


def table(name: str, question: dict[str, Any], earlier: dict[str, Any] | None) -> str:
    """Return the table of one question."""
    lines = [list(_HEAD)]
    notes = []
    for row in question["rows"]:
        lines.append(_line(row, _same(name, row, earlier)))
        if row.get("note"):
            notes.append(f"  {row['case']}: {row['note']}")
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    text = [f"{name}: {question['title']}", f"  measured: {question['how']}", ""]
    for line in lines:
        first, *rest = line
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        text.append(f"  {first.ljust(widths[0])}  {'  '.join(cells)}".rstrip())
    return "\n".join([*text, *notes])


def _line(row: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    unit = row.get("unit", "ms")
    now = figures(row)
    aim = ""
    if "aim" in row and now[row["aim"]] is not None:
        what = {"ours": "", "added": "+", "ratio": "x"}[row["aim"]]
        aim = f"{what}{row['at_most']:g} {'met' if met(row) else 'MISSED'}"
    past = ""
    if before is not None and (was := figures(before))["ours"] is not None:
        past = _number(was["ours"], unit) + (f" x{was['ratio']:.2f}" if was["ratio"] is not None else "")
    low, high = now["low"], now["high"]
    spread = "" if low is None or high is None else f"{_plain(low)}-{_plain(high)}"
    return [
        row["case"],
        _number(now["ours"], unit),
        _number(now["peer"], unit),
        _number(now["added"], unit, sign="+"),
        "" if now["ratio"] is None else f"{now['ratio']:.2f}",
        spread,
        _number(now["p95"], unit),
        str(len(row["ours"])),
        aim,
        past,
    ]


def _number(value: float | None, unit: str, *, sign: str = "") -> str:
    if value is None:
        return ""
    return f"{_plain(value, sign)} {unit}"


def _plain(value: float, sign: str = "") -> str:
    digits = 0 if abs(value) >= 100 else 1
    return f"{value:{sign}.{digits}f}"


def _same(name: str, row: dict[str, Any], earlier: dict[str, Any] | None) -> dict[str, Any] | None:
    question = (earlier or {}).get("questions", {}).get(name, {"rows": ()})
    return next((one for one in question["rows"] if one["case"] == row["case"]), None)


def _quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
