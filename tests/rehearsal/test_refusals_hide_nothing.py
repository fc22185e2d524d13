# SPDX-License-Identifier: GPL-3.0-or-later
"""No refusal hides what a script does on the machine: it is seen in the rehearsal, or unknown."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from aptguard.policy.check_attempts import attempt_unknowns
from aptguard.rehearsal.model import REFUSED, Effect, RehearsalResult, Unknown
from rehearsal.machine import Machine
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root

_CALL = "python3 -c 'import ctypes, sys; c = ctypes.CDLL(None, use_errno=True); sys.exit({} != 0)'"
_IN_SRV = _CALL.replace("sys.exit", 'import os; os.chroot("/srv"); os.chdir("/"); sys.exit')
_AND = " && rm -rf /srv/data/cluster || true"

# What runs the deletion all the same: nothing but the wrapper is done without.
SEEN = (
    "unshare -m rm -rf /srv/data/cluster || true",
    "unshare -n rm -rf /srv/data/cluster || true",
    "unshare -i -u -C rm -rf /srv/data/cluster || true",
    "unshare -p -f rm -rf /srv/data/cluster || true",
    "unshare -p -f --mount-proc rm -rf /srv/data/cluster || true",
    "mount -t proc proc /proc" + _AND,
    "mount -t devpts devpts /dev/pts" + _AND,
    _CALL.format('c.mount(b"none", b"/proc", b"proc", 0, 0)') + _AND,
    "ionice -c 1 rm -rf /srv/data/cluster || true",
    "ionice -c 2 -n 0 rm -rf /srv/data/cluster || true",
    "chrt -f 10 rm -rf /srv/data/cluster || true",
    "chrt -r 10 rm -rf /srv/data/cluster || true",
    "chrt -d --sched-runtime 100000 --sched-period 200000 0 rm -rf /srv/data/cluster || true",
    "nice -n -10 rm -rf /srv/data/cluster || true",
    "renice -n -5 -p $$ && rm -rf /srv/data/cluster || true",
    "prlimit --nofile=2000000:2000000 rm -rf /srv/data/cluster || true",
    "prlimit --core=1:1 rm -rf /srv/data/cluster || true",
    "(ulimit -H -l unlimited && ulimit -l unlimited" + _AND + ")",
    "setpriv --bounding-set -sys_admin rm -rf /srv/data/cluster || true",
    "date -s 2030-01-01" + _AND,
    "mount --make-rprivate /" + _AND,
    "mount -o remount,ro /srv/data; rm -rf /srv/data/cluster || true",
    _CALL.format('c.swapoff(b"/nowhere")') + _AND,
    "hostname web1" + _AND,
    'hostname web1; [ "$(hostname)" = web1 ]' + _AND,
    "hostname -b web1; [ $(uname -n) = web1 ]" + _AND,
    _CALL.format('c.setdomainname(b"web", 3)') + _AND,
    _CALL.format("c.mlockall(3)") + _AND,
    _CALL.format("c.vhangup()") + _AND,
    _CALL.format("c.klogctl(5, 0, 0)") + _AND,
    _CALL.format('(c.syscall(250, 1, b"session") < 0)') + _AND,
    _CALL.format("c.syscall(256, 0, 1, 0, 0)") + _AND,
    "fstrim /" + _AND,
    # It cannot be made, but the script goes on as if it had been.
    "[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237" + _AND,
)
# What cannot be let go on as it would.
UNKNOWN = (
    "nsenter -t 1 -m rm -rf /srv/data/cluster || true",
    "nsenter -m/proc/self/ns/mnt rm -rf /srv/data/cluster || true",
    "unshare -r rm -rf /srv/data/cluster || true",
    "unshare -Urm rm -rf /srv/data/cluster || true",
    "umount /srv/data" + _AND,
    "cd /srv; umount ./data" + _AND,
    "mount -t tmpfs none /opt" + _AND,
    "mount --bind /srv/data /opt && rm -rf /opt/cluster || true",
    "choom -n -500 rm -rf /srv/data/cluster || true",
    _CALL.format("c.setns(0, 0)") + _AND,
    "mknod /srv/null c 1 3" + _AND,
    "mknod -m 666 /srv/null c 1 3 || exit 0; rm -rf /srv/data/cluster",
    _CALL.format('c.mknodat(-100, b"/srv/disk", 0o60600, 0x800)') + _AND,
    "mkdir -p /srv/dev; " + _IN_SRV.format('c.mknod(b"/dev/loop-control", 0o20600, 0x1234)') + _AND,
    _CALL.format("c.iopl(3)") + _AND,
    _CALL.format("c.syscall(298, bytes(120), -1, 0, -1, 0) < 0") + _AND,
    _CALL.format("c.syscall(321, 0, bytes(120), 120) < 0") + _AND,
    _CALL.format('c.syscall(248, b"user", b"x", b"x", 1, -2) < 0') + _AND,
    _CALL.format('c.quotactl(0x80000300, b"/dev/sda", 0, 0)') + _AND,
    _CALL.format("c.adjtimex((ctypes.c_int * 60)(0x4000)) < 0") + _AND,
    _CALL.format('c.ioctl(__import__("os").open("/srv", 0), ctypes.c_ulong(0xC0045877), 0)') + _AND,
    _CALL.format('c.pivot_root(b"/", b"/")') + _AND,
    _CALL.format("c.ptrace(0, 0, 0, 0)") + _AND,
    _CALL.format('c.syscall(430, b"tmpfs", 0) < 0') + _AND,
    _CALL.format('c.syscall(428, -100, b"/srv/data", 1) < 0') + _AND,
    _CALL.format("c.syscall(56, 0x20000 | 17, 0, 0, 0, 0) < 0") + _AND,
    _CALL.format('c.umount2(b"/srv/data", 2)') + _AND,
    # Not what the kernel's own file systems show, though where they are.
    "mkdir /dev/x; " + _CALL.format('c.mount(b"/srv/data", b"/dev/x", b"", 4096, 0)') + _AND,
    _CALL.format('c.mount(b"none", b"/dev", b"tmpfs", 0, 0)') + _AND,
    # What shows something else than before, or what is not there before.
    "mount -t proc proc /opt" + _AND,
    "mount -t sysfs sysfs /sys" + _AND,
    "mount -t debugfs none /dev/shm" + _AND,
    _CALL.format('c.syscall(430, b"proc", 0) < 0') + _AND,
    _CALL.format('c.umount2(b"/dev/shm", 2)') + _AND,
    _CALL.format('c.umount2(b"/proc", 2)') + _AND,
    "umount -l /sys" + _AND,
    # In a chroot the place is another one.
    "mkdir -p /srv/proc /srv/dev/pts; " + _IN_SRV.format('c.mount(b"proc", b"/proc", b"proc", 0, 0)') + _AND,
    "mkdir -p /srv/proc; " + _IN_SRV.format('c.mount(b"none", b"proc", b"proc", 0, 0)') + _AND,
    _IN_SRV.format('c.umount2(b"/data", 2)') + _AND,
    "unshare --user rm -rf /srv/data/cluster true || true",
)
# What fails on the machine as well, what only tries, and what ordinary programs do without.
NOTHING_LOST = (
    "umount /srv/nowhere 2>/dev/null || true; umount /opt 2>/dev/null || true",
    _CALL.format('c.umount2(b"/opt", 2)') + " || true",
    "unshare -m true; unshare -n true; unshare -r true || true; unshare -Urm /bin/true || true",
    "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2>/dev/null || true",
    "mount -o remount,rw / || true",
    "systemd-run --version >/dev/null 2>&1 || true; nsenter --help >/dev/null; unshare --help >/dev/null",
    # Browsers look so whether they could have a sandbox.
    _CALL.format("c.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) < 0") + " || true",
    "mkfifo /srv/fifo; mknod /srv/pipe p; rm /srv/fifo /srv/pipe; mknod /dev/null c 1 3 || true",
    "su nobody -s /bin/sh -c '! mknod /tmp/x c 1 3 && ! hostname web1'",
    _CALL.format("(c.adjtimex((ctypes.c_int * 60)(0)) < 0)"),
    "ulimit -n 512; ulimit -c 0; prlimit --nofile=256:512 true; prlimit >/dev/null",
    "nice -n 10 true; ionice -c 3 true; chrt -b 0 true; taskset 1 true; setpriv --no-new-privs true",
    "su nobody -s /bin/sh -c true; runuser -u nobody -- true; chroot / true; flock /run/lock true",
    "ldconfig; getent passwd root >/dev/null; useradd -r toyuser; userdel toyuser; setarch x86_64 true",
    "[ ! -x /usr/bin/systemd-tmpfiles ] || systemd-tmpfiles --create || true",
    "[ ! -x /usr/bin/systemd-sysusers ] || systemd-sysusers || true",
    "python3 -c 'import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (r.getrlimit(r.RLIMIT_NOFILE)[1],) * 2)'",
)


def rehearsed(machine: Machine, directory: Path, postrm: str) -> tuple[RehearsalResult, list[Unknown]]:
    machine.write("/srv/data/cluster/base")
    result = rehearse_purge(machine, directory, postrm)
    assert result.complete and result.unknowns == (), (result.unknowns, result.output)
    assert machine.read("/srv/data/cluster/base") == "kept\n"
    return result, list(attempt_unknowns(result))


@pytest.mark.parametrize("postrm", SEEN)
def test_what_a_wrapper_runs_is_seen_where_only_the_wrapper_cannot_have_its_way(
    machine: Machine, tmp_path: Path, postrm: str
) -> None:
    result, unknown = rehearsed(machine, tmp_path, postrm)
    assert b"/srv/data/cluster/base" in deleted_by_script(result), result.output
    assert unknown == []


@pytest.mark.parametrize("postrm", UNKNOWN)
def test_what_would_follow_a_refused_call_is_unknown_and_named_with_its_script(
    machine: Machine, tmp_path: Path, postrm: str
) -> None:
    result, unknown = rehearsed(machine, tmp_path, postrm)
    assert unknown, result.output
    assert all("would " in one.reason and "(by toy postrm" in one.reason for one in unknown)


@pytest.mark.parametrize("postrm", NOTHING_LOST)
def test_a_call_that_fails_anyway_or_only_tries_makes_nothing_unknown(
    machine: Machine, tmp_path: Path, postrm: str
) -> None:
    result, unknown = rehearsed(machine, tmp_path, postrm)
    assert unknown == [], result.output
    assert [one for one in result.effects if one.kind == REFUSED] == []


@pytest.mark.parametrize(
    "call",
    [
        "mount -t cgroup2 none /opt/groups",
        _CALL.format('c.mount(b"none", b"/opt/groups", b"cgroup2", 0, 0)'),
    ],
)
def test_what_is_there_but_once_is_mounted_again_or_not_as_it_would_be_on_the_machine(
    machine: Machine, tmp_path: Path, call: str
) -> None:
    mounted_on(machine, "cgroup2", "/opt/groups")
    # By mount(2) it is refused, by the newer calls of another mount(8) it is not.
    done = machine.run("sh", "-c", call)
    deed = f"{call} {'||' if done.returncode else '&&'} rm -rf /srv/data/cluster; true"
    result, unknown = rehearsed(machine, tmp_path, deed)
    assert b"/srv/data/cluster/base" in deleted_by_script(result), result.output
    assert [one for one in result.effects if one.kind == REFUSED] == [] == unknown


@pytest.mark.parametrize(
    "postrm",
    [
        "umount /srv/jail/proc" + _AND,
        _CALL.format('c.umount2(b"/srv/jail/proc", 2)') + _AND,
        _CALL.format('c.mount(b"", b"/srv/jail/proc", b"", 32, 0)') + _AND,
        _IN_SRV.format('c.umount2(b"/jail/proc", 2)') + _AND,
        _IN_SRV.format('c.mount(b"proc", b"/jail/proc", b"proc", 0, 0)') + _AND,
    ],
)
def test_a_mount_of_the_kernels_kinds_that_is_an_empty_place_here_can_be_unmounted_on_the_machine(
    machine: Machine, tmp_path: Path, postrm: str
) -> None:
    mounted_on(machine, "proc", "/srv/jail/proc")
    result, unknown = rehearsed(machine, tmp_path, postrm)
    assert unknown, result.output
    assert all("would " in one.reason and "(by toy postrm" in one.reason for one in unknown)


def mounted_on(machine: Machine, kind: str, place: str) -> None:
    done = machine.run("sh", "-ec", f"mkdir -p {place}; mount -t {kind} none {place}")
    assert done.returncode == 0, done.stderr


def test_the_name_of_the_host_is_set_in_the_rehearsal_alone_and_told(
    machine: Machine, tmp_path: Path
) -> None:
    before = socket.gethostname()
    result, unknown = rehearsed(machine, tmp_path, "hostname web1; hostname")
    assert Effect("kernel", "would name the host web1", "toy postrm purge") in result.effects
    assert b"web1\n" in result.output and unknown == []
    assert socket.gethostname() == before != "web1"


def test_a_set_user_id_program_does_what_it_does_on_the_machine(machine: Machine, tmp_path: Path) -> None:
    machine.run("cp", "/bin/bash", "/usr/local/bin/become-root")
    os.chmod(machine.path("/usr/local/bin/become-root"), 0o4755)
    deed = '/usr/local/bin/become-root -p -c "rm -rf /srv/data/cluster"'
    result, unknown = rehearsed(machine, tmp_path, f"su nobody -s /bin/sh -c '{deed}' || true")
    assert b"/srv/data/cluster/base" in deleted_by_script(result), result.output
    assert unknown == []


def test_a_flood_of_refused_calls_is_told_and_ends(machine: Machine) -> None:
    flood = (
        "import ctypes\nc = ctypes.CDLL(None)\n"
        "for n in range(3000):\n    c.umount2(b'/nowhere/%d' % n, 0)\n"
        "for n in range(500):\n    c.mount(b'%d' % n, b'/srv', b'tmpfs', 0, None)\n"
    )
    result = machine.rehearse_shell(f'python3 -c "{flood}"')
    assert result.complete and result.unknowns == (), result.output
    assert [one.kind for one in result.effects] == [REFUSED]
