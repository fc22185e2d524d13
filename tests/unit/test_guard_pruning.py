# SPDX-License-Identifier: GPL-3.0-or-later
"""When the guard takes old records away."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from aptguard.guard.state import GuardState
from unit.ledger_values import NOW, report

DAY = 86400.0


class Clock:
    """Both clocks that the guard reads; ``passed`` is in seconds."""

    passed = 0.0

    def time(self) -> float:
        return NOW + self.passed

    def monotonic(self) -> float:
        return 5.0 + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("aptguard.guard.state.time", clock)
    return clock


def recorded(state: GuardState) -> list[str]:
    return [found.id for found in state.ledger.reports()]


def test_a_process_that_stays_takes_old_records_away_once_a_day(tmp_path: Path, clock: Clock) -> None:
    state = GuardState(str(tmp_path))
    for number, age in enumerate((20 * DAY, 9.5 * DAY, 0.0)):  # the newest stays in any case
        state.ledger.record(report(f"AAAA-AAA{number}", fingerprint=f"{number:064}", time=NOW - age))
    state.prune(10)
    assert recorded(state) == ["AAAA-AAA2", "AAAA-AAA1"]
    clock.passed = DAY - 1.0  # the second one is old since half a day
    state.prune(10)
    assert recorded(state) == ["AAAA-AAA2", "AAAA-AAA1"]
    clock.passed = DAY
    state.prune(10)
    assert recorded(state) == ["AAAA-AAA2"]


def test_it_looks_at_most_once_a_day_however_often_it_is_asked(tmp_path: Path, clock: Clock) -> None:
    state = GuardState(str(tmp_path))
    pruned: list[float] = []
    state.ledger = SimpleNamespace(  # type: ignore[assignment]
        prune=lambda *, keep_days, max_bytes, now: pruned.append(now), problems=()
    )
    for hour in range(72):
        clock.passed = hour * 3600.0
        state.prune(10)
    assert pruned == [NOW, NOW + DAY, NOW + 2 * DAY]
