# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal in a chroot whose root is no mount point, as piuparts and installers have it."""

from __future__ import annotations

import os
import shutil

import pytest

from aptguard.rehearsal.model import RehearsalResult
from aptguard.serialization import loads
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "src")
REHEARSE = """
import sys
sys.path.insert(0, "/mnt/src")
from aptguard.rehearsal.model import RehearsalRequest, Step
from aptguard.rehearsal.rehearse import rehearse
from aptguard.serialization import dumps
script = sys.argv[1].encode()
environment = {b"PATH": b"/usr/sbin:/usr/bin:/sbin:/bin"}
print(dumps(rehearse(RehearsalRequest((Step((b"/bin/sh", b"-c", script)),), environment))))
"""


@pytest.fixture
def chroot(machine: Machine) -> Machine:
    """A machine with a plain directory /opt/a b that a chroot can have for its root."""
    place = machine.path("/opt/a b")
    for name in ("bin", "lib", "lib64", "sbin"):
        os.makedirs(place, exist_ok=True)
        if os.path.islink(machine.path(f"/{name}")):
            os.symlink(f"usr/{name}", f"{place}/{name}")
    for name in ("usr", "proc", "dev", "sys", "tmp", "run", "etc", "srv/data"):
        os.makedirs(f"{place}/{name}")
    shutil.copytree(SOURCES, f"{place}/mnt/src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("usr", "proc", "dev", "etc"):
        done = machine.run("mount", "--rbind", f"/{name}", f"/opt/a b/{name}")
        assert done.returncode == 0, done.stderr
    machine.run("mount", "-t", "tmpfs", "data", "/opt/a b/srv/data")
    machine.run("mount", "--make-rshared", "/")  # as systemd has it: what is mounted would show everywhere
    machine.write("/opt/a b/home/file")
    machine.write("/opt/a b/srv/data/file")
    machine.write("/home/outside")
    return machine


def rehearsed(machine: Machine, script: str) -> RehearsalResult:
    done = machine.run("chroot", "/opt/a b", "/usr/bin/python3", "-c", REHEARSE, script)
    assert done.returncode == 0, done.stderr
    return loads(RehearsalResult, done.stdout)


def test_what_would_be_deleted_in_the_chroot_is_seen_and_not_done(chroot: Machine) -> None:
    before = chroot.run("cat", "/proc/self/mountinfo").stdout
    result = rehearsed(chroot, "rm -rf /home/file /srv/data/*")
    assert result.complete, (result.unknowns, result.output)
    assert {change.path for change in result.changes if change.deleted} == {b"/home/file", b"/srv/data/file"}
    assert chroot.read("/opt/a b/home/file") == chroot.read("/opt/a b/srv/data/file") == "kept\n"
    assert chroot.run("cat", "/proc/self/mountinfo").stdout == before


def test_what_is_outside_of_the_chroot_is_not_there(chroot: Machine) -> None:
    result = rehearsed(chroot, "cat /home/outside /../home/outside; ls /opt; exit 0")
    assert result.complete, (result.unknowns, result.output)
    assert b"kept" not in result.output
    assert chroot.read("/home/outside") == "kept\n"
