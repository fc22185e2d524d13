# SPDX-License-Identifier: GPL-3.0-or-later
"""How often each user may call, at times of the test's own."""

from __future__ import annotations

import pytest

from aptguard.daemon.call_rate import CallRate
from aptguard.daemon.server import ServerLimits


def test_so_many_calls_in_a_row_then_one_in_so_many_seconds() -> None:
    rate = CallRate(3, 2.0)
    assert [rate.take(7, 100.0) for _ in range(5)] == [0.0, 0.0, 0.0, 2.0, 2.0]
    assert rate.take(7, 101.5) == 0.5
    assert [rate.take(7, 102.0) for _ in range(2)] == [0.0, 2.0]
    assert [rate.take(7, 106.0) for _ in range(3)] == [0.0, 0.0, 2.0]


def test_who_waited_long_has_no_more_than_all_calls_in_a_row() -> None:
    rate = CallRate(3, 2.0)
    rate.take(7, 0.0)
    assert [rate.take(7, 1e6) for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]


def test_users_are_counted_each_on_their_own() -> None:
    rate = CallRate(1, 2.0)
    assert [rate.take(uid, 5.0) for uid in (1, 2, 1, 3, 2)] == [0.0, 0.0, 2.0, 0.0, 2.0]


@pytest.mark.parametrize("seconds", [2.0, 5.0])
def test_who_calls_no_faster_than_that_is_never_refused(seconds: float) -> None:
    rate = CallRate(1, 2.0)
    assert {rate.take(7, number * seconds) for number in range(1000)} == {0.0}


def test_a_person_and_a_monitor_of_one_user_are_far_from_the_bound() -> None:
    limits = ServerLimits()
    rate = CallRate(limits.calls_in_a_row_not_root, limits.seconds_per_call_not_root)
    monitor = [(5.0 * number, 2) for number in range(1000)]  # Status and Log each five seconds
    person = [(1000.0 + 0.5 * number, 1) for number in range(20)]  # twenty commands in ten seconds
    calls = [moment for moment, count in sorted(monitor + person) for _ in range(count)]
    assert {rate.take(1000, moment) for moment in calls} == {0.0}


def test_users_are_forgotten_when_they_are_as_good_as_new() -> None:
    rate = CallRate(3, 2.0, users=10)
    for uid in range(10):
        rate.take(uid, 0.0)
    assert len(rate) == 10
    assert rate.take(10, 2.0) == 0.0
    assert len(rate) == 1


def test_a_thousand_ids_of_one_person_do_not_get_a_thousand_times_the_calls() -> None:
    rate = CallRate(3, 2.0, users=10)
    answered = sum(rate.take(uid, 0.0) == 0.0 for uid in range(1000) for _ in range(3))
    assert (answered, len(rate)) == (30, 10)
    assert [rate.take(uid, 2.0) for uid in (5000, 5000)] == [0.0, 2.0]


def test_who_takes_a_place_takes_the_one_of_the_user_with_the_most_calls_left() -> None:
    rate = CallRate(3, 2.0, users=2)
    assert [rate.take(uid, 0.0) for uid in (1, 1, 1, 2)] == [0.0] * 4
    assert [rate.take(3, 0.0) for _ in range(3)] == [0.0, 0.0, 2.0]
    assert rate.take(1, 0.0) == 2.0
