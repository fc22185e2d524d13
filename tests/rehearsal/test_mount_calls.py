# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts that mount and unmount: what would succeed on the machine cannot here, and may do harm there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.rehearsal.model import UNCLEAR, RehearsalResult
from rehearsal.disks import made, mount_image
from rehearsal.machine import Machine
from rehearsal.toys import rehearse_purge

pytestmark = pytest.mark.needs_root


def unclear(result: RehearsalResult) -> list[str]:
    assert result.complete, (result.unknowns, result.output)
    return [one.detail for one in result.effects if one.kind == UNCLEAR]


@pytest.mark.parametrize(
    "call",
    [
        "if umount /srv/data; then rm -rf /opt/precious; fi",
        "umount -fl /srv/data && rm -rf /opt/precious || true",
        "cd /srv; if umount data; then rm -rf /opt/precious; fi",
        "ln -s /srv/data /tmp/x; if umount /tmp/x; then rm -rf /opt/precious; fi; rm /tmp/x",
        "ln -s /srv /tmp/x; if umount /tmp/x/data; then rm -rf /opt/precious; fi; rm /tmp/x",
        "if umount -a; then rm -rf /opt/precious; fi",
        "if umount data; then rm -rf /opt/precious; fi",  # its source
        "if umount LABEL=data; then rm -rf /opt/precious; fi",
        "mkdir /opt/x; if mount --bind /srv/data /opt/x; then rm -rf /opt/x/*; fi; rmdir /opt/x",
        "if mount -a; then rm -rf /opt/precious; fi",
        "if mount LABEL=backup; then rm -rf /opt/precious; fi",
        "if swapon /srv/swap; then rm -rf /opt/precious; fi",
    ],
)
def test_a_purge_that_goes_on_only_after_a_mount_or_unmount_is_not_clear(
    machine: Machine, tmp_path: Path, call: str
) -> None:
    machine.write("/opt/precious/data")
    assert unclear(rehearse_purge(machine, tmp_path, f"{call} || true"))


@pytest.mark.parametrize(
    "call",
    [
        "mount",
        "mount -l",
        "mount -l -t tmpfs",
        "mount -V",
        "mount --help",
        "mountpoint -q /srv/data",
        "mountpoint -q /srv || true",
        "umount /srv || true",
        "umount /srv/nothing || true",
        "umount -l /opt /srv || true",
        "umount /dev/no-such-disk || true",
        "umount /proc/sys/fs/binfmt_misc || true",
        "umount --version",
        "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || true",
        "swapon --show",
        "swapon",
    ],
)
def test_what_only_lists_or_fails_on_the_machine_as_well_stays_harmless(machine: Machine, call: str) -> None:
    result = machine.rehearse_shell(f"{{ {call}; }} > /dev/null 2>&1")
    assert unclear(result) == []
    assert result.unknowns == ()


def test_a_disk_is_unmounted_by_its_device_and_an_image_by_its_file(machine: Machine, tmp_path: Path) -> None:
    image = made(tmp_path, "ext4")
    mount_image(machine, image, "/srv/disk")
    mounts = machine.run("findmnt", "-n", "-o", "SOURCE", "/srv/disk").stdout.strip()
    assert mounts.startswith("/dev/loop")
    assert unclear(machine.rehearse_shell(f"umount {mounts} || true"))
    assert unclear(machine.rehearse_shell(f"umount {os.path.realpath(image)} || true"))


def test_what_is_deleted_in_a_mount_that_could_not_be_unmounted_is_told_as_well(machine: Machine) -> None:
    machine.write("/srv/data/table")
    result = machine.rehearse_shell("umount /srv/data || true; rm -rf /srv/data/table")
    assert unclear(result) == ["would run umount /srv/data"]
    assert [change.path for change in result.changes if change.deleted] == [b"/srv/data/table"]
