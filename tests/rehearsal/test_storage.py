# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts would do to disks, volumes and subvolumes, which no rehearsal can let them succeed in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aptguard.rehearsal.model import DESTRUCTION, UNCLEAR, Effect, RehearsalResult
from rehearsal.disks import made, mount_image
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root


def program(machine: Machine, name: str) -> None:
    """Put a program that always fails, as those of storage do in a rehearsal."""
    machine.write(f"/usr/sbin/{name}", "#!/bin/sh\nexit 1\n", 0o755)


def effects(result: RehearsalResult) -> list[tuple[str, str, bytes | None]]:
    assert result.unknowns == (), (result.unknowns, result.output)
    return [(one.kind, one.detail, one.path) for one in result.effects]


@pytest.fixture
def btrfs(machine: Machine, tmp_path: Path) -> Machine:
    """A btrfs at /srv/disk with a subvolume in a subvolume, data in it, and a plain directory."""
    mount_image(machine, made(tmp_path, "btrfs"), "/srv/disk")
    for name in ("outer", "outer/inner"):
        subprocess.run(["btrfs", "-q", "subvolume", "create", machine.path(f"/srv/disk/{name}")], check=True)
    machine.write("/srv/disk/outer/inner/data")
    machine.write("/srv/disk/plain/data")
    program(machine, "btrfs")
    return machine


@pytest.mark.parametrize("name", ["outer", "outer/inner"])
def test_deleting_a_subvolume_that_is_one_on_the_machine_is_a_destruction(btrfs: Machine, name: str) -> None:
    for call in (
        f"btrfs subvolume delete /srv/disk/{name} || true",
        f"cd /srv/disk; btrfs sub del {name} 2> /dev/null || true",
        f"ln -s disk/{name} /srv/link; btrfs subvolume delete /srv/link || true",
    ):
        found = effects(btrfs.rehearse_shell(call))
        assert [(kind, path) for kind, _, path in found] == [(DESTRUCTION, b"/srv/disk/" + name.encode())]
    assert btrfs.read("/srv/disk/outer/inner/data") == "kept\n"


@pytest.mark.parametrize("path", ["/srv/disk/plain", "/srv/data", "/srv/disk/missing", "/opt"])
def test_deleting_as_a_subvolume_what_is_none_would_fail_on_the_machine_as_well(
    btrfs: Machine, path: str
) -> None:
    result = btrfs.rehearse_shell(f"btrfs subvolume delete {path} 2> /dev/null || true")
    assert [kind for kind, _, _ in effects(result)] == ["device"]


def test_asking_about_subvolumes_is_silent(btrfs: Machine) -> None:
    script = (
        "btrfs subvolume list /srv/disk || btrfs filesystem show || btrfs subvolume show /srv/disk || true"
    )
    assert effects(btrfs.rehearse_shell(script)) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """The name of a block device with something on it."""
    image = tmp_path / "image"
    image.write_bytes(b"data" * (1 << 18))
    device = subprocess.run(
        ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=True
    ).stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)
    assert image.read_bytes() == b"data" * (1 << 18)


@pytest.mark.parametrize(
    "call",
    [
        "dd if=/dev/zero of={0} bs=4k count=1",
        "mkfs.ext4 -q {0}",
        "shred {0}",
        "wipefs -a {0}",
        "mkswap {0}",
        "mknod /var/tmp/disk b 7 0; ln -s {0} /var/tmp/x; dd if=/dev/zero of=/var/tmp/x count=1",
    ],
)
def test_a_tool_that_writes_to_a_disk_is_a_destruction_however_its_failure_is_hidden(
    machine: Machine, disk: str, call: str
) -> None:
    program(machine, "mkfs.ext4")
    result = machine.rehearse_shell(f"({call.format(disk)}) > /dev/null 2>&1 || true")
    told = {path for kind, _, path in effects(result) if kind == DESTRUCTION}
    assert told == {disk.encode()}


@pytest.mark.parametrize(
    "call", ["cat /etc/passwd > {0}", ": > {0}", "cp /etc/passwd {0}", "tee {0} < /etc/passwd"]
)
def test_a_file_that_takes_the_place_of_a_disk_was_meant_for_the_disk(
    machine: Machine, disk: str, call: str
) -> None:
    result = machine.rehearse_shell(f"({call.format(disk)}) > /dev/null 2>&1 || true")
    assert effects(result) == [(DESTRUCTION, f"would write to {disk}", disk.encode())]


def test_what_is_done_to_image_files_is_done_and_silent(machine: Machine) -> None:
    script = """
        set -e
        dd if=/dev/zero of=/var/tmp/image bs=1M count=8 2> /dev/null
        mkswap /var/tmp/image > /dev/null
        wipefs /var/tmp/image | grep -q swap
        wipefs -a /var/tmp/image > /dev/null
        dd if=/var/tmp/image of=/dev/null 2> /dev/null
        dd if=/dev/zero count=1 2> /dev/null | wc -c | grep -qx 512
        shred -u /var/tmp/image
        test ! -e /var/tmp/image
        test -d /dev && mkswap --help > /dev/null
    """
    result = machine.rehearse_shell(script)
    assert [step.status for step in result.steps] == [0], result.output
    assert effects(result) == []


def test_a_tool_with_many_names_works_by_the_name_it_is_called_with(machine: Machine) -> None:
    machine.write("/usr/sbin/lvm", '#!/bin/sh\n[ "${0##*/}" = lvs ] && exit 7\nexit 8\n', 0o755)
    for name in ("lvs", "lvremove"):
        os.symlink("lvm", machine.path(f"/usr/sbin/{name}"))
    result = machine.rehearse_shell("lvs; echo $?; lvm x; echo $?; /usr/sbin/lvremove -f vg/data; echo $?")
    assert result.output.split() == [b"7", b"8", b"8"]
    assert effects(result)[1:] == [(DESTRUCTION, "would run lvremove -f vg/data", b"/dev/vg/data")]


def test_what_is_taken_away_leaves_open_what_follows(machine: Machine) -> None:
    result = machine.rehearse_shell("losetup -d /dev/loop7 2> /dev/null || true")
    assert effects(result) == [(UNCLEAR, "would run losetup -d /dev/loop7", None)]


def test_more_calls_than_can_be_recorded_are_no_complete_record(machine: Machine) -> None:
    program(machine, "zfs")
    script = "w=$(printf %0100000d 0); for i in $(seq 45); do zfs list $w; done; zfs destroy tank || true"
    result = machine.rehearse_shell(script)
    (unknown,) = result.unknowns
    assert unknown.reason == "its record is damaged, or too long"
    assert Effect(DESTRUCTION, "would run zfs destroy tank") not in result.effects
