# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems of Debian's kernels: vfat and f2fs behind loop devices, NFS from a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from aptguard.changes.model import Kind
from rehearsal.disks import made, mount, mount_image, needs_file_system
from rehearsal.machine import Machine
from rehearsal.toys import deleted_by_script, rehearse_purge
from testbed.here import missing_throw_away

pytestmark = pytest.mark.needs_root


def needs_program(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"the program {name} is not installed")


def test_what_a_package_deletes_on_f2fs_is_named_and_stays(machine: Machine, tmp_path: Path) -> None:
    needs_program("mkfs.f2fs")
    mount_image(machine, made(tmp_path, "f2fs"), "/srv/disk")
    machine.write("/srv/disk/db/one")
    result = rehearse_purge(machine, tmp_path, "rm -rf /srv/disk/db; touch /srv/disk/new")
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert deleted_by_script(result) == {b"/srv/disk/db", b"/srv/disk/db/one"}
    assert machine.read("/srv/disk/db/one") == "kept\n"


def test_what_a_package_does_on_the_efi_partition_is_named_and_undone(
    machine: Machine, tmp_path: Path
) -> None:
    """Overlayfs refuses a file system whose names know no case; a copy stands in its place."""
    needs_program("mkfs.vfat")
    mount_image(machine, made(tmp_path, "vfat"), "/boot/efi", "umask=0077")
    machine.write("/boot/efi/EFI/debian/grubx64.efi")
    machine.write("/boot/efi/EFI/debian/grub.cfg")
    script = "rm /boot/efi/EFI/debian/grubx64.efi; echo x >>/boot/efi/EFI/debian/grub.cfg"
    result = rehearse_purge(machine, tmp_path, script)
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert deleted_by_script(result) == {b"/boot/efi/EFI/debian/grubx64.efi"}
    kinds = {change.path: change.kinds for change in result.changes}
    assert kinds[b"/boot/efi/EFI/debian/grub.cfg"] == {Kind.CONTENT}
    assert [note for note in result.notes if "rehearsed on a copy" in note]
    assert machine.read("/boot/efi/EFI/debian/grubx64.efi") == "kept\n"
    assert machine.read("/boot/efi/EFI/debian/grub.cfg") == "kept\n"


def test_a_name_in_another_case_is_the_same_on_the_efi_partition_and_makes_it_unknown(
    machine: Machine, tmp_path: Path
) -> None:
    needs_program("mkfs.vfat")
    mount_image(machine, made(tmp_path, "vfat"), "/boot/efi", "umask=0077")
    machine.write("/boot/efi/EFI/debian/grubx64.efi")
    result = rehearse_purge(machine, tmp_path, "rm -rf /boot/efi/efi/Debian")
    assert [unknown.path for unknown in result.unknowns] == [b"/boot/efi/EFI/debian"]
    assert machine.run("rm", "-rf", "/boot/efi/efi/Debian").returncode == 0
    assert not os.path.exists(machine.path("/boot/efi/EFI/debian"))


@contextmanager
def exported(directory: str) -> Iterator[None]:
    """Serve ``directory`` from this machine by NFS."""
    subprocess.run(["systemctl", "start", "nfs-server.service"], check=True)
    options = "rw,no_root_squash,no_subtree_check,insecure,fsid=4711"
    subprocess.run(["exportfs", "-o", options, f"127.0.0.1:{directory}"], check=True)
    try:
        yield
    finally:
        subprocess.run(["exportfs", "-u", f"127.0.0.1:{directory}"], check=False)


def threads(number: int) -> None:
    with open("/proc/fs/nfsd/threads", "w", encoding="ascii") as file:
        file.write(str(number))


@pytest.fixture
def share(machine: Machine) -> Iterator[str]:
    """A directory of this machine that the throw-away machine has mounted by NFS, as /srv/nfs."""
    reason = missing_throw_away()
    if reason:
        pytest.skip(reason)
    needs_program("exportfs")
    for kind in ("nfs4", "nfsd"):
        needs_file_system(kind)
    directory = f"/var/tmp/aptguard-share-{os.getpid()}"
    os.makedirs(directory + "/db", exist_ok=True)
    with open(directory + "/db/one", "w", encoding="ascii") as file:
        file.write("kept\n")
    try:
        with exported(directory):
            os.makedirs(machine.path("/srv/nfs"))
            mount(machine, "-t", "nfs4", "-o", "hard,vers=4.2", f"127.0.0.1:{directory}", "/srv/nfs")
            try:
                yield directory
            finally:
                threads(8)
                machine.run("umount", "-l", "/srv/nfs")
    finally:
        with suppress(OSError):
            shutil.rmtree(directory)


def test_what_a_package_deletes_on_a_server_that_answers_is_named_and_stays(
    machine: Machine, share: str, tmp_path: Path
) -> None:
    result = rehearse_purge(machine, tmp_path, "cat /srv/nfs/db/one; rm -rf /srv/nfs/db; touch /srv/nfs/new")
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert b"kept\n" in result.output
    assert deleted_by_script(result) == {b"/srv/nfs/db", b"/srv/nfs/db/one"}
    assert os.listdir(share) == ["db"]
    assert os.listdir(share + "/db") == ["one"]


def test_a_server_that_does_not_answer_makes_it_unknown_for_who_goes_there(
    machine: Machine, share: str
) -> None:
    threads(0)
    quiet = machine.rehearse_shell("rm -rf /srv/data/*; ls -l /srv >/dev/null")
    result = machine.rehearse_shell("rm -rf /srv/nfs/db/*; exit 0")
    threads(8)
    assert quiet.complete
    assert quiet.unknowns == ()
    (unknown,) = result.unknowns
    assert unknown.path == b"/srv/nfs"
    assert "does not answer" in unknown.reason
    assert os.listdir(share + "/db") == ["one"]
