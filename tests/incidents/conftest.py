# SPDX-License-Identifier: GPL-3.0-or-later
"""One played incident for all tests that look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from incidents.all_incidents import Play
from incidents.machine import BootedMachine, Machine, guarded_tree
from incidents.playing import Played, play
from system.conftest import aptguard_deb

__all__ = ["aptguard_deb", "played"]


@pytest.fixture(scope="class")
def played(request: pytest.FixtureRequest, needs_guest: None, aptguard_deb: str) -> Iterator[Played]:
    """What became of the incident that the test is about."""
    one: Play = request.param
    kind = BootedMachine if one.booted else Machine
    yield play(one.incident, one.version, guarded_tree(one.version, aptguard_deb), kind)
