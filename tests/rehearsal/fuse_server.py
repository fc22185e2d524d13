# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system in user space: a real server of the kernel's FUSE protocol that can fall silent.

Run as a program: ``fuse_server.py FD SILENT``, FD an open /dev/fuse, SILENT the number of the request that
it takes and never answers (``all``: every one; ``28@6``: from the sixth on). It holds two
directories, one with two files, in memory, and really deletes what it is asked to. Sources: fuse(4),
linux/fuse.h (protocol 7.31).
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LOOKUP, FORGET, GETATTR, SETATTR, MKDIR, UNLINK, RMDIR, OPEN, READ = 1, 2, 3, 4, 9, 10, 11, 14, 15
STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR = 17, 18, 25, 26, 27, 28, 29
ACCESS, INTERRUPT, BATCH_FORGET, LSEEK = 34, 36, 42, 46
ALL = "all"
_NO_ANSWER = {FORGET, BATCH_FORGET, INTERRUPT}
_IN, _OUT = struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")
_ATTRIBUTES = struct.Struct("=6Q10I")


@contextmanager
def served(machine: object, point: str, options: str, silent: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Mount a file system in user space on the machine and serve it from outside until the end."""
    from rehearsal.machine import Machine

    assert isinstance(machine, Machine)
    os.makedirs(machine.path(point), exist_ok=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    try:
        words = f"fd={device},rootmode=40000,group_id=0,{options}"
        done = machine.run(
            "mount", "-i", "-n", "-t", "fuse.toy", "-o", words, "toy", point, pass_fds=[device]
        )
        # Newer ones of util-linux (2.41) then look into it, which only its owner may.
        assert done.returncode == 0 or "filesystem was mounted" in done.stderr, done.stderr
        server = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), str(device), silent], pass_fds=[device]
        )
    finally:
        os.close(device)
    try:
        yield server
    finally:
        # With the last descriptor the connection ends, and everybody who waits gets an error.
        server.kill()
        server.wait()


@dataclass(slots=True)
class _Node:
    names: dict[bytes, int] | None = None
    content: bytes = b""


@dataclass(slots=True)
class _Server:
    device: int
    silent: str
    nodes: dict[int, _Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = {1: _Node({b"db": 2, b"mail": 3}), 2: _Node({b"one": 4, b"two": 5}), 3: _Node({})}
        self.nodes |= {4: _Node(None, b"kept\n"), 5: _Node(None, b"kept\n")}

    def run(self) -> None:
        silent, _, first = self.silent.partition("@")
        left = int(first or 1)
        while True:
            try:
                request = os.read(self.device, 1 << 17)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                raise
            _, code, unique, node, *_ = _IN.unpack_from(request)
            if code != INIT and silent in {ALL, str(code)}:
                left -= 1
                if left <= 0:
                    continue
            if code in _NO_ANSWER:
                continue
            try:
                data, error_number = self.answer(code, node, request[_IN.size :]), 0
            except OSError as error:
                data, error_number = b"", -(error.errno or errno.EIO)
            os.write(self.device, _OUT.pack(_OUT.size + len(data), error_number, unique) + data)

    def answer(self, code: int, number: int, data: bytes) -> bytes:
        if code == INIT:
            return struct.pack("=IIIIHHIIHHI7I", 7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 16, 0, 0, *[0] * 7)
        if code == STATFS:
            return struct.pack("=5Q10I", 1000, 900, 900, 100, 90, 4096, 255, 4096, *[0] * 7)
        node = self.nodes[number]
        name = data.partition(b"\0")[0]
        if code == LOOKUP:
            return self._entry(self._child(node, name))
        if code == GETATTR:
            return struct.pack("=QII", 0, 0, 0) + self._attributes(number)
        if code in {OPEN, OPENDIR}:
            return struct.pack("=QII", 0, 0, 0)
        if code == READ:
            _, offset, size = struct.unpack_from("=QQI", data)
            return node.content[offset : offset + size]
        if code == READDIR:
            return self._listing(node, struct.unpack_from("=QQ", data)[1])
        if code in {UNLINK, RMDIR}:
            below = self.nodes[self._child(node, name)]
            if below.names:
                raise OSError(errno.ENOTEMPTY, "not empty")
            assert node.names is not None
            del node.names[name]
            return b""
        if code in {ACCESS, RELEASE, RELEASEDIR, FLUSH}:
            return b""
        raise OSError(errno.ENOSYS, "not served")

    def _child(self, node: _Node, name: bytes) -> int:
        if node.names is None or name not in node.names:
            raise OSError(errno.ENOENT, "no such name")
        return node.names[name]

    def _entry(self, number: int) -> bytes:
        return struct.pack("=QQQQII", number, 0, 0, 0, 0, 0) + self._attributes(number)

    def _attributes(self, number: int) -> bytes:
        node = self.nodes[number]
        mode = stat.S_IFREG | 0o644 if node.names is None else stat.S_IFDIR | 0o755
        size = len(node.content)
        return _ATTRIBUTES.pack(number, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _listing(self, node: _Node, start: int) -> bytes:
        found = b""
        for place, (name, number) in enumerate(sorted((node.names or {}).items())):
            if place >= start:
                found += struct.pack("=QQII", number, place + 1, len(name), 0) + name
                found += b"\0" * (-len(found) % 8)
        return found


if __name__ == "__main__":
    _Server(int(sys.argv[1]), sys.argv[2]).run()
