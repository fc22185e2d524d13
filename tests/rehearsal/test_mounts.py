# SPDX-License-Identifier: GPL-3.0-or-later
"""Every mount of the machine is covered in a rehearsal, or named as not covered."""

from __future__ import annotations

import os
import socket

import pytest

from aptguard.changes.model import Kind
from aptguard.rehearsal.model import RehearsalResult, Step
from rehearsal.machine import Machine

pytestmark = pytest.mark.needs_root


def deleted(result: RehearsalResult) -> set[bytes]:
    return {change.path for change in result.changes if change.deleted}


def mount(machine: Machine, *arguments: str) -> None:
    done = machine.run("mount", *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["plain", "a b", "a\nb", "a:b,c\\d", "é", "tab\there"])
def test_a_mount_point_of_any_name_is_covered(machine: Machine, name: str) -> None:
    os.makedirs(machine.path(f"/srv/{name}"))
    mount(machine, "-t", "tmpfs", "x", f"/srv/{name}")
    machine.write(f"/srv/{name}/file")
    result = machine.rehearse_shell("rm -rf /srv/*/file")
    assert result.complete, result.unknowns
    assert f"/srv/{name}/file".encode() in deleted(result)
    assert machine.read(f"/srv/{name}/file") == "kept\n"


def test_a_mount_over_a_mount_shows_the_upper_one(machine: Machine) -> None:
    machine.write("/srv/data/below")
    mount(machine, "-t", "tmpfs", "x", "/srv/data")
    machine.write("/srv/data/above")
    result = machine.rehearse_shell("ls /srv/data; rm -rf /srv/data/*")
    assert result.output == b"above\n"
    assert deleted(result) == {b"/srv/data/above"}


def test_a_mount_point_cannot_be_removed_as_on_the_machine(machine: Machine) -> None:
    result = machine.rehearse_shell("rmdir /srv/data; rm -rf /srv/data; [ -d /srv/data ]")
    assert result.steps[0].status == 0, result.output
    assert b"/srv/data" not in deleted(result)


def test_a_read_only_mount_refuses_writing_as_on_the_machine(machine: Machine) -> None:
    machine.write("/srv/data/file")
    mount(machine, "-o", "remount,ro", "/srv/data")
    result = machine.rehearse_shell("rm /srv/data/file; echo x >/srv/data/file; exit 0")
    assert result.output.count(b"Read-only file system") == 2, result.output
    assert not deleted(result)
    assert result.unknowns == ()


def test_what_goes_through_a_bind_mount_is_gone_under_both_names(machine: Machine) -> None:
    machine.write("/opt/real/file")
    machine.write("/srv/data/real/file")
    for source, target in (("/opt/real", "/mnt"), ("/srv/data/real", "/media")):
        mount(machine, "--bind", source, target)
    result = machine.rehearse_shell(
        "rm /mnt/file; rm /media/file; [ ! -e /opt/real/file ] && [ ! -e /srv/data/real/file ]"
    )
    assert result.steps[0].status == 0
    assert deleted(result) == {b"/mnt/file", b"/opt/real/file", b"/media/file", b"/srv/data/real/file"}


def test_a_file_that_is_a_mount_point_is_covered(machine: Machine) -> None:
    machine.write("/run/other", "other\n")
    machine.write("/etc/resolv.conf", "mine\n")
    mount(machine, "--bind", "/dev/shm", "/mnt")  # another file system than any that is shown
    token = f"/mnt/aptguard-test-{os.getpid()}"
    machine.write(token, "nameserver\n")
    try:
        mount(machine, "--bind", token, "/etc/resolv.conf")
        result = machine.rehearse_shell(
            "cat /etc/resolv.conf; echo changed >/etc/resolv.conf; rm /etc/resolv.conf; exit 0"
        )
        assert result.output.startswith(b"nameserver\n")
        assert machine.read("/etc/resolv.conf") == "nameserver\n"
    finally:
        os.unlink(machine.path(token))
    changed = {change.path: change.kinds for change in result.changes}
    assert changed[b"/etc/resolv.conf"] == {Kind.CONTENT}


def test_proc_sys_and_dev_are_its_own(machine: Machine) -> None:
    result = machine.rehearse_shell(
        "set -e; [ -r /proc/mounts ]; [ -d /run/systemd/system ]; echo x >/dev/null; [ -c /dev/urandom ]; "
        "[ -d /sys/kernel ]; [ $(ls /proc | grep -c '^[0-9]') -lt 9 ]; [ ! -e /dev/kmsg ]"
    )
    assert result.steps[0].status == 0, result.output


def test_a_mounted_directory_keeps_its_mode(machine: Machine) -> None:
    result = machine.rehearse_shell("stat -c %a /srv/data /run /; stat -c %u:%g /srv/data")
    assert result.output.split() == [b"751", b"755", b"755", b"0:0"]
    assert result.changes == ()


def test_hard_links_stay_one_file(machine: Machine) -> None:
    machine.write("/srv/data/one")
    os.link(machine.path("/srv/data/one"), machine.path("/srv/data/two"))
    result = machine.rehearse_shell("chmod 600 /srv/data/one; stat -c %a /srv/data/two")
    assert result.output == b"600\n"


def test_the_scripts_have_the_environment_that_the_real_ones_have(machine: Machine) -> None:
    environment = {
        b"HOME": b"/nonexistent",
        b"SUDO_USER": b"alice",
        b"PATH": b"/usr/bin:/bin",
        b"ODD": b"\xff\n",
    }
    result = machine.rehearse(Step((b"/usr/bin/env", b"-0")), environment=environment)
    seen = dict(word.split(b"=", 1) for word in result.output.split(b"\0") if word)
    ours = {b"SYSTEMD_OFFLINE": b"1", b"LANGUAGE": b"en", b"SYSTEMD_DEVICE_VERIFY_SYSFS": b"0"}
    assert seen == {**environment, **ours}


def test_a_socket_where_nothing_can_be_covered_leads_nowhere(machine: Machine) -> None:
    """Overlayfs refuses a third storey; a bind mount in its place would lead to the machine's sockets."""
    done = machine.run(
        "sh",
        "-ec",
        "cd /run; mkdir -p l u w m u2 w2 /srv/deep; mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m; "
        "mount -t overlay o -o lowerdir=m,upperdir=u2,workdir=w2 /srv/deep; mkfifo /srv/deep/fifo",
    )
    assert done.returncode == 0, done.stderr
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(machine.path("/srv/deep/door"))
        door.listen()
        door.setblocking(False)
        code = "import socket; socket.socket(socket.AF_UNIX).connect('/srv/deep/door')"
        result = machine.rehearse_shell(f'/usr/bin/python3 -c "{code}"; echo x 1<>/srv/deep/fifo; exit 0')
        with pytest.raises(BlockingIOError):
            door.accept()
    assert b"/srv/deep" in [unknown.path for unknown in result.unknowns]
