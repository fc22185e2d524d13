# SPDX-License-Identifier: GPL-3.0-or-later
"""How large the room on disk is made, and when it is not made at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aptguard.rehearsal.bounds import SPARE_INODES
from aptguard.rehearsal.disk_room import NoDiskRoomError, reserve_of, room_for, size_of
from aptguard.rehearsal.model import Limits

MIB, GIB = 1 << 20, 1 << 30
BYTES = st.integers(min_value=0, max_value=1 << 44)


@given(free=BYTES, total=BYTES, upper=BYTES, likely=BYTES)
def test_a_disk_always_keeps_its_reserve(free: int, total: int, upper: int, likely: int) -> None:
    try:
        limits = room_for(Limits(upper_bytes=upper, upper_likely_bytes=likely), free, total)
    except NoDiskRoomError:
        return
    # ... but for the few MiB by which the size is rounded up
    assert free - size_of(limits) >= reserve_of(total) - 48 * MIB
    assert min(upper, likely) <= limits.upper_bytes <= upper


@given(free=BYTES, upper=BYTES)
def test_a_script_meets_the_watched_bound_before_the_file_system_s(free: int, upper: int) -> None:
    try:
        limits = room_for(Limits(upper_bytes=upper), free, 0)
    except NoDiskRoomError:
        return
    tables = (limits.upper_inodes + SPARE_INODES) * 256
    assert size_of(limits) - tables >= limits.upper_bytes + limits.upper_spare_bytes
    assert limits.upper_spare_bytes >= 256 * MIB


@pytest.mark.parametrize(("total", "reserve"), [(0, 512 * MIB), (40 * GIB, 2 * GIB), (9000 * GIB, 4 * GIB)])
def test_the_reserve_is_a_twentieth_within_reason(total: int, reserve: int) -> None:
    assert reserve_of(total) == reserve


def test_a_large_disk_gives_all_that_is_wanted() -> None:
    wanted = Limits(upper_bytes=4 * GIB, upper_likely_bytes=3 * GIB)
    assert room_for(wanted, 100 * GIB, 200 * GIB).upper_bytes == 4 * GIB


def test_a_small_disk_gives_less_but_never_less_than_is_likely_needed() -> None:
    wanted = Limits(upper_bytes=4 * GIB, upper_likely_bytes=2 * GIB)
    assert 2 * GIB <= room_for(wanted, 4 * GIB, 10 * GIB).upper_bytes < 4 * GIB
    with pytest.raises(NoDiskRoomError, match="2560 MiB are free, 512 of them are kept back, and about 2048"):
        room_for(wanted, 5 * GIB // 2, 10 * GIB)
