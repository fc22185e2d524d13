# SPDX-License-Identifier: GPL-3.0-or-later
"""The throw-away machine of the rehearsal and escape tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.machine import Machine, running_machine
from testbed.trees import base_tree


@pytest.fixture(scope="session")
def debian_tree(needs_root: None) -> str:
    return os.environ.get("APTGUARD_TEST_TREE") or base_tree("12")


@pytest.fixture
def machine(debian_tree: str, tmp_path: Path) -> Iterator[Machine]:
    with running_machine(debian_tree, str(tmp_path)) as started:
        yield started
