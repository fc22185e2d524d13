# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is full, becomes full in the middle, or never answers: a run is done, or has changed nothing.

Where dpkg itself fails half-way, as it does without a guard, the guard lets it be finished.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packages.builder import build_deb
from system.drivers import LOCKS
from testbed import snapshot
from testbed.guest import Completed, Guest
from testbed.repository import publish
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

LARGE = 24 << 20  # bytes

# A /var of its own with room for apt's caches and not for much more. Not at two places at once: a file in it
# would have two names.
SMALL_VAR = """
mkdir /mnt/var
mount -t tmpfs -o size=1G,mode=0755 var /mnt/var
tar -C /var --exclude=./cache/apt/archives/*.deb --exclude=./cache/apt/*.bin -cf - . | tar -C /mnt/var -xf -
mount -o remount,size=$(( $(df --output=used -k /mnt/var | tail -n 1) + 320 * 1024 ))k /mnt/var
mount --bind /mnt/var /var
umount /mnt/var
systemctl restart systemd-journald.service
systemctl stop aptguard.service
apt-get -q check
"""
FILL = "cat /dev/zero > /var/ballast 2> /dev/null || :"
FREE = "rm -f /var/ballast /etc/apt/apt.conf.d/99fill"
READ_ONLY = "dpkg: /var/lib/dpkg is on a read-only file system; make it writable"

# Takes requests off the kernel and answers none but the first: a file system whose server hangs.
HUNG_SERVER = """
import ctypes, os, struct, time
device = os.open("/dev/fuse", os.O_RDWR)
os.makedirs("/mnt/hung", exist_ok=True)
words = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
assert ctypes.CDLL(None).mount(b"hung", b"/mnt/hung", b"fuse.hung", 0, words) == 0
unique = struct.unpack_from("IIQ", os.read(device, 1 << 17))[2]
answer = struct.pack("IIIIHHIIHHI7I", 7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 16, 0, 0, *[0] * 7)
os.write(device, struct.pack("IiQ", 16 + len(answer), 0, unique) + answer)
open("/run/hung", "w").close()
while True:
    os.read(device, 1 << 17)
"""
HANG = """
test -e /dev/fuse || mknod /dev/fuse c 10 229
systemd-run --quiet --unit=hung python3 /root/hung-server.py
until test -e /run/hung; do sleep 0.05; done
"""


@pytest.fixture(scope="module")
def furnished(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    toys = tmp_path_factory.mktemp("toys")
    harm = "[ $1 != remove ] || rm -f /srv/treasure"
    debs = [
        build_deb(toys, "toy", files={"/usr/lib/toy": "x\n"}),
        build_deb(toys, "large", files={"/var/lib/large": b"\1" * LARGE}),
        build_deb(toys, "harmful", scripts={"prerm": harm}),
    ]
    with Guest(version) as guest:
        publish(guest, debs, alone=True)
        guest.write("/root/hung-server.py", HUNG_SERVER)
        guest.write("/srv/treasure", "treasure\n")
        install_aptguard(guest, aptguard_deb)
        guest.run("apt-get -q -y install toy harmful")
        yield guest


@pytest.fixture(scope="module")
def small(furnished: Guest) -> Guest:
    furnished.run(SMALL_VAR)
    return furnished


@pytest.fixture
def machine(small: Guest) -> Iterator[Guest]:
    yield small
    small.run(f"{FREE}; dpkg --configure -a; dpkg -P large; apt-get -q -y install toy")


def look(machine: Guest) -> snapshot.Snapshot:
    found = snapshot.take(machine.path("/"), ["/var/lib/dpkg/info", "/var/lib/dpkg/status", "/usr/lib/toy"])
    found.pop(b"/var/lib/dpkg/info", None)
    return found


def status(machine: Guest, package: str) -> str:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", package]
    return machine.run(query, check=False).stdout.strip() or "un"


def assert_usable(machine: Guest, done: Completed) -> None:
    """Check that what was begun can be finished, that harm is stopped and all else passes."""
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    for command in ("dpkg --configure -a", "apt-get -q -y -f install", "apt-get -q -y remove toy"):
        ended = machine.run(command, check=False)
        assert ended.returncode == 0, said + ended.stdout + ended.stderr
    stopped = machine.run(["dpkg", "-r", "harmful"], check=False)
    assert stopped.returncode == 2 and "BLOCKED" in stopped.stderr, said + stopped.stderr
    assert machine.exists("/srv/treasure")
    assert machine.run(["dpkg", "--audit"]).stdout == ""
    assert machine.run(["python3", "-c", LOCKS]).stderr == ""
    assert machine.run("ls -A /run/aptguard/approved").stdout == "", said


@pytest.mark.parametrize("command", ["apt-get -q -y install large", "dpkg -r toy", "dpkg -r harmful"])
def test_with_var_full_a_run_is_done_or_has_changed_nothing(machine: Guest, command: str) -> None:
    machine.run(FILL)
    before = look(machine)
    done = machine.run(command, check=False)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        assert snapshot.differences(before, look(machine)) == [], said
    assert machine.exists("/srv/treasure"), said
    machine.run(FREE)
    assert_usable(machine, done)


@pytest.mark.parametrize(
    "command",
    [
        "apt-get -q -y install large",
        "apt-get -q -y remove toy",
        "apt-get -q -y purge aptguard",
        "dpkg -r toy",
        "dpkg -r harmful",
    ],
)
def test_with_var_read_only_nothing_is_changed_and_all_works_again_afterwards(
    machine: Guest, command: str
) -> None:
    # Another view of it: somebody writes to the first, which therefore cannot become read-only.
    machine.run("mount --bind /var /var; mount -o remount,bind,ro /var")
    try:
        before = look(machine)
        done = machine.run(command, check=False)
        assert done.returncode != 0, done.stdout
        assert snapshot.differences(before, look(machine)) == [], done.stdout + done.stderr
        said = " ".join(done.stderr.split())
        assert ("BLOCKED" in said) == (("toy" in command) or ("harmful" in command)), said
        assert READ_ONLY in said, said
        assert "exit status" not in said, said
    finally:
        machine.run("umount --lazy /var")
    assert machine.exists("/srv/treasure") and status(machine, "aptguard") == "ii"
    assert_usable(machine, done)


def test_once_var_is_writable_again_aptguard_can_be_removed(machine: Guest, aptguard_deb: str) -> None:
    for command in ("dpkg -r toy", "apt-get -q -y purge aptguard"):
        machine.run("mount --bind /var /var; mount -o remount,bind,ro /var")
        stopped = machine.run(command, check=False)
        machine.run("umount --lazy /var")
        assert stopped.returncode != 0
        done = machine.run("apt-get -q -y purge aptguard", check=False)
        assert (done.returncode, status(machine, "aptguard")) == (0, "un"), done.stdout + done.stderr
        assert machine.run(["dpkg", "--audit"]).stdout == ""
        install_aptguard(machine, aptguard_deb)


def test_a_run_that_the_disk_stops_after_the_verdict_can_be_finished(machine: Guest) -> None:
    # After ours: what it was told is true no more.
    machine.write("/etc/apt/apt.conf.d/99fill", f'DPkg::Pre-Install-Pkgs {{ "{FILL}"; }};\n')
    done = machine.run(["apt-get", "-q", "-y", "remove", "toy"], check=False)
    assert done.returncode == 100, done.stdout + done.stderr
    assert "BLOCKED" not in done.stderr
    machine.run(FREE)
    assert_usable(machine, done)


def test_a_package_that_does_not_fit_leaves_nothing_half_done(machine: Guest) -> None:
    machine.run(f"{FILL}; truncate -s -{LARGE // 2} /var/ballast")
    done = machine.run(["dpkg", "-i", "/srv/testbed-repository/large_1.0_all.deb"], check=False)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert status(machine, "large").endswith("n"), "installed, or half"
    machine.run(FREE)
    assert_usable(machine, done)


def test_with_a_file_system_that_hangs_a_run_is_done_or_has_changed_nothing(furnished: Guest) -> None:
    furnished.run(HANG)
    try:
        before = look(furnished)
        done = furnished.run(["apt-get", "-q", "-y", "remove", "toy"], check=False)
        said = done.stdout + done.stderr
        if done.returncode == 0:
            assert status(furnished, "toy") == "un", said
        else:
            assert (done.returncode, status(furnished, "toy")) == (100, "ii"), said
            assert "BLOCKED" in said and snapshot.differences(before, look(furnished)) == [], said
        assert furnished.run(["dpkg", "-r", "harmful"], check=False).returncode == 2
        furnished.run("apt-get -q -y install --reinstall toy")
        furnished.run("apt-get -q -y purge aptguard")  # which always passes
    finally:
        furnished.run("systemctl stop hung.service; umount -l /mnt/hung; rm /run/hung", check=False)
