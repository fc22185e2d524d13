# SPDX-License-Identifier: GPL-3.0-or-later
"""/dev/shm, /sys, and what the kernel's own file systems hold: what a script does there is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.changes.model import Kind
from aptguard.rehearsal.model import RehearsalResult
from rehearsal.altered import alter_helper
from rehearsal.disks import mount
from rehearsal.machine import Machine
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root

HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/enabled"
UNBIND = "/sys/bus/cpu/drivers/processor/unbind"
VARIABLES = "/sys/firmware"  # a directory that each machine has; efivarfs is on those with such a firmware
OTHER = f"{VARIABLES}/Other-8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURE = f"{VARIABLES}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def kinds(result: RehearsalResult) -> dict[str, set[Kind]]:
    assert result.complete, (result.unknowns, result.output)
    return {change.path.decode(): set(change.kinds) for change in result.changes}


def test_what_a_package_deletes_in_shared_memory_is_named_and_stays(machine: Machine, tmp_path: Path) -> None:
    mount(machine, "-t", "tmpfs", "-o", "mode=1777", "x", "/dev/shm")
    machine.write("/dev/shm/PostgreSQL.1")
    deed = "rm -rf /dev/shm/*; echo x >/dev/shm/new; stat -c %a /dev/shm"
    result = rehearse_purge(machine, tmp_path, deed)
    assert result.unknowns == ()
    assert deleted_by_script(result) == {b"/dev/shm/PostgreSQL.1"}
    assert b"1777\n" in result.output
    assert kinds(result)["/dev/shm/new"] == {Kind.CREATED}
    assert machine.read("/dev/shm/PostgreSQL.1") == "kept\n"


def test_what_somebody_has_mounted_in_dev_is_covered(machine: Machine) -> None:
    machine.write("/srv/data/mine/file")
    mount(machine, "-t", "tmpfs", "x", "/dev/net")
    machine.write("/dev/net/file")
    result = machine.rehearse_shell("rm -rf /dev/net/*")
    assert kinds(result) == {"/dev/net/file": {Kind.DELETED}}
    assert machine.read("/dev/net/file") == "kept\n"


def test_what_is_written_in_sys_is_told_and_done_to_no_other(machine: Machine, tmp_path: Path) -> None:
    before = machine.read(HUGE_PAGES)
    deed = f"[ -w {HUGE_PAGES} ]; grep never {HUGE_PAGES}; echo never >{HUGE_PAGES}; echo x >{UNBIND}"
    result = rehearse_purge(machine, tmp_path, f"set -e; {deed}")
    assert result.unknowns == ()
    told = kinds(result)
    assert told[HUGE_PAGES] == told[UNBIND] == {Kind.CONTENT}
    (cause,) = {change.cause for change in result.changes if change.path == UNBIND.encode()}
    assert cause is not None
    assert (cause.package, cause.script) == ("toy", "postrm purge")
    assert machine.read(HUGE_PAGES) == before


def test_a_change_in_sys_is_told_under_one_name_wherever_else_it_is_mounted(machine: Machine) -> None:
    os.makedirs(machine.path("/srv/jail/sys"))
    mount(machine, "-t", "sysfs", "x", "/srv/jail/sys")
    result = machine.rehearse_shell(f"echo never >{HUGE_PAGES}")
    assert kinds(result) == {HUGE_PAGES: {Kind.CONTENT}}


def test_libudev_takes_the_overlay_for_a_sysfs(machine: Machine) -> None:
    result = machine.rehearse_shell(
        "echo $SYSTEMD_DEVICE_VERIFY_SYSFS; ls /sys/class/net; cat /sys/power/state"
    )
    assert result.output.startswith(b"0\n")
    assert b"lo\n" in result.output
    assert result.changes == ()


def test_a_switch_of_the_kernel_stays_as_it_is_and_what_was_written_to_it_is_told(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel of a test machine may have no sysrq; another file of /proc is then taken for a switch."""
    alter_helper(
        monkeypatch,
        tmp_path,
        "from aptguard.rehearsal import own_trees\nown_trees._SWITCHES = (b'loadavg', b'scsi/x')",
    )
    quiet = machine.rehearse_shell("cat /proc/loadavg; [ ! -e /proc/scsi/x ]")
    assert quiet.steps[0].status == 0
    assert len(quiet.output.split()) == 5
    assert kinds(quiet) == {}
    result = rehearse_purge(machine, tmp_path, "echo b >/proc/loadavg 2>/dev/null || true")
    assert kinds(result)["/proc/loadavg"] == {Kind.CONTENT}
    assert [
        change.cause.package for change in result.changes if change.path == b"/proc/loadavg" and change.cause
    ] == ["toy"]


@pytest.fixture
def firmware(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    alter_helper(
        monkeypatch, tmp_path, "from aptguard.rehearsal import mount_plan\nmount_plan._FIRMWARE = b'ramfs'"
    )
    mount(machine, "-t", "ramfs", "x", VARIABLES)
    machine.write(OTHER)
    machine.write(SECURE)
    return machine


@pytest.mark.parametrize(
    "deed", [f"rm -rf {VARIABLES}/*", f"chattr -i {VARIABLES}/*; rm -f {VARIABLES}/* || true"]
)
def test_a_deleted_variable_of_the_firmware_is_told_and_stays(firmware: Machine, deed: str) -> None:
    result = firmware.rehearse_shell(deed)
    assert kinds(result) == {OTHER: {Kind.DELETED}, SECURE: {Kind.DELETED}}
    assert firmware.read(OTHER) == "kept\n"


def test_the_variables_that_scripts_ask_for_are_there_and_another_makes_it_unknown(firmware: Machine) -> None:
    asked = firmware.rehearse_shell(f"cat {SECURE}; ls {VARIABLES} >/dev/null")
    assert (asked.output, asked.unknowns, kinds(asked)) == (b"kept\n", (), {})
    other = firmware.rehearse_shell(f"cat {OTHER}")
    assert [unknown.path for unknown in other.unknowns] == [OTHER.encode()]


def test_who_goes_where_the_kernel_keeps_something_of_somebodys_makes_it_unknown(machine: Machine) -> None:
    mount(machine, "-t", "hugetlbfs", "x", "/dev/net")
    empty = machine.rehearse_shell("rm -rf /dev/net/*")
    os.mkdir(machine.path("/dev/net/pages"))
    elsewhere = machine.rehearse_shell("ls -l /dev; rm -rf /srv/data/*")
    there = machine.rehearse_shell("rm -rf /dev/net/* 2>/dev/null || true")
    assert empty.unknowns == elsewhere.unknowns == ()
    assert [unknown.path for unknown in there.unknowns] == [b"/dev/net"]
