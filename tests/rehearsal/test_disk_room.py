# SPDX-License-Identifier: GPL-3.0-or-later
"""Where memory is too small the upper layers lie on disk, bounded all the same, and nothing of it stays."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aptguard.changes.model import Cause
from aptguard.rehearsal.model import Limits, RehearsalResult
from packages.builder import build_deb
from rehearsal.disks import mount_image, needs_file_system
from rehearsal.machine import LIMITS, Machine
from rehearsal.test_bounds import cut_off, eventually
from rehearsal.test_faults import Faulty
from rehearsal.test_watch_rehearsal import purge

pytestmark = pytest.mark.needs_root

MIB = 1 << 20
# More is expected than memory is allowed to hold, whatever this machine has.
ON_DISK = replace(LIMITS, upper_bytes=256 * MIB, upper_likely_bytes=256 * MIB + 1)
WROTE_TO_DISK = "the rehearsal wrote to disk"


def loop_devices() -> list[str]:
    """Return the files without a name that loop devices stand on."""
    shown = output_of("losetup", "--list", "--noheadings", "-O", "BACK-FILE")
    return [line for line in shown.splitlines() if re.search(r"/#\d+ ", line)]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert eventually(lambda: not loop_devices()), loop_devices()


@pytest.fixture
def disk(machine: Machine, tmp_path: Path) -> Machine:
    """A machine with a disk of its own for /var/lib/aptguard, large enough, and with e2fsprogs."""
    put_disk_in(machine, tmp_path, 4096 * MIB)
    put_mkfs_in(machine)
    return machine


def put_disk_in(machine: Machine, directory: Path, size: int) -> None:
    needs_file_system("ext4")
    image = str(directory / "disk.image")
    with open(image, "wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    mount_image(machine, image, "/var/lib/aptguard")


def put_mkfs_in(machine: Machine) -> None:
    """Give the machine this one's mkfs.ext4 with its libraries, whatever Debian either of them is."""
    program = shutil.which("mkfs.ext4")
    assert program is not None
    libraries = re.findall(r"(/\S+) \(0x", output_of("ldd", program))
    linker = next(path for path in libraries if "/ld-linux" in path)
    os.makedirs(machine.path("/opt/e2fsprogs"))
    for path in (program, *libraries):
        shutil.copy(path, machine.path("/opt/e2fsprogs"))
    start = f'#!/bin/sh\nexec {os.path.basename(linker)} --library-path . ./mkfs.ext4 "$@"\n'
    start = start.replace("exec ", "cd /opt/e2fsprogs && exec ./")
    machine.write("/usr/sbin/mkfs.ext4", start, 0o755)


def wrote_to_disk(result: RehearsalResult) -> bool:
    return any(note.startswith(WROTE_TO_DISK) for note in result.notes)


def free(machine: Machine) -> int:
    space = os.statvfs(machine.path("/var/lib/aptguard"))
    return space.f_bavail * space.f_frsize


def test_a_purge_on_disk_tells_the_same_changes_and_causes_as_in_memory(
    disk: Machine, tmp_path: Path
) -> None:
    script = """
        rm -rf /srv/data/one /usr/share/perl5/Debconf
        mv /opt/dir /opt/moved
        chmod 700 /srv/data
        ln /opt/f /opt/g
        echo more >>/opt/h
    """
    archive = build_deb(
        tmp_path, "toy", files={"/etc/toy": "x"}, scripts={"postrm": f'[ "$1" = purge ] || exit 0\n{script}'}
    )
    disk.install(archive)
    for path in ("/srv/data/one/1", "/opt/dir/deep/file", "/opt/f", "/opt/h"):
        disk.write(path)
    in_memory = disk.rehearse(*purge("toy"))
    on_disk = disk.rehearse(*purge("toy"), limits=ON_DISK)
    assert wrote_to_disk(on_disk) and not wrote_to_disk(in_memory)
    assert on_disk.complete and on_disk.unknowns == ()

    def told(result: RehearsalResult) -> dict[bytes, tuple[object, Cause | None]]:
        return {change.path: (change.kinds, change.cause) for change in result.changes}

    assert told(on_disk) == told(in_memory)
    assert len(told(on_disk)) > 50
    assert disk.read("/srv/data/one/1") == "kept\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("dd if=/dev/zero of=/srv/data/big bs=1M count=2000", "256 MiB"),
        ("i=0; while :; do : >/srv/data/$i; i=$((i + 1)); done", "2000 files"),
        ("dd if=/dev/zero of=/dev/shm/big bs=1M count=2000", "256 MiB"),
    ],
)
def test_filling_the_room_on_disk_is_unknown_and_takes_nothing_from_the_machine(
    disk: Machine, script: str, words: str
) -> None:
    before = free(disk)
    result = disk.rehearse_shell(script, replace(ON_DISK, upper_inodes=2000))
    assert wrote_to_disk(result)
    assert cut_off(result, words), result.unknowns
    assert eventually(lambda: free(disk) == before)


def test_the_run_ends_when_others_fill_the_machine_s_disk(disk: Machine) -> None:
    def fill() -> None:
        if eventually(lambda: bool(loop_devices())):
            left = free(disk) - 200 * MIB
            os.posix_fallocate(filling.fileno(), 0, left)

    with open(disk.path("/var/lib/aptguard/others"), "wb") as filling:
        begun = threading.Thread(target=fill)
        begun.start()
        result = disk.rehearse_shell("sleep 100", ON_DISK)
        begun.join()
    assert cut_off(result, "the machine's disk has less than 256 MiB left"), result.unknowns


@pytest.mark.parametrize("lack", ["room", "mkfs", "disk"])
def test_without_room_on_disk_memory_is_used_and_the_report_says_why(
    machine: Machine, tmp_path: Path, lack: str
) -> None:
    if lack != "disk":
        put_disk_in(machine, tmp_path, (640 if lack == "room" else 4096) * MIB)
    if lack == "mkfs":
        machine.run("rm", "-f", "/usr/sbin/mkfs.ext4", "/usr/sbin/mke2fs")
    else:
        put_mkfs_in(machine)
    result = machine.rehearse_shell("echo new >/srv/data/new", ON_DISK)
    assert result.complete and not wrote_to_disk(result)
    # Before Linux 6.3 an overlay makes no files without a name.
    reason = {"room": "are needed", "mkfs": "e2fsprogs", "disk": "overlay|no nameless file"}[lack]
    assert any("no room for it on disk" in note and re.search(reason, note) for note in result.notes), (
        result.notes
    )


_KILLED = """
import os, sys
sys.path[:0] = sys.argv[1:3]
from aptguard.rehearsal.model import RehearsalRequest
from aptguard.rehearsal.rehearse import rehearse
from rehearsal.machine import ENVIRONMENT, shell
from rehearsal.test_disk_room import ON_DISK
namespace = os.open(f"/proc/{sys.argv[3]}/ns/mnt", os.O_RDONLY)
script = shell("dd if=/dev/zero of=/srv/data/big bs=1M count=100; sleep 1000")
rehearse(RehearsalRequest((script,), ENVIRONMENT, limits=ON_DISK), mount_namespace=namespace)
"""


def test_nothing_is_left_on_disk_when_everything_is_killed(disk: Machine) -> None:
    before = free(disk)
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [os.path.join(os.path.dirname(here), "src"), here]
    process = subprocess.Popen([sys.executable, "-c", _KILLED, *paths, str(disk.pid)])
    try:
        assert eventually(lambda: bool(loop_devices()))
        assert eventually(lambda: before - free(disk) > 256 * MIB)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert eventually(lambda: not loop_devices())
    assert eventually(lambda: free(disk) == before)
    assert os.listdir(disk.path("/var/lib/aptguard")) == ["lost+found"]


def test_memory_is_preferred_where_it_is_large_enough(disk: Machine) -> None:
    result = disk.rehearse_shell("true", replace(Limits(seconds=30.0), upper_likely_bytes=MIB))
    assert result.complete and not wrote_to_disk(result)


def test_every_call_for_the_room_on_disk_that_fails_leaves_memory_or_an_unknown(
    disk: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.write("/srv/data/old")
    faulty = Faulty(disk, tmp_path, monkeypatch)
    faulty.limits = ON_DISK
    # Before the first rehearsal: the kernel gives its room back a moment after it has ended.
    before = free(disk)
    sites = [
        site for site in faulty.sites() if site.startswith(("disk_room.py", "upper_room.py", "workspace.py"))
    ]
    assert len(sites) > 15
    for site in sites:
        faulty.prepare(site=site)
        result = faulty.run()
        told = [*result.notes, *(unknown.reason for unknown in result.unknowns)]
        assert (
            result.unknowns
            or not wrote_to_disk(result)
            or site.endswith(("_place lstat", "drop_all ioctl", "_configure ioctl", "close close"))
        ), (site, told)
    assert eventually(lambda: free(disk) == before)
