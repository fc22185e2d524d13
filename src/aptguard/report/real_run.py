# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of an approved transaction, for every view. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from aptguard.report.model import Divergence, DivergenceKind, RealRun, RunEnd
from aptguard.report.quantity import moment, number
from aptguard.shown import shown

_LINES = 30

# Whether it must be looked at: what came to its end as expected, or did not begin, needs nobody.
ALARMING = frozenset({RunEnd.DIVERGED, RunEnd.HALF_WAY})


def real_run_lines(run: RealRun, *, most: int = _LINES) -> Iterator[str]:
    """Yield the lines of the section ``Real run``."""
    yield f"{run.end.value}, {moment(run.time)}: {shown(run.reason)}"
    for divergence in run.divergences[:most]:
        yield f"  {divergence.kind.value.upper():<11} {divergence_subject(divergence)}"
        yield f"              {shown(divergence.reason)}"
    left = len(run.divergences) - most
    if left > 0:
        yield f"  and {number(left)} more"
    if run.paths or run.omitted:
        rest = f", {number(run.omitted)} left out" if run.omitted else ""
        yield f"{number(run.paths)} paths compared{rest}"


def divergence_subject(divergence: Divergence) -> str:
    """Return what a divergence is about, escaped."""
    if divergence.path is None:
        return f"package {shown(divergence.package or '')}"
    return shown(divergence.path)


def real_run_as_plain(run: RealRun | None) -> dict[str, Any] | None:
    """Return the JSON object of a run; None where there was none."""
    if run is None:
        return None
    time = datetime.fromtimestamp(run.time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "time": time,
        "end": run.end.value,
        "reason": shown(run.reason),
        "divergences": [_divergence(one) for one in run.divergences],
        "paths": run.paths,
        "omitted": run.omitted,
    }


def is_grave(run: RealRun) -> bool:
    """Whether something is gone that was to stay."""
    return any(one.kind is DivergenceKind.GONE for one in run.divergences)


def _divergence(divergence: Divergence) -> dict[str, Any]:
    plain = {
        "kind": divergence.kind.value,
        "reason": shown(divergence.reason),
        "path": None if divergence.path is None else shown(divergence.path),
        "package": divergence.package,
    }
    return {key: value for key, value in plain.items() if value is not None}
