# SPDX-License-Identifier: GPL-3.0-or-later
"""Real file systems behind loop devices: what a package would do on them is seen, and not done."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import aptguard.rehearsal.rehearse as rehearse_module
from aptguard.changes.model import Kind
from aptguard.rehearsal.model import RehearsalResult
from rehearsal.disks import made, mount, mount_image, packed
from rehearsal.machine import Machine
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root


def mounts_of(pid: int | str) -> str:
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


@pytest.fixture(autouse=True)
def nothing_is_left(machine: Machine) -> Iterator[None]:
    ours = mounts_of("self")
    yield
    assert mounts_of("self") == ours
    assert " aptguard " not in mounts_of(machine.pid)


def deleted(result: RehearsalResult) -> set[bytes]:
    return {change.path for change in result.changes if change.deleted}


def fill(directory: str) -> None:
    os.mkdir(f"{directory}/db")
    for name in ("one", "two"):
        with open(f"{directory}/db/{name}", "w", encoding="ascii") as file:
            file.write("kept\n")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_what_a_package_deletes_on_a_disk_is_named_and_stays(
    machine: Machine, tmp_path: Path, kind: str
) -> None:
    mount_image(machine, made(tmp_path, kind), "/srv/disk")
    fill(machine.path("/srv/disk"))
    before = mounts_of(machine.pid)
    result = rehearse_purge(machine, tmp_path, "rm -rf /srv/disk/*; touch /srv/disk/new")
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    below = {b"/srv/disk/db", b"/srv/disk/db/one", b"/srv/disk/db/two"}
    assert below <= deleted_by_script(result)
    assert deleted(result) - below <= {b"/srv/disk/lost+found"} | {
        path for path in deleted(result) if path.startswith(b"/var/lib/dpkg/info/toy.")
    }
    assert b"/srv/disk/new" in [change.path for change in result.changes if change.created]
    assert machine.read("/srv/disk/db/one") == machine.read("/srv/disk/db/two") == "kept\n"
    assert not os.path.exists(machine.path("/srv/disk/new"))
    assert mounts_of(machine.pid) == before


@pytest.mark.parametrize("kind", ["squashfs", "erofs"])
def test_a_file_system_that_is_never_written_to_refuses_as_on_the_machine(
    machine: Machine, tmp_path: Path, kind: str
) -> None:
    """A snap is one of these; its root has flags (erofs) or no extended attributes at all (squashfs)."""
    mount_image(machine, packed(tmp_path, kind, fill), "/srv/disk")
    script = "cat /srv/disk/db/one; rm -rf /srv/disk/db || :; touch /srv/disk/x || :"
    result = rehearse_purge(machine, tmp_path, script)
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert result.output.count(b"Read-only file system") == 3, result.output
    assert b"kept\n" in result.output
    assert not [change for change in result.changes if change.path.startswith(b"/srv")]


@pytest.mark.parametrize("options", ["ro", "ro,noload"])
def test_a_disk_that_is_mounted_read_only_refuses_as_on_the_machine(
    machine: Machine, tmp_path: Path, options: str
) -> None:
    image = made(tmp_path, "ext4")
    subprocess.run(["debugfs", "-w", "-R", "mkdir db", image], check=True, capture_output=True)
    mount_image(machine, image, "/srv/disk", options)
    result = machine.rehearse_shell("rmdir /srv/disk/db; chmod 700 /srv/disk; exit 0")
    assert result.output.count(b"Read-only file system") == 2, result.output
    assert (result.changes, result.unknowns) == ((), ())


def test_a_root_that_cannot_be_changed_refuses_as_on_the_machine(machine: Machine, tmp_path: Path) -> None:
    """chattr +i on the root of a file system: nothing can be made or deleted in it, below it all can."""
    mount_image(machine, made(tmp_path, "ext4"), "/srv/disk")
    fill(machine.path("/srv/disk"))
    subprocess.run(["chattr", "+i", machine.path("/srv/disk")], check=True)
    script = "touch /srv/disk/new; rm -rf /srv/disk/lost+found; rm /srv/disk/db/one; exit 0"
    result = machine.rehearse_shell(script)
    assert result.output.count(b"Operation not permitted") == 2, result.output
    assert {change.path for change in result.changes} == {b"/srv/disk/db/one"}
    really = machine.run("sh", "-c", script)
    assert really.stderr.count("Operation not permitted") == 2


# Not every kernel has what overlayfs refuses (vfat): here ext4 is taken for it. See also tests/vm/mounts.py.
_REFUSING = """
import sys
sys.path.append({source!r})
from aptguard.rehearsal import helper, mount_plan
mount_plan._REFUSED_BY_OVERLAY = frozenset({{b"ext4"}})
sys.exit(helper.main([]))
"""


def test_what_overlayfs_refuses_is_rehearsed_on_a_copy(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(rehearse_module.__file__))))
    helper = tmp_path / "helper.py"
    helper.write_text(_REFUSING.format(source=source))
    monkeypatch.setattr(rehearse_module, "_HELPER", str(helper))
    mount_image(machine, made(tmp_path, "ext4"), "/boot/efi")
    fill(machine.path("/boot/efi"))
    script = "rm /boot/efi/db/one; echo x >>/boot/efi/db/two; touch /boot/efi/new"
    result = rehearse_purge(machine, tmp_path, script)
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert deleted_by_script(result) == {b"/boot/efi/db/one"}
    kinds = {change.path: change.kinds for change in result.changes}
    assert kinds[b"/boot/efi/db/two"] == {Kind.CONTENT}
    assert kinds[b"/boot/efi/new"] == {Kind.CREATED}
    assert [note for note in result.notes if "rehearsed on a copy" in note]
    assert machine.read("/boot/efi/db/one") == machine.read("/boot/efi/db/two") == "kept\n"


@pytest.fixture
def pool(machine: Machine, tmp_path: Path) -> Machine:
    """A btrfs as installers make it: the subvolumes @ and @home, one of them with another inside."""
    mount_image(machine, made(tmp_path, "btrfs"), "/mnt")
    for name in ("@", "@home", "@home/alice"):
        subprocess.run(
            ["btrfs", "subvolume", "create", machine.path(f"/mnt/{name}")], check=True, capture_output=True
        )
    machine.write("/mnt/@home/alice/mail")
    machine.write("/mnt/@home/bob/mail")
    return machine


def device_of(machine: Machine, point: str) -> str:
    return next(line.split()[-2] for line in mounts_of(machine.pid).splitlines() if f" {point} " in line)


def test_a_subvolume_inside_of_a_file_system_is_a_part_of_it(pool: Machine, tmp_path: Path) -> None:
    """It has a device number of its own and is no mount: nothing but the overlay of its parent shows it."""
    pool.write("/mnt/@home/shared")
    os.link(pool.path("/mnt/@home/shared"), pool.path("/mnt/@home/shared-2"))
    script = "rm -rf /mnt/@home/alice; chmod 600 /mnt/@home/bob/mail /mnt/@home/shared"
    result = rehearse_purge(pool, tmp_path, script)
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert deleted_by_script(result) == {b"/mnt/@home/alice", b"/mnt/@home/alice/mail"}
    changed = {change.path: change.other_names for change in result.changes if b"/mnt" in change.path}
    assert changed[b"/mnt/@home/shared"] == (b"/mnt/@home/shared-2",)
    assert changed[b"/mnt/@home/bob/mail"] == ()
    assert pool.read("/mnt/@home/alice/mail") == "kept\n"


def test_a_file_is_moved_between_subvolumes_as_on_the_machine(pool: Machine) -> None:
    """rename(2) of it fails there (EXDEV), and mv copies; either way the old name is gone."""
    result = pool.rehearse_shell("mv /mnt/@home/alice/mail /mnt/@home/bob/moved")
    assert result.complete, (result.unknowns, result.output)
    assert deleted(result) == {b"/mnt/@home/alice/mail"}
    assert pool.read("/mnt/@home/alice/mail") == "kept\n"


def test_mounted_subvolumes_are_named_as_they_are_reached(pool: Machine, tmp_path: Path) -> None:
    device = device_of(pool, "/mnt")
    mount(pool, "-o", "subvol=@home", device, "/home")
    assert pool.run("umount", "/mnt").returncode == 0
    result = rehearse_purge(pool, tmp_path, "rm -rf /home/alice")
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert deleted_by_script(result) == {b"/home/alice", b"/home/alice/mail"}
    assert pool.read("/home/alice/mail") == "kept\n"


def test_what_is_deleted_through_the_whole_pool_is_gone_from_the_mounted_subvolume(pool: Machine) -> None:
    mount(pool, "-o", "subvol=@home", device_of(pool, "/mnt"), "/home")
    result = pool.rehearse_shell("rm -rf /mnt/@home/bob; [ ! -e /home/bob ]")
    assert result.steps[0].status == 0, result.output
    gone = {b"/home/bob", b"/home/bob/mail"}  # /mnt, the whole pool, is but a view of it
    assert deleted(result) == gone
    result = pool.rehearse_shell("rm -rf /home/bob; [ ! -e /mnt/@home/bob ]")
    assert result.steps[0].status == 0, result.output
    assert deleted(result) == gone
    assert pool.read("/home/bob/mail") == "kept\n"


def test_a_machine_whose_directories_are_file_systems_of_their_own_is_rehearsed_as_one(
    machine: Machine, debian_tree: str, tmp_path: Path
) -> None:
    usr = str(tmp_path / "usr")
    with open(usr, "wb") as file:
        file.truncate(4096 << 20)  # sparse: a tree with a kernel's modules has more than a GiB
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", f"{debian_tree}/usr", usr], check=True
    )
    mount_image(machine, usr, "/usr")
    for point, kind in (("/var", "xfs"), ("/home", "btrfs"), ("/srv", "ext4")):
        mount_image(machine, made(tmp_path, kind), f"/mnt{point}")
        if point == "/var":
            # Not what may be large: the archive's files, and the images of this very test.
            copy = (
                "cd /var; cp -a $(ls | grep -vx -e cache -e tmp) /mnt/var; mkdir /mnt/var/cache /mnt/var/tmp"
            )
            done = machine.run("sh", "-ec", copy)
            assert done.returncode == 0, done.stderr
        mount(machine, "--move", f"/mnt{point}", point)
    for path in ("/usr/local/share/mine", "/var/lib/mine/db", "/home/alice/mail", "/srv/mine/db"):
        machine.write(path)
    script = "rm -rf /usr/local/share/mine /var/lib/mine /home/* /srv/*"
    result = rehearse_purge(machine, tmp_path, script)
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    expected = {
        b"/usr/local/share/mine",
        b"/var/lib/mine",
        b"/var/lib/mine/db",
        b"/home/alice",
        b"/home/alice/mail",
        b"/srv/mine",
        b"/srv/mine/db",
        b"/srv/lost+found",
    }
    assert deleted_by_script(result) == expected
    for path in ("/usr/local/share/mine", "/var/lib/mine/db", "/home/alice/mail", "/srv/mine/db"):
        assert machine.read(path) == "kept\n"
