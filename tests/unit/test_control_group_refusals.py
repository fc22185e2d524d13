# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that the kernel refuses is noticed, whichever control group's bound it was that had been met."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.rehearsal import control_group
from aptguard.rehearsal.control_group import ControlGroup
from aptguard.rehearsal.model import Limits

OWN, ABOVE = "system.slice/aptguard.service", "system.slice"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Groups as cgroup-v2.rst describes them; the root has no pids.events."""
    top = tmp_path / "cgroup"
    for name in (OWN, ABOVE, "."):
        (top / name).mkdir(parents=True, exist_ok=True)
        (top / name / "cgroup.procs").touch()
    for name in (OWN, ABOVE):
        refuse(top / name, 3)
    monkeypatch.setattr(control_group, "_own_group", lambda: os.fsencode(top / OWN))
    return top


def refuse(group: Path, times: int) -> None:
    (group / "pids.events").write_text(f"max {times}\n")


@pytest.mark.parametrize(
    "name", [OWN, ABOVE], ids=["its own, as Linux counts up to 6.10", "one above, since"]
)
def test_a_refusal_during_the_rehearsal_is_told(groups: Path, name: str) -> None:
    group = ControlGroup(Limits())
    assert group.refused() == ()
    refuse(groups / name, 4)
    (unknown,) = group.refused()
    assert name in unknown.reason


def test_an_earlier_refusal_is_none_of_this_rehearsal(groups: Path) -> None:
    refuse(groups / ABOVE, 9)
    assert ControlGroup(Limits()).refused() == ()
