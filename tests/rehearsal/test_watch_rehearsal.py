# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole rehearsal says who did it: package, script, argument and command of every path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.changes.model import Cause
from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import Step
from aptguard.transaction.model import Action, Item, Transaction
from packages.builder import build_deb
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root


def purge(*names: str) -> tuple[Step, ...]:
    items = tuple(Item(name, "all", Action.PURGE, old_version="1.0") for name in names)
    return steps(Transaction("apt-get", items), triggers=False)


def install(
    machine: Machine, where: Path, name: str, on_purge: str, files: dict[str, str] | None = None
) -> None:
    script = f'[ "$1" = purge ] || exit 0\n{on_purge}'
    machine.install(build_deb(where, name, files=files or {}, scripts={"postrm": script}))


def test_a_purge_of_two_packages_names_package_script_argument_and_command_of_each_path(
    machine: Machine, tmp_path: Path
) -> None:
    install(machine, tmp_path, "first", "rm -rf /srv/data/first /opt/first", {"/usr/share/first/x": "x"})
    install(
        machine, tmp_path, "second", "mv /opt/second /opt/moved\nchmod 700 /srv/data", {"/etc/second": "x"}
    )
    for path in ("/srv/data/first/base/1", "/opt/first/file", "/opt/second/deep/file"):
        machine.write(path)
    result = machine.rehearse(*purge("first", "second"))
    assert result.unknowns == ()
    # What a note says of walls and bounds of this machine is another matter.
    assert [note for note in result.notes if "control group" not in note and "Landlock" not in note] == []
    causes = {change.path: change.cause for change in result.changes}
    removal = Cause("first", "postrm purge", (b"rm", b"-rf", b"/srv/data/first", b"/opt/first"))
    rename = Cause("second", "postrm purge", (b"mv", b"/opt/second", b"/opt/moved"))
    for path in (b"/srv/data/first", b"/srv/data/first/base/1", b"/opt/first", b"/opt/first/file"):
        assert causes[path] == removal
    for path in (b"/opt/second", b"/opt/second/deep/file", b"/opt/moved"):
        assert causes[path] == rename
    assert causes[b"/srv/data"] == Cause("second", "postrm purge", (b"chmod", b"700", b"/srv/data"))
    for path, package in ((b"/usr/share/first/x", "first"), (b"/etc/second", "second")):
        cause = causes[path]
        assert cause is not None
        assert (cause.package, cause.script) == (package, None)
    assert [path for path, cause in causes.items() if cause is None] == []


def test_a_collected_linker_cache_does_not_make_the_supervisor_wait_for_itself(
    machine: Machine, tmp_path: Path
) -> None:
    install(machine, tmp_path, "toy", "rm -rf /opt/other")
    machine.write("/opt/other/file")
    result = machine.rehearse(*purge("toy"), collect=(b"/etc/ld.so.cache", b"/etc"))
    assert result.complete
    assert result.collected[b"/etc/ld.so.cache"]


def test_a_runaway_deletion_ends_early_with_its_cause_and_is_no_complete_run(
    machine: Machine, tmp_path: Path
) -> None:
    install(machine, tmp_path, "toy", "rm -rf /srv/data/cluster\nsleep 100\nrm -rf /opt/late")
    for path in ("/srv/data/cluster/1", "/opt/late/file"):
        machine.write(path)
    result = machine.rehearse(*purge("toy"), stop_patterns=(b"/srv/data/cluster",))
    assert not result.complete
    causes = {change.path: change.cause for change in result.changes}
    assert causes[b"/srv/data/cluster"] == Cause("toy", "postrm purge", (b"rm", b"-rf", b"/srv/data/cluster"))
    assert b"/opt/late" not in causes


def test_an_empty_directory_that_a_purge_tidies_up_does_not_end_the_run(
    machine: Machine, tmp_path: Path
) -> None:
    install(machine, tmp_path, "toy", "rmdir /srv/data/ftp /srv/ftp\nsleep 1\nrm -rf /opt/late")
    for path in ("/srv/ftp", "/srv/data/ftp"):
        os.makedirs(machine.path(path))
    machine.write("/opt/late/file")
    result = machine.rehearse(*purge("toy"), stop_patterns=(b"/srv",))
    assert result.complete and result.unknowns == ()
    gone = {change.path for change in result.changes if change.deleted}
    assert {b"/srv/ftp", b"/srv/data/ftp", b"/opt/late/file"} <= gone


def test_a_deluser_that_walks_a_dangerous_home_ends_the_run_before_it_deletes(
    machine: Machine, tmp_path: Path
) -> None:
    # Held in the midst of its walk, as if the disk were large: the walk itself is over too soon here.
    walk = """deluser --quiet --system --remove-home obsolete &
        until ls -l /proc/$!/fd | grep -q ' /srv/data/many$'; do :; done
        kill -STOP $!
        wait"""
    install(machine, tmp_path, "toy", walk)
    account = "useradd --system --home-dir / --no-create-home obsolete"
    assert machine.run("sh", "-c", account).returncode == 0
    os.makedirs(machine.path("/srv/data/many"))
    for number in range(40_000):
        os.mknod(machine.path(f"/srv/data/many/{number}"))
    result = machine.rehearse(*purge("toy"), stop_patterns=(b"/home", b"/srv"))
    assert result.ended_early and not result.complete
    (attempt,) = [effect for effect in result.effects if effect.kind == "attempt"]
    assert (attempt.path, attempt.cause) == (b"/", "toy postrm purge")
    assert attempt.detail.startswith("deluser was collecting the files in the home of obsolete, /,")
    assert not [change.path for change in result.changes if change.path.startswith(b"/srv")]


def test_the_scripts_are_told_in_their_order_with_when_they_began_and_how_long_they_took(
    machine: Machine, tmp_path: Path
) -> None:
    install(machine, tmp_path, "first", "sleep 0.3")
    install(machine, tmp_path, "second", "true")
    result = machine.rehearse(*purge("first", "second"))
    runs = [(run.package, run.script) for run in result.scripts]
    assert runs == [
        ("first", "postrm remove"),
        ("second", "postrm remove"),
        ("first", "postrm purge"),
        ("second", "postrm purge"),
    ]
    begins = [run.begin for run in result.scripts]
    assert begins == sorted(begins) and begins[0] >= 0
    for earlier, later in zip(result.scripts, result.scripts[1:], strict=False):
        assert earlier.begin + earlier.seconds <= later.begin
    slow = result.scripts[2]
    assert 0.3 <= slow.seconds <= result.timing["run"]
