# SPDX-License-Identifier: GPL-3.0-or-later
"""What the test sees from outside: for each kind of witness, whether a route has reached it.

Each takes the machine and a token, yields the argument of the route and a question, and puts back what was
changed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import re
import resource
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from rehearsal.machine import Machine

Reached = Callable[[], bool]
Witness = Callable[[Machine, str], AbstractContextManager[tuple[str, Reached]]]
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def a_file(machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    places = [machine.path(p) for p in ("/srv/escaped", "/srv/data/escaped")] + ["/srv/escaped"]
    yield token, lambda: any(map(os.path.lexists, places))


@contextmanager
def a_process(_machine: Machine, _token: str) -> Iterator[tuple[str, Reached]]:
    with subprocess.Popen(["sleep", "infinity"]) as victim:
        try:
            yield str(victim.pid), lambda: victim.poll() is not None
        finally:
            victim.kill()


@contextmanager
def properties_of_a_process(_machine: Machine, _token: str) -> Iterator[tuple[str, Reached]]:
    with subprocess.Popen(["sleep", "infinity"]) as victim:

        def look() -> object:
            pid = victim.pid
            return (
                os.getpriority(os.PRIO_PROCESS, pid),
                os.sched_getaffinity(pid),
                os.sched_getscheduler(pid),
                resource.prlimit(pid, resource.RLIMIT_NOFILE),
                _libc.syscall(252, 1, pid),  # ioprio_get(2) on x86_64
            )

        before = look()
        try:
            yield str(victim.pid), lambda: look() != before
        finally:
            victim.kill()


def setting(path: str, other: Callable[[str, str], str]) -> Witness:
    """A setting of the kernel; ``other`` makes a value to write from the token and the present one."""

    @contextmanager
    def witness(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
        before = _content(path)
        wanted = other(token, before.strip())
        try:
            yield wanted, lambda: _content(path).strip() == wanted
        finally:
            with open(path, "w", encoding="ascii") as file:
                file.write(before if before.strip() else "\n")

    return witness


def _content(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def listener(place: str) -> Witness:
    """A listening socket: ``loopback``, ``abstract``, or a path on the machine."""

    @contextmanager
    def witness(machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
        if place == "loopback":
            with socket.create_server(("127.0.0.1", 0)) as end:
                yield str(end.getsockname()[1]), lambda: _somebody_came(end)
            return
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("\0" + token if place == "abstract" else machine.path(place))
            end.listen()
            yield token, lambda: _somebody_came(end)

    return witness


def _somebody_came(end: socket.socket) -> bool:
    end.setblocking(False)
    try:
        end.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@contextmanager
def a_descriptor_on_offer(machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """A server that hands a descriptor of the machine's root to whoever connects (SCM_RIGHTS)."""
    with a_file(machine, token) as (_, reached), socket.socket(socket.AF_UNIX) as end:
        end.bind("\0" + token)
        end.listen()
        server = os.fork()
        if server == 0:
            with suppress(BaseException):
                connection = end.accept()[0]
                root = os.open(machine.path("/"), os.O_RDONLY)
                socket.send_fds(connection, [b"x"], [root])
                connection.recv(1)
            os._exit(0)
        try:
            yield token, reached
        finally:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)


@contextmanager
def a_control_group(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    places = [f"/sys/fs/cgroup/unified/{token}", f"/sys/fs/cgroup/{token}"]
    try:
        yield token, lambda: any(map(os.path.isdir, places))
    finally:
        for place in places:
            if os.path.isdir(place):
                os.rmdir(place)


@contextmanager
def the_kernel_log(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    yield token, lambda: token in subprocess.check_output(["dmesg"], text=True)


@contextmanager
def shared_memory_file(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    try:
        yield token, lambda: os.path.exists("/dev/shm/" + token)
    finally:
        with suppress(FileNotFoundError):
            os.unlink("/dev/shm/" + token)


@contextmanager
def a_file_of_the_machine(machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """/srv/data/target, with its content, attributes, times and flags (ioctl_iflags(2)); and a hard link."""
    machine.write("/srv/data/target", "A" * 4096)
    path = machine.path("/srv/data/target")
    os.link(path, machine.path("/srv/data/partner"))
    os.utime(path, (1, 2))  # an access time before the last change is renewed by a reader (relatime)

    def look() -> object:
        # the times first: reading the content renews the access time
        status = os.stat(path)
        fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
        try:
            flags = bytearray(8)
            with suppress(OSError):
                fcntl.ioctl(fd, 0x80086601, flags)
            attributes = [(name, os.getxattr(fd, name)) for name in os.listxattr(fd)]
            return status[:], bytes(flags), os.read(fd, 8192), attributes
        finally:
            os.close(fd)

    before = look()
    try:
        yield token, lambda: not os.path.exists(path) or look() != before
    finally:
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY)
            fcntl.ioctl(fd, 0x40086602, bytes(8))
            os.close(fd)


@contextmanager
def a_device_node(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """The harmless devices of the real host: the machine shows the same /dev."""
    paths = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")]
    before = {path: os.stat(path) for path in paths}

    def changed(path: str) -> bool:
        # the times change with every use, but not back to the beginning
        now, then = os.stat(path), before[path]
        return (now.st_mode, now.st_uid, now.st_gid) != (then.st_mode, then.st_uid, then.st_gid) or (
            now.st_mtime == 5
        )

    try:
        yield token, lambda: any(map(changed, paths))
    finally:
        for path in filter(changed, paths):
            os.chmod(path, before[path].st_mode & 0o7777)
            os.chown(path, before[path].st_uid, before[path].st_gid)
            os.utime(path, ns=(before[path].st_atime_ns, before[path].st_mtime_ns))


@contextmanager
def modes_in_proc(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """The modes of what belongs to no process in /proc: every mount of it shows the same ones."""

    def look() -> dict[str, str]:
        # In a fresh mount, for one that has been looked at remembers them.
        find = ["find", "/proc", "-regex", "/proc/[0-9].*", "-prune", "-o", "-printf", "%m %p\\n"]
        fresh = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]
        text = subprocess.run([*fresh, *find], capture_output=True, text=True, check=False).stdout
        lines = (line.split(" ", 1) for line in text.splitlines())
        return {path: mode for mode, path in lines if not path.startswith("/proc/sys/net")}

    before = look()
    assert len(before) > 500
    try:
        yield token, lambda: look() != before
    finally:
        for path, mode in look().items():
            if before.get(path, mode) != mode:
                os.chmod(path, int(before[path], 8))


@contextmanager
def the_crash_handler(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """A program in core_pattern (core(5)): the kernel runs it as root of the real host, and waits for it."""
    paths = ("/proc/sys/kernel/core_pipe_limit", "/proc/sys/kernel/core_pattern")
    before = [_content(path) for path in paths]
    # The kernel splits at blanks and knows no quotes.
    values = ("4", f"|/bin/sh -c cat>/dev/null;echo${{IFS}}handled-{token}>/dev/kmsg")
    try:
        for path, value in zip(paths, values, strict=True):
            with open(path, "w", encoding="ascii") as file:
                file.write(value)
        yield token, lambda: f"handled-{token}" in subprocess.check_output(["dmesg"], text=True)
    finally:
        for path, value in zip(paths, before, strict=True):
            with open(path, "w", encoding="ascii") as file:
                file.write(value)


HAS_MODULES = os.path.exists("/proc/sys/kernel/modprobe")
# What our routes ask for; something else on the machine may need another one meanwhile.
_OUR_MODULES = r"(?:net-pf-|8021q|bridge|dlci|crypto-|binfmt-)"


@contextmanager
def the_module_loader(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """A program in the place of modprobe (request_module() in the kernel): it tells what it is asked for."""
    if not HAS_MODULES:
        yield token, lambda: False
        return
    program, path = f"/var/tmp/{token}", "/proc/sys/kernel/modprobe"
    before = _content(path)
    with open(program, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\necho "modprobe-{token} $*" >/dev/kmsg\nexit 1\n')
    os.chmod(program, 0o755)
    asked = re.compile(f"modprobe-{token} .*{_OUR_MODULES}")
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(program)
        yield token, lambda: bool(asked.search(subprocess.check_output(["dmesg"], text=True)))
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(before)
        os.unlink(program)


@contextmanager
def sysv_shared_memory(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    _libc.shmat.restype = ctypes.c_void_p
    key = int(token[-7:], 16)
    segment = _libc.shmget(key, 4096, 0o1600)
    assert segment >= 0
    address = _libc.shmat(segment, None, 0)
    try:
        yield str(key), lambda: ctypes.string_at(address, 1) == b"x"
    finally:
        _libc.shmdt(ctypes.c_void_p(address))
        _libc.shmctl(segment, 0, None)  # IPC_RMID


@contextmanager
def a_message_queue(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """POSIX message queues (mq_overview(7))."""
    queue = _libc.mq_open(b"/" + token.encode(), os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o600, None)
    assert queue >= 0

    def came() -> bool:
        buffer = ctypes.create_string_buffer(16384)
        return int(_libc.mq_receive(queue, buffer, ctypes.c_size_t(16384), None)) > 0

    try:
        yield token, came
    finally:
        os.close(queue)
        _libc.mq_unlink(b"/" + token.encode())


@contextmanager
def a_terminal(_machine: Machine, _token: str) -> Iterator[tuple[str, Reached]]:
    master, slave = pty.openpty()
    try:
        yield os.ttyname(slave), lambda: bool(select.select([master], [], [], 0)[0])
    finally:
        os.close(master)
        os.close(slave)


@contextmanager
def listener_for_uevents(_machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """What udev's own daemons listen to: netlink(7), NETLINK_KOBJECT_UEVENT, groups 1 and 2."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15) as end:
        end.bind((0, 3))
        end.setblocking(False)

        def came() -> bool:
            with suppress(BlockingIOError):
                while True:
                    if token.encode() in end.recv(65536):
                        return True
            return False

        yield token, came


@contextmanager
def a_reader_of_a_fifo(machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    path = machine.path("/srv/data/fifo")
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield token, lambda: bool(os.read(fd, 10))
    finally:
        os.close(fd)


@contextmanager
def a_lock(machine: Machine, token: str) -> Iterator[tuple[str, Reached]]:
    """A lock that the machine holds (fcntl_locking(2)): taking it away shows that it can be taken again."""
    path = machine.path("/srv/data/lock")
    with open(path, "w", encoding="ascii") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        size = struct.pack("q", os.stat(path).st_size)
        yield token, lambda: struct.pack("q", os.stat(path).st_size) != size
