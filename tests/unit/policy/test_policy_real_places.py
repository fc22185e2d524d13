# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns through symbolic links, against os.path.realpath on the same random tree of links."""

from __future__ import annotations

import os
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy
from aptguard.policy.pattern import Pattern
from aptguard.policy.real_places import with_real_places

NAMES = ("a", "b", "c")
places = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
targets = st.one_of(places, st.sampled_from(("..", ".", "../..", "a/../b", "nowhere", "/")))
absolute = st.booleans()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(places, targets, absolute), max_size=8),
    st.lists(places, min_size=1, max_size=6),
)
def test_each_pattern_is_followed_by_one_for_the_place_that_realpath_names(links, asked) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = os.path.realpath(directory)
        for place, target, is_absolute in links:
            link = os.path.join(root, place)
            try:
                os.makedirs(os.path.dirname(link), exist_ok=True)
                os.symlink(os.path.join(root, target) if is_absolute else target, link)
            except OSError:
                continue  # a link or a loop stands there already
        patterns = tuple(Pattern(f"{root}/{place}/**") for place in asked)
        rule = PathRule("r", Place.DATA, patterns, "", Severity.BLOCK, origin="")
        policy = Policy(path_rules=(rule,))
        expected = with_real_places(policy, os.path.realpath)
        assert with_real_places(policy) == expected
