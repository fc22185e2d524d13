# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures for the textfile collector of Prometheus' node exporter. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format; the directory is that of
Debian's package prometheus-node-exporter.
"""

from __future__ import annotations

from collections.abc import Iterator

from aptguard import __version__
from aptguard.alerts.standing import Standing
from aptguard.policy.finding import Verdict

DIRECTORY = "/var/lib/prometheus/node-exporter"
FILE = "aptguard.prom"


def metrics_text(standing: Standing, *, dormant: int, mode: str) -> str:
    """Return the file's text; ``dormant`` counts the dangers lying dormant, ``mode`` is the policy's."""
    return "\n".join(_lines(standing, dormant, mode)) + "\n"


def _lines(standing: Standing, dormant: int, mode: str) -> Iterator[str]:
    yield from _metric("info", "gauge", "Version and mode of the guard; the value is always 1.")
    yield f'aptguard_info{{version="{__version__}",mode="{mode}"}} 1'
    yield from _metric("verdicts_total", "counter", "Judged transactions by verdict.")
    for verdict in Verdict:
        yield f'aptguard_verdicts_total{{verdict="{verdict.value}"}} {standing.counts.get(verdict.value, 0)}'
    yield from _metric("stopped_total", "counter", "Transactions that were stopped.")
    yield f"aptguard_stopped_total {standing.stopped}"
    yield from _metric("judgement_seconds", "summary", "How long judging a transaction took.")
    yield f"aptguard_judgement_seconds_sum {standing.seconds:.3f}"
    yield f"aptguard_judgement_seconds_count {sum(standing.counts.values())}"
    if standing.last_time is not None:
        yield from _metric("last_run_timestamp_seconds", "gauge", "When a transaction was judged last.")
        yield f"aptguard_last_run_timestamp_seconds {standing.last_time:.0f}"
        yield from _metric("last_run_seconds", "gauge", "How long that took.")
        yield f"aptguard_last_run_seconds {standing.last_seconds:.3f}"
        yield from _metric("last_run_verdict", "gauge", "The verdict of that: 1 for the one it was.")
        for verdict in Verdict:
            was = int(standing.last_verdict == verdict.value)
            yield f'aptguard_last_run_verdict{{verdict="{verdict.value}"}} {was}'
    yield from _metric("unseen_blocks", "gauge", "Stopped transactions that nobody has looked at.")
    yield f"aptguard_unseen_blocks {len(standing.unseen)}"
    yield from _metric("dormant_dangers", "gauge", "Dangers lying dormant, such as an account with home /.")
    yield f"aptguard_dormant_dangers {dormant}"
    yield from _metric("degraded", "gauge", "Reasons why the guard does not work in full.")
    yield f"aptguard_degraded {len(standing.degraded)}"
    # A time and not a yes or no, which would still say yes when the pause is over and nothing has run since.
    help_text = "When the pause ends; blocking is off while this lies in the future, 0 without a pause."
    yield from _metric("paused_until_timestamp_seconds", "gauge", help_text)
    yield f"aptguard_paused_until_timestamp_seconds {standing.paused_until or 0:.0f}"


def _metric(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP aptguard_{name} {text}"
    yield f"# TYPE aptguard_{name} {kind}"
