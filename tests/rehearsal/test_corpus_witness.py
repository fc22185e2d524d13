# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness that the corpus compares rehearsals with sees on a guest's layers what the guest sees."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from operations import Operation, build_start, operations, perform
from overlays import in_private_mounts, overlay

from corpus.witness import Listing, happened, layers_below, listing

pytestmark = pytest.mark.needs_root

# The options that guests are mounted with: tests/testbed/holder.py.
_GUESTS = "metacopy=off,redirect_dir=nofollow,index=off"


def _seen(path: bytes) -> Listing:
    """Return what stands below a directory, with all contents, as nothing but directories and files."""
    found = layers_below.__wrapped__((os.fsdecode(path),))
    for entry in found.values():
        entry.content()
        entry.attributes()
    return found


def _facts(found: Listing) -> dict[bytes, tuple[object, ...]]:
    return {
        path: (
            *(one.kind, one.mode, one.uid, one.gid, one.device, one.target, one.content()),
            tuple(sorted(one.attributes().items())),
        )
        for path, one in found.items()
    }


def test_layers_laid_over_each_other_are_what_the_kernel_merges() -> None:
    def in_private(base: bytes) -> None:
        @settings(
            max_examples=60,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(first=operations(10), second=operations(10))
        def over_random_operations(first: list[Operation], second: list[Operation]) -> None:
            with overlay(base, build_start, _GUESTS) as place:
                lower = (os.fsdecode(place.lower),)
                layers_below.cache_clear()
                before = _seen(place.lower)
                perform(place.merged, first)
                between = listing(os.fsdecode(place.upper), lower)
                naive_between = _seen(place.merged)
                assert _facts(between) == _facts(naive_between)
                perform(place.merged, second)
                after = listing(os.fsdecode(place.upper), lower, between)
                naive = _seen(place.merged)
                assert _facts(after) == _facts(naive)
                told, wanted = happened(before, after), happened(before, naive)
                note(f"{told} {wanted}")
                assert (told.deleted, told.created, told.changed) == (
                    wanted.deleted,
                    wanted.created,
                    wanted.changed,
                )
                told = happened(between, after)
                wanted = happened(naive_between, naive)
                assert (told.deleted, told.created, told.changed) == (
                    wanted.deleted,
                    wanted.created,
                    wanted.changed,
                )

        over_random_operations()

    in_private_mounts(in_private)
