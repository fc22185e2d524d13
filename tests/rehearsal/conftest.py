# SPDX-License-Identifier: GPL-3.0-or-later
"""The throw-away machine of the rehearsal and escape tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.machine import Machine, running_machine
from rehearsal.service_manager import set_up_units
from testbed.trees import base_tree


@pytest.fixture(scope="session")
def debian_tree(needs_root: None) -> str:
    return os.environ.get("APTGUARD_TEST_TREE") or base_tree("12")


@pytest.fixture
def machine(debian_tree: str, tmp_path: Path) -> Iterator[Machine]:
    with running_machine(debian_tree, str(tmp_path)) as started:
        yield started


@pytest.fixture
def units(machine: Machine) -> Machine:
    """The machine with a service manager of a few units, and with data."""
    set_up_units(machine)
    machine.write("/opt/precious/data")
    return machine
