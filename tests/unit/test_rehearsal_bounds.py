# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds of a rehearsal, and how they shrink on a small machine."""

from __future__ import annotations

import os
from dataclasses import replace

from aptguard.rehearsal.bounds import Memory, for_machine, memory_exhausted, read_memory, room_exhausted
from aptguard.rehearsal.model import Limits

GIB = 1 << 30
LARGE = Memory(total=64 * GIB, available=48 * GIB, kills=3)
SMALL = Memory(total=GIB, available=GIB // 2, kills=0)


def test_a_large_machine_keeps_the_limits() -> None:
    assert for_machine(Limits(), LARGE) == Limits()


def test_a_rehearsal_can_never_take_more_than_a_machine_has_left() -> None:
    for available in (0, 1 << 20, 64 << 20, GIB // 2, 3 * GIB, 1 << 50):
        limits = for_machine(Limits(), replace(SMALL, available=available))
        together = limits.memory_bytes + limits.upper_bytes + limits.upper_spare_bytes
        assert together <= available or available > 8 * GIB


def test_there_is_room_beyond_each_bound_of_the_upper() -> None:
    limits = for_machine(Limits(upper_bytes=4 * GIB), LARGE)
    assert limits.upper_spare_bytes >= limits.upper_bytes // 2


def test_a_process_that_the_kernel_killed_for_memory_counts() -> None:
    assert memory_exhausted(LARGE, LARGE) is None
    assert memory_exhausted(LARGE, replace(LARGE, kills=4)) is not None


def test_the_last_memory_of_the_machine_is_not_taken() -> None:
    assert memory_exhausted(SMALL, replace(SMALL, available=100 << 20)) is None
    assert memory_exhausted(SMALL, replace(SMALL, available=10 << 20)) is not None
    # a machine that had none to begin with is not held against the scripts
    poor = replace(SMALL, available=20 << 20)
    assert memory_exhausted(poor, replace(poor, available=19 << 20)) is None


def space(used_bytes: int, used_inodes: int) -> os.statvfs_result:
    blocks, inodes = 1_000_000, 1_000_000
    free = blocks - used_bytes // 4096
    left = inodes - used_inodes
    return os.statvfs_result((4096, 4096, blocks, free, free, inodes, left, left, 0, 255))


def test_the_bound_of_space_is_what_is_used_not_what_is_left() -> None:
    limits = Limits(upper_bytes=100 << 20, upper_inodes=1000)
    assert room_exhausted(space(100 << 20, 1000), limits) is None
    assert "100 MiB" in str(room_exhausted(space((100 << 20) + 4096, 1), limits))
    assert "1000 files" in str(room_exhausted(space(0, 1001), limits))


def test_the_present_machine_can_be_asked() -> None:
    memory = read_memory()
    assert 0 < memory.available <= memory.total
    assert memory.kills >= 0
