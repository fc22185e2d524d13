# SPDX-License-Identifier: GPL-3.0-or-later
"""A script that looks at pid 1, or for control groups, goes the way that it goes on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from aptguard.rehearsal.model import UNANSWERED
from rehearsal.disks import mount
from rehearsal.machine import Machine, running_machine
from testbed.trees import base_tree

pytestmark = pytest.mark.needs_root

CHROOTED = """
[ "$(stat -c %d/%i /)" = "$(stat -Lc %d/%i /proc/1/root 2>/dev/null)" ] && echo no chroot || echo chroot
"""
# As the kernel shows that of a machine that was booted; read-only, so that the rehearsal makes its own.
_PID_1 = """
set -e
mkdir /run/first; cd /run/first
{root}; ln -s / cwd; ln -s /usr/lib/systemd/systemd exe
echo systemd >comm; printf '/sbin/init\\0splash\\0' >cmdline
echo '1 (systemd) S 0 1 1 0 -1 4194560 0' >stat
printf 'HOME=/\\0TERM=linux\\0' >environ; chmod 0400 environ
mkdir ns; ln -s "$(readlink /proc/self/ns/mnt)" ns/mnt
mount --bind . /proc/1; mount -o remount,bind,ro /proc/1
"""
_DETECTS = """#!/bin/sh
[ -d /dev/.rehearsal ] && {{ echo "in here: $*"; exit 3; }}
case "$*" in --container) echo {container} ;; --vm) echo {vm} ;; esac
"""


@pytest.fixture
def booted(machine: Machine) -> Machine:
    """A machine whose pid 1 is its own."""
    show_first_process(machine, "ln -s / root")
    return machine


def show_first_process(machine: Machine, root: str) -> None:
    done = machine.run("sh", "-c", _PID_1.format(root=root))
    assert done.returncode == 0, done.stderr


def same_on_both(machine: Machine, script: str) -> str:
    """Return what ``script`` says on the machine; it says the same in the rehearsal."""
    there = machine.run("sh", "-c", script).stdout
    result = machine.rehearse_shell(script)
    assert (result.output.decode(), result.unknowns) == (there, ())
    assert result.changes == ()
    return there


def test_a_machine_that_was_booted_is_not_taken_for_a_chroot(booted: Machine) -> None:
    assert same_on_both(booted, CHROOTED) == "no chroot\n"


def test_a_chroot_stays_one(machine: Machine) -> None:
    show_first_process(machine, "mkdir root")
    assert same_on_both(machine, CHROOTED) == "chroot\n"
    assert same_on_both(machine, "stat -Lc %F /proc/1/root") == "directory\n"


def test_where_the_root_of_pid_1_cannot_be_seen_on_the_machine_it_is_none_here(machine: Machine) -> None:
    show_first_process(machine, "true")
    assert same_on_both(machine, CHROOTED) == "chroot\n"


@pytest.mark.parametrize(
    "asks",
    [
        "cat /proc/1/comm",
        "readlink /proc/1/exe /proc/1/cwd",
        "tr '\\0' '\\n' </proc/1/environ; stat -c %a/%u /proc/1/environ /proc/1/stat",
        "cut -d' ' -f2 /proc/1/stat; tr '\\0' ' ' </proc/1/cmdline; ps -p 1 -o comm=",
        '[ "$(readlink /proc/1/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ] && echo the same',
        "cat /proc/1/nothing 2>/dev/null || echo nothing",
    ],
)
def test_pid_1_shows_what_it_shows_on_the_machine(booted: Machine, asks: str) -> None:
    assert same_on_both(booted, asks)


def test_pid_1_has_the_mounts_of_every_other_process(booted: Machine) -> None:
    script = "cmp /proc/1/mountinfo /proc/self/mountinfo && cmp /proc/1/mounts /proc/self/mounts && echo same"
    assert booted.rehearse_shell(script).output == b"same\n"


def test_who_may_not_read_the_environment_of_pid_1_does_not_read_it_here(booted: Machine) -> None:
    asks = "setpriv --reuid 65534 --regid 65534 --clear-groups cat /proc/1/environ 2>/dev/null || echo no"
    assert booted.rehearse_shell(asks).output == b"no\n"


def test_pid_1_of_a_machine_that_hides_it_has_its_name_all_the_same(machine: Machine) -> None:
    assert same_on_both(machine, "cat /proc/1/comm; ps -p 1 -o comm=")


def test_nothing_that_a_script_does_to_pid_1_is_done_to_that_of_the_machine(booted: Machine) -> None:
    attack = """
        echo other >/proc/1/comm; rm -rf /proc/1/root; mv /proc/1/exe /proc/1/new; ln -s / /proc/1/x
        chmod 0 /proc/1; mount -o remount,rw,bind /proc/1; umount /proc/1; umount -l /proc/1; ls /proc/1/fd
        true
    """
    result = booted.rehearse_shell(attack)
    assert result.changes == ()
    assert booted.read("/run/first/comm") == "systemd\n"
    assert b"cannot create" in result.output


def test_control_groups_are_there_as_on_the_machine(machine: Machine) -> None:
    mount(machine, "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    script = (
        "mountpoint -q /sys/fs/cgroup && echo mounted; stat -fc %T /sys/fs/cgroup; "
        "cat /sys/fs/cgroup/cgroup.controllers"
    )
    assert same_on_both(machine, script).startswith("mounted\ncgroup2fs\n")


def test_no_control_group_can_be_changed(machine: Machine) -> None:
    mount(machine, "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    attack = """
        cd /sys/fs/cgroup; mkdir /sys/fs/cgroup/mine
        echo $$ >cgroup.procs; echo +pids >cgroup.subtree_control
        chmod 777 cgroup.procs; chown 1 .; setfattr -n user.x -v y .; true
    """
    result = machine.rehearse_shell(attack)
    assert b"Read-only file system" in result.output
    assert [effect.path for effect in result.effects] == [b"/sys/fs/cgroup/mine"]
    assert machine.run("test", "-e", "/sys/fs/cgroup/mine").returncode != 0
    assert (
        machine.run("stat", "-c", "%a %u", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup").stdout
        == "644 0\n555 0\n"
    )
    assert result.changes == ()


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("", "none 1"),
        ("--container", "none 1"),
        ("-c -q", "1"),
        ("-qc", "1"),
        ("--cont", "none 1"),
        ("-c --vm", "none 1"),
        ("--chroot", "in here: --chroot 3"),
        ("-r", "in here: -r 3"),
        ("--list", "in here: --list 3"),
        ("-c --help", "in here: -c --help 3"),
        ("-x", "in here: -x 3"),
        ("-c word", "in here: -c word 3"),
    ],
)
def test_what_a_bare_machine_runs_in_is_answered_by_the_machine(
    machine: Machine, call: str, answer: str
) -> None:
    machine.write("/usr/bin/systemd-detect-virt", _DETECTS.format(container="none", vm="none"), 0o755)
    result = machine.rehearse_shell(f"systemd-detect-virt {call}; echo $?")
    assert result.output.decode().split() == answer.split()
    assert (result.effects, result.unknowns) == ((), ())


@pytest.mark.parametrize(
    ("container", "vm", "call", "answer"),
    [
        ("none", "kvm", "", "kvm 0"),
        ("none", "kvm", "-c", "none 1"),
        ("lxc", "kvm", "", "lxc 0"),
        ("lxc", "kvm", "--vm", "kvm 0"),
        ("lxc", "none", "--quiet --container", "0"),
    ],
)
def test_what_a_virtual_machine_runs_in_is_answered_by_it(
    machine: Machine, container: str, vm: str, call: str, answer: str
) -> None:
    machine.write("/usr/bin/systemd-detect-virt", _DETECTS.format(container=container, vm=vm), 0o755)
    result = machine.rehearse_shell(f"systemd-detect-virt {call}; echo $?")
    assert result.output.decode().split() == answer.split()


@pytest.mark.parametrize("call", ["--cvm", "-c", ""])
def test_what_the_machine_does_not_say_is_told_as_unanswered(machine: Machine, call: str) -> None:
    says = _DETECTS.format(container="", vm="none")
    machine.write("/usr/bin/systemd-detect-virt", says, 0o755)
    result = machine.rehearse_shell(f"systemd-detect-virt {call} || true")
    assert [effect.kind for effect in result.effects] == [UNANSWERED]


@pytest.mark.parametrize("version", ["12", "13"])
@pytest.mark.parametrize("call", ["", "--container", "--vm", "--chroot", "--private-users"])
def test_what_the_machine_runs_in_is_said_as_there(
    needs_root: None, version: str, call: str, tmp_path: Path
) -> None:
    with running_machine(base_tree(version), str(tmp_path)) as started:
        same_on_both(started, f"systemd-detect-virt {call} 2>/dev/null; echo $?")
