# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays one incident on a machine of its own and brings out all that the tests ask about it."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field

from aptguard.guard.recording import Recording, read_recording
from aptguard.ledger.store import Ledger
from aptguard.report.model import Report
from incidents.incident import ARCHIVES, Incident
from incidents.machine import STATE, Guarded, Machine
from testbed import snapshot
from testbed.trees import Tree

# Recordings of all incidents that are played are left in this directory.
RECORD = "APTGUARD_RECORD_INCIDENTS"

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}


@dataclass(frozen=True)
class Played:
    """One incident that has happened, or was prevented.

    ``differences`` are what changed on the machine beyond clocks and logs, seen from outside;
    ``before`` and ``after`` tell of each path of the incident whether it was there.
    """

    incident: Incident
    exit: int
    terminal: str
    report: Report | None
    recording: Recording | None
    differences: tuple[str, ...]
    before: dict[str, bool] = field(default_factory=dict)
    after: dict[str, bool] = field(default_factory=dict)

    @property
    def story(self) -> str:
        """Return all of it for a person who has to find out what went wrong."""
        lines = [f"{self.incident.source}: {self.incident.operation} ended with {self.exit}", self.terminal]
        if self.report is not None:
            lines.append(f"verdict {self.report.verdict.value}")
            lines += [
                f"  {one}" for one in (*self.report.findings, *self.report.unknowns, *self.report.effects)
            ]
        lines += [f"  changed: {one}" for one in self.differences[:20]]
        return "\n".join(lines)


def play(incident: Incident, version: str, tree: Tree, kind: type[Guarded] = Machine) -> Played:
    """Play ``incident`` on a Debian ``version`` made from ``tree``, started as ``kind`` says."""
    with kind(version, tree=tree, network="private") as machine:
        _prepare(machine, incident)
        mounts = machine.mounts()
        before, there = _look(machine, mounts), _there(machine, incident)
        done = machine.run(
            incident.argv, check=False, env={**ENVIRONMENT, **incident.environment}, timeout=100
        )
        after = _look(machine, mounts)
        report, recording = _record_of(machine, incident)
        return Played(
            incident,
            done.returncode,
            done.stdout + done.stderr,
            report,
            recording,
            tuple(str(one) for one in snapshot.harm(before, after) if not _copied_up(one, tree)),
            there,
            _there(machine, incident),
        )


def _prepare(machine: Guarded, incident: Incident) -> None:
    os.makedirs(machine.path(ARCHIVES), exist_ok=True)
    for toy in incident.toys:
        shutil.copy(toy.build(), machine.path(toy.archive))
    if incident.before:
        machine.run(incident.before)
    if incident.installed:
        machine.run(["dpkg", "--force-depends", "-i", *(toy.archive for toy in incident.installed)])
        machine.two_years_pass()
    if incident.precondition:
        machine.run(incident.precondition)
    machine.arm()


def _look(machine: Guarded, mounts: list[str]) -> snapshot.Snapshot:
    return {**snapshot.take(machine.written), **snapshot.take(machine.path("/"), mounts)}


def _copied_up(difference: snapshot.Difference, tree: Tree) -> bool:
    """Tell whether a directory that appeared among what was written is one that a layer below has, too."""
    return difference.what == "appeared (directory)" and any(
        os.path.isdir(layer + difference.path) for layer in tree.layers
    )


def _there(machine: Guarded, incident: Incident) -> dict[str, bool]:
    return {path: machine.exists(path) for path in (*incident.kept, *incident.gone, *incident.made)}


def _record_of(machine: Guarded, incident: Incident) -> tuple[Report | None, Recording | None]:
    """Return the newest report and its recording, from a copy of the guard's state."""
    with tempfile.TemporaryDirectory(prefix="aptguard-incident-") as directory:
        copy = os.path.join(directory, "state")
        shutil.copytree(machine.path(STATE), copy)
        os.chmod(copy, 0o700)
        ledger = Ledger(copy)
        reports = ledger.reports(limit=1)
        ledger.close()
        if not reports:
            return None, None
        path = os.path.join(copy, "recordings", f"{reports[0].id}.json")
        kept = os.environ.get(RECORD)
        if kept and os.path.exists(path):
            os.makedirs(kept, exist_ok=True)
            shutil.copy(path, os.path.join(kept, f"{incident.name.replace(' ', '-').replace('/', '_')}.json"))
        return reports[0], read_recording(path) if os.path.exists(path) else None
