# SPDX-License-Identifier: GPL-3.0-or-later
"""Who calls the daemon, and from where: users, groups, root directories, descriptors that come along."""

from __future__ import annotations

import array
import os
import re
import socket
import subprocess
import sys

import pytest
from daemon_bench import bench, call, message, receive_all, start

from aptguard.daemon import client
from aptguard.daemon.access import Access
from aptguard.daemon.server import ServerLimits
from aptguard.guard.errors import GuardError

__all__ = ["bench", "start"]


def test_the_callers_own_mount_namespace_is_passed_unless_told_otherwise(bench):
    call(bench, "Check")
    own = os.stat("/proc/self/ns/mnt")
    assert (bench.handler.namespace.st_dev, bench.handler.namespace.st_ino) == (own.st_dev, own.st_ino)
    bench.handler.namespace = None
    call(bench, "Check", descriptors=())
    assert bench.handler.namespace is None


def open_descriptors(bench) -> int:
    """How many are open once the server has noticed that no client is left."""
    left = [1]
    while left:
        bench.in_loop(lambda: left.__setitem__(slice(None), bench.server._connections))
    return len(os.listdir("/proc/self/fd"))


def test_a_passed_mount_namespace_reaches_the_handler_and_is_closed_afterwards(bench):
    call(bench, "Log")
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    try:
        before = open_descriptors(bench)
        for _ in range(3):
            call(bench, "JudgeApt", {}, descriptors=[namespace])
        status = os.fstat(namespace)
        assert (bench.handler.namespace.st_dev, bench.handler.namespace.st_ino) == (
            status.st_dev,
            status.st_ino,
        )
        assert open_descriptors(bench) == before
    finally:
        os.close(namespace)


@pytest.mark.parametrize("path", ["/dev/null", "/proc/self/ns/net"])
def test_a_descriptor_of_something_else_is_refused(bench, path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(GuardError, match="not one of a mount namespace"):
            call(bench, "JudgeApt", {}, descriptors=[descriptor])
    finally:
        os.close(descriptor)
    assert bench.handler.seen == []


IN_A_CHROOT = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    os.chroot(sys.argv[2])
    connection.sendall(sys.argv[3].encode() + b"\\0")
    sys.stdout.buffer.write(connection.recv(65536))
"""


@pytest.mark.needs_root
def test_whoever_calls_from_another_root_directory_is_not_answered_about_this_machine(bench, tmp_path):
    words = ["/usr/bin/python3", "-c", IN_A_CHROOT, bench.path, str(tmp_path), message("Log").decode()[:-1]]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    assert b"io.github.aptguard.OtherRoot" in done.stdout
    assert bench.handler.seen == []


IN_A_MOUNT_NAMESPACE = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(sys.argv[2].encode() + b"\\0")
    sys.stdout.buffer.write(connection.recv(65536))
"""


def asked_behind(bench, mounting: str, method: str) -> bytes:
    """Return the reply to a caller in a mount namespace of its own, after ``mounting`` there."""
    words = ["/usr/bin/python3", "-c", IN_A_MOUNT_NAMESPACE, bench.path, message(method).decode()[:-1]]
    around = ["unshare", "--mount", "sh", "-ec", f'{mounting}; exec "$@"', "sh"]
    return subprocess.run([*around, *words], stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.needs_root
@pytest.mark.parametrize("mounting", ["mount -t tmpfs x /opt", "mount --bind /usr/share /opt"])
def test_a_caller_who_sees_other_files_is_not_judged_by_those_of_the_daemon(bench, mounting):
    for method in ("JudgeApt", "JudgeDpkg", "Check"):
        assert b"io.github.aptguard.OtherRoot" in asked_behind(bench, mounting, method)
    assert bench.handler.seen == []
    assert b"OtherRoot" not in asked_behind(bench, mounting, "GrantOverride")


@pytest.mark.needs_root
@pytest.mark.parametrize(
    "mounting",
    [
        ":",
        "mount --bind /usr /usr; mount -o remount,bind,ro /usr",
        "umount -l /proc",
        "mount -t proc x /proc",
    ],
)
def test_a_caller_with_the_same_files_in_another_mount_namespace_is_judged_by_the_daemon(bench, mounting):
    for method in ("JudgeApt", "JudgeDpkg", "Check"):
        assert b"OtherRoot" not in asked_behind(bench, mounting, method)
    assert [method for method, _, _ in bench.handler.seen] == ["JudgeApt", "JudgeDpkg", "Check"]


def test_descriptors_beyond_what_means_anything_are_closed(bench):
    call(bench, "Log")
    before = open_descriptors(bench)
    with bench.connect() as connection:
        null = os.open("/dev/null", os.O_RDONLY)
        rights = array.array("i", [null] * 100)
        connection.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        connection.sendall(b"\0")
        receive_all(connection)
        os.close(null)
    assert open_descriptors(bench) == before


AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from aptguard.daemon import client
os.setgroups([int(group) for group in sys.argv[3].split(",") if group]); os.setgid(65534)
os.setuid(int(sys.argv[4]))
client.os.geteuid = lambda: 0
for method in sys.argv[5:]:
    try:
        print("answered", client.call(method, {}, socket_path=sys.argv[2]).get("method", "itself"))
    except client.GuardError as error:
        print(error.name, end="")
        print(f": {error}" if error.name == "TooOften" else "")
"""


def as_nobody(bench, methods, groups="", uid=65534):
    source = os.path.dirname(os.path.dirname(os.path.dirname(client.__file__)))
    os.chmod(bench.path, 0o666)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, source, bench.path, groups, str(uid), *methods],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


DENIED = "org.varlink.service.PermissionDenied"


@pytest.mark.needs_root
def test_a_peer_who_is_not_root_may_do_nothing_but_ask_what_this_is(bench):
    methods = ["JudgeApt", "GrantOverride", "Status", "Log", "Dance", "org.varlink.service.GetInfo"]
    assert as_nobody(bench, methods) == [DENIED] * 5 + ["answered itself"]
    assert bench.handler.seen == []


@pytest.mark.needs_root
def test_a_member_of_the_reading_group_may_read_and_nothing_else(start):
    bench = start(access=Access(reader_group=4))
    methods = ["Status", "Log", "Pause", "GrantOverride", "JudgeApt", "Selftest"]
    assert as_nobody(bench, methods, "4") == ["answered Status", "answered Log"] + [DENIED] * 4
    assert as_nobody(bench, ["Status"], "5") == [DENIED]


@pytest.mark.needs_root
def test_a_user_who_calls_too_often_is_refused_and_root_and_other_users_are_not(start):
    limits = ServerLimits(calls_in_a_row_not_root=3, seconds_per_call_not_root=3600.0)
    bench = start(access=Access(reader_group=4), limits=limits)
    told = as_nobody(bench, ["Status", "Log", "Log", "Status", "JudgeApt"], "4")
    assert told[:3] == ["answered Status", "answered Log", "answered Log"]
    for method, line in zip(("Status", "JudgeApt"), told[3:], strict=True):
        sentence = rf"Too many calls by uid 65534, the last one {method}: try again in 3[3-6]\d\d s\."
        assert re.fullmatch(f"TooOften: {sentence}", line)
    assert as_nobody(bench, ["Status", "Log"], "4", uid=65533) == ["answered Status", "answered Log"]
    for _ in range(50):
        assert call(bench, "Status")["method"] == "Status"
    assert as_nobody(bench, ["org.varlink.service.GetInfo"], "4")[0].startswith("TooOften: ")
    assert [peer.uid for _, _, peer in bench.handler.seen] == [65534] * 3 + [65533] * 2 + [0] * 50
