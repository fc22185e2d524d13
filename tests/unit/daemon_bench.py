# SPDX-License-Identifier: GPL-3.0-or-later
"""A real server with a handler of the test's own, on a real socket, in a thread of this process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable

import pytest

from aptguard.daemon import client
from aptguard.daemon.access import Access
from aptguard.daemon.server import Server, ServerLimits
from aptguard.guard.errors import GuardError


class Handler:
    """Stands where the guard stands. ``Check`` with {"wait": name} waits until ``let_go[name]`` is set."""

    def __init__(self) -> None:
        self.let_go: dict[str, threading.Event] = {}
        self.entered = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)
        self.seen: list[tuple[str, dict, object]] = []
        self.namespace: os.stat_result | None = None
        self.waiting: set[int] = set()
        self.most_at_once = 0

    def __call__(self, method, parameters, *, peer, progress, cancelled):
        self.seen.append((method, parameters, peer))
        if peer.mount_namespace is not None:
            self.namespace = os.fstat(peer.mount_namespace)
        match method, parameters:
            case (("Check" | "Log"), {"wait": name}):
                self.waiting.add(threading.get_ident())
                self.most_at_once = max(self.most_at_once, len(self.waiting))
                self.entered.release()
                while not self.let_go[name].wait(0.01):
                    if cancelled.is_set():
                        self.cancelled.release()
                        raise RuntimeError("cancelled")
                self.waiting.discard(threading.get_ident())
                return {"waited": name}
            case "Check", {"progress": count, **rest}:
                for number in range(count):
                    if progress:
                        progress(f"step {number}" + "x" * rest.get("length", 0))
                return {"done": True}
            case "Show", {"id": "unwritable"}:
                return {"report": b"bytes are no JSON"}
            case "Show", {"id": identifier}:
                raise GuardError("NoSuchTransaction", f"There is no transaction {identifier}.")
            case "Pause", _:
                raise SystemExit("out")
        return {"method": method, "parameters": parameters}


class Bench:
    """A running server; ``path`` is its socket."""

    def __init__(self, directory, *, limits=None, access=None, others=()) -> None:
        self.path = os.path.join(str(directory), "s")
        self.handler = Handler()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(socket.SOMAXCONN)
        self.server = Server(
            [self._listener, *others],
            self.handler,
            access=access or Access(root=os.geteuid()),
            limits=limits or ServerLimits(),
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self.server.turn(10.0)
        self.server.close()

    def in_loop(self, action: Callable[[], object]) -> None:
        """Run ``action`` in the loop's thread and wait for it."""
        done = threading.Event()
        self.server._post(lambda: (action(), done.set()))
        done.wait()

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self.server.wake()
        self._thread.join()
        self._listener.close()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(30)
        client.connect(self.path)
        return client


def message(method: str, parameters: dict | None = None, **flags) -> bytes:
    name = method if "." in method else f"io.github.aptguard.{method}"
    return json.dumps({"method": name, "parameters": parameters or {}, **flags}).encode() + b"\0"


def receive(client: socket.socket, count: int = 1) -> list[dict]:
    """Read ``count`` replies; fewer when the server closes the connection first."""
    data = b""
    while data.count(b"\0") < count and (part := client.recv(65536)):
        data += part
    assert data == b"" or data.endswith(b"\0")
    return [json.loads(part) for part in data.split(b"\0")[:-1]]


def receive_all(client: socket.socket) -> list[dict]:
    """Read replies until the server closes the connection."""
    return receive(client, 1 << 30)


@pytest.fixture
def start():
    benches = []

    def make(**options) -> Bench:
        benches.append(Bench(directory, **options))
        return benches[-1]

    # Not pytest's own directory, which each run of pytest closes to other users again.
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)
        yield make
        for bench in benches:
            bench.close()


@pytest.fixture
def bench(start):
    return start()


def call(bench, method, parameters=None, **options):
    return client.call(method, parameters or {}, socket_path=bench.path, **options)


def error_of(reply):
    return reply["error"].removeprefix("io.github.aptguard.")
