# SPDX-License-Identifier: GPL-3.0-or-later
"""One file system in several places, and several in one: each change is named where it is reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aptguard.changes.model import Kind, ViewName
from aptguard.rehearsal.model import RehearsalResult
from rehearsal.disks import made, mount, mount_image
from rehearsal.machine import SET_UP, Machine
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root


def deleted(result: RehearsalResult) -> set[bytes]:
    return {change.path for change in result.changes if change.deleted}


def test_what_a_package_deletes_through_a_bound_directory_is_named_by_its_real_place(
    machine: Machine, tmp_path: Path
) -> None:
    """The trap of class F: a chroot's /home is the machine's."""
    machine.write("/home/alice/mail")
    os.makedirs(machine.path("/srv/chroot/home"))
    mount(machine, "--bind", "/home", "/srv/chroot/home")
    result = rehearse_purge(machine, tmp_path, "rm -rf /srv/chroot/* || true")
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert deleted_by_script(result) == {b"/home/alice", b"/home/alice/mail"}
    assert machine.read("/home/alice/mail") == "kept\n"


@pytest.mark.parametrize("base", ["/opt", "/srv/data"], ids=["of the root", "of another file system"])
def test_a_bound_directory_that_is_read_only_refuses_as_on_the_machine(machine: Machine, base: str) -> None:
    machine.write(f"{base}/shared/file")
    mount(machine, "--bind", f"{base}/shared", "/mnt")
    mount(machine, "-o", "remount,bind,ro", "/mnt")
    result = machine.rehearse_shell(
        f"rm /mnt/file; chmod 700 /mnt; rm {base}/shared/file; [ ! -e /mnt/file ]"
    )
    assert result.steps[0].status == 0, result.output
    assert result.output.count(b"Read-only file system") == 2, result.output
    assert deleted(result) == {b"/mnt/file", f"{base}/shared/file".encode()}
    assert result.unknowns == ()


def test_a_file_bound_from_the_same_file_system_is_one_file(machine: Machine) -> None:
    machine.write("/etc/one", "kept\n")
    machine.write("/etc/two", "hidden\n")
    mount(machine, "--bind", "/etc/one", "/etc/two")
    result = machine.rehearse_shell("rm /etc/two; echo changed >/etc/two; cat /etc/one; rm /etc/one; exit 0")
    assert b"Device or resource busy" in result.output
    assert result.output.endswith(b"changed\n")
    assert result.unknowns == ()
    kinds = {change.path: change.kinds for change in result.changes}
    # The name /etc/one is deleted; the file itself, with the new content, stays mounted on /etc/two.
    assert kinds[b"/etc/one"] == {Kind.DELETED}
    assert machine.read("/etc/one") == machine.read("/etc/two") == "kept\n"


def test_a_bound_file_that_is_read_only_refuses_as_on_the_machine(machine: Machine, tmp_path: Path) -> None:
    mount_image(machine, made(tmp_path, "ext4"), "/mnt")
    machine.write("/mnt/hosts", "kept\n")
    machine.write("/etc/hosts", "hidden\n")
    mount(machine, "--bind", "/mnt/hosts", "/etc/hosts")
    mount(machine, "-o", "remount,bind,ro", "/etc/hosts")
    assert machine.run("umount", "/mnt").returncode == 0
    result = machine.rehearse_shell("echo x >/etc/hosts; exit 0")
    assert b"Read-only file system" in result.output
    assert (result.changes, result.unknowns) == ((), ())


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_is_still_bound_though_its_own_name_is_gone_is_covered(machine: Machine, what: str) -> None:
    """The /etc/resolv.conf of a container, once its host has put another in its place."""
    if what == "file":
        machine.write("/srv/data/own", "kept\n")
        machine.write("/mnt/place")
        mount(machine, "--bind", "/srv/data/own", "/mnt/place")
        os.unlink(machine.path("/srv/data/own"))
        script, place = "echo changed >/mnt/place", "/mnt/place"
    else:
        os.makedirs(machine.path("/srv/data/own"))
        os.makedirs(machine.path("/mnt/place"))
        mount(machine, "--bind", "/srv/data/own", "/mnt/place")
        os.rmdir(machine.path("/srv/data/own"))
        script, place = "chmod 700 /mnt/place", "/mnt/place"
    result = machine.rehearse_shell(script)
    assert result.complete, (result.unknowns, result.output)
    assert {change.path for change in result.changes} == {place.encode()}
    assert result.unknowns == ()


def test_what_another_mount_hides_is_named_by_the_way_that_leads_to_it(machine: Machine) -> None:
    """mount --bind / elsewhere shows what lies under the mount points; the plain names lead past it."""
    machine.write("/opt/hidden/under")
    os.makedirs(machine.path("/mnt/root"))
    mount(machine, "-t", "tmpfs", "x", "/opt")
    machine.write("/opt/hidden/over")
    mount(machine, "--bind", "/", "/mnt/root")
    result = machine.rehearse_shell(
        "rm -r /mnt/root/opt/hidden; rm /mnt/root/etc/hostname; cat /opt/hidden/over"
    )
    assert result.steps[0].status == 0, result.output
    assert deleted(result) == {
        b"/mnt/root/opt/hidden",
        b"/mnt/root/opt/hidden/under",
        b"/etc/hostname",
    }
    result = machine.rehearse_shell("rm -r /mnt/root/opt/hidden /opt/hidden")
    names = {b"/opt/hidden", b"/opt/hidden/over", b"/mnt/root/opt/hidden", b"/mnt/root/opt/hidden/under"}
    assert deleted(result) == names


def test_a_directory_of_the_systems_that_lies_on_another_disk_is_known_by_both_names(
    machine: Machine,
) -> None:
    machine.write("/srv/data/logs/app/old")
    mount(machine, "--bind", "/srv/data/logs", "/var/log")
    for deed in ("rm /var/log/app/old", "rm /srv/data/logs/app/old"):
        (change,) = machine.rehearse_shell(deed).changes
        assert change.path == b"/var/log/app/old"
        assert change.views == (ViewName(b"/srv/data/logs/app/old", b"/srv/data/logs"),)


def test_what_lies_under_a_mount_is_neither_seen_nor_changed(machine: Machine) -> None:
    machine.write("/opt/a/under")
    for number in range(3):
        mount(machine, "-t", "tmpfs", "x", "/opt")
        machine.write(f"/opt/level-{number}/file")
    mount(machine, "-t", "tmpfs", "x", "/opt/level-2")
    result = machine.rehearse_shell("find /opt -mindepth 1; rm -rf /opt/*; exit 0")
    assert result.output.split() == [b"/opt/level-2", *result.output.split()[1:]]
    assert deleted(result) == set()  # a mount point that is empty cannot be removed
    assert result.unknowns == ()


def test_a_view_of_the_callers_own_does_not_hide_the_machine(machine: Machine) -> None:
    """As a unit with ProtectHome= has it: the rehearsal shows the machine, not what its caller sees."""
    machine.write("/home/alice/mail")
    code = (
        "import os, sys, json; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from rehearsal.machine import Machine\n"
        "machine = Machine(int(sys.argv[2]), int(sys.argv[3]))\n"
        "result = machine.rehearse_shell('rm -rf /home/alice /root/mine')\n"
        "paths = sorted(change.path.decode() for change in result.changes)\n"
        "print(*paths, result.complete, result.unknowns)\n"
    )
    machine.write("/root/mine")
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs x /home; mount -t tmpfs x /root; exec "$@"',
        "sh",
    ]
    command += [sys.executable, "-c", code, json.dumps(sys.path), str(machine.pid), str(machine.namespace)]
    done = subprocess.run(command, pass_fds=[machine.namespace], capture_output=True, text=True, check=False)
    assert done.stdout == "/home/alice /home/alice/mail /root/mine True ()\n", done.stderr


def test_a_mount_of_another_namespace_is_none_of_the_machine(machine: Machine) -> None:
    """What a service has mounted for itself (PrivateTmp=) hides nothing from the scripts."""
    machine.write("/opt/file")
    own_view = ["nsenter", f"--mount=/proc/{machine.pid}/ns/mnt", "unshare", "--mount"]
    script = "mount -t tmpfs x /opt; echo ready; exec cat"
    with subprocess.Popen(
        [*own_view, "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        result = machine.rehearse_shell("rm /opt/file")
        service.kill()
    assert deleted(result) == {b"/opt/file"}
    assert result.complete


def test_a_container_whose_root_is_an_overlay_is_rehearsed_and_one_within_it_is_not(machine: Machine) -> None:
    """The kernel stacks two overlays (FILESYSTEM_MAX_STACK_DEPTH): the rehearsal's is the second."""
    assert machine.rehearse_shell("rm /etc/hostname").complete  # its root is an overlay
    own_view = ["nsenter", f"--mount=/proc/{machine.pid}/ns/mnt", "unshare", "--mount"]
    with subprocess.Popen(
        [*own_view, "sh", "-ec", SET_UP, "sh", "/", "/mnt"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        with open(f"/proc/{holder.pid}/ns/mnt", "rb") as namespace:
            within = Machine(holder.pid, namespace.fileno())
            result = within.rehearse_shell("rm /etc/hostname")
            assert os.path.exists(within.path("/etc/hostname"))
        holder.kill()
    assert not result.complete
    assert any("overlayfs refuses it" in unknown.reason for unknown in result.unknowns), result.unknowns
    assert result.changes == ()


@pytest.mark.parametrize(
    ("deed", "kind"),
    [
        ("setcap cap_net_raw+ep", Kind.CAPABILITY),
        ("chmod 4755", Kind.SETUID),
    ],
)
def test_what_is_done_to_the_attributes_of_a_bound_file_is_told(
    machine: Machine, deed: str, kind: Kind
) -> None:
    machine.write("/etc/mine")
    mount(machine, "-t", "tmpfs", "x", "/mnt")
    machine.write("/mnt/mine")
    mount(machine, "--bind", "/mnt/mine", "/etc/mine")
    mount(machine, "-t", "tmpfs", "x", "/mnt")  # so that no overlay shows the file
    result = machine.rehearse_shell(f"{deed} /etc/mine")
    assert result.complete, (result.unknowns, result.output)
    told = {change.path: change.kinds for change in result.changes}
    assert kind in told[b"/etc/mine"]
    assert machine.rehearse_shell("cat /etc/mine; : >>/etc/mine").changes == ()
