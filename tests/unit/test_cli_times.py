# SPDX-License-Identifier: GPL-3.0-or-later
import argparse
import time
from datetime import date, datetime, timedelta

import pytest

from aptguard.cli.times import age, duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15min", 900), ("2h", 7200), ("1d", 86400), ("30s", 30), ("5", 300), (" 3 m ", 180)],
)
def test_a_duration_is_read_in_its_unit(text: str, seconds: int) -> None:
    assert duration(text) == seconds
    assert age(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5min", "1y", "31d", "15 minutes", "9" * 30, "1e3", "٣min"])
def test_a_time_that_is_no_time_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration"):
        duration(text)


def test_an_age_may_be_a_day_or_a_moment_of_this_machines_clock() -> None:
    midnight = datetime.combine(date.today(), datetime.min.time())
    yesterday = midnight - timedelta(days=1)
    for text, moment in (
        ("today", midnight),
        ("yesterday", yesterday),
        (f"{yesterday:%Y-%m-%d}", yesterday),
        (f"{yesterday:%Y-%m-%d} 14:05", yesterday.replace(hour=14, minute=5)),
        (f"{yesterday:%Y-%m-%dT%H:%M:%S}", yesterday),
    ):
        assert abs(time.time() - age(text) - moment.timestamp()) < 60, text
    assert age("90d") == 90 * 86400


@pytest.mark.parametrize(
    "text", ["", "yesterdayy", "2026-13-01", "2999-01-01", "tomorrow", "1y", "-2h", "9" * 30]
)
def test_an_age_that_is_none_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        age(text)
