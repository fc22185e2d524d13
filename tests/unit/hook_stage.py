# SPDX-License-Identifier: GPL-3.0-or-later
"""The real hook programs, copied to a directory of the test's own with a /run of its own."""

from __future__ import annotations

import array
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HOOKS = Path(__file__).resolve().parent.parent.parent / "hooks"
HEAD = b"VERSION 3\nDir=/\nBinary=apt-get\nDPkg::Options::=--force-confold%20x\n\n"
REMOVE = HEAD + b"toy 1.0 amd64 none > - - none **REMOVE**\n"
INSTALL = (
    HEAD
    + b"toy - - none < 1.0 amd64 none /a dir/toy_1%3a0.deb\ntoy - - none < 1.0 amd64 none **CONFIGURE**\n"
)
PASS = {"exit": 0, "text": "", "verdict": "allow", "outcome": "pass", "id": "7F3K-92QX"}
BLOCK = {"exit": 10, "text": "aptguard: BLOCKED\n", "verdict": "block", "outcome": "stop", "id": "7F3K-92QX"}


class Stage:
    """Hook programs in ``libexec``, their /run in ``run``; ``engine`` is what is run without a daemon."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run = directory / "run"
        self.libexec = directory / "libexec"
        self.python = directory / "python3"
        self.engine = directory / "engine"
        self.run.mkdir(mode=0o700)
        self.libexec.mkdir()
        (self.libexec / "hooklib").mkdir()
        self.python.symlink_to("/usr/bin/python3")
        for source in [*HOOKS.iterdir(), *(HOOKS / "hooklib").iterdir()]:
            if source.is_file():
                target = self.libexec / source.relative_to(HOOKS)
                text = source.read_text()
                text = text.replace(
                    '"/usr/bin/python3", "-I", "-m", "aptguard.guard.embedded"', f'"{self.engine}",'
                )
                text = text.replace("/usr/bin/python3", str(self.python)).replace(
                    "/run/aptguard", str(self.run)
                )
                target.write_text(text)
                shutil.copymode(source, target)

    def set_engine(self, body: str) -> None:
        """Make ``body`` (of a shell script; the request is on its stdin) the embedded engine."""
        self.engine.write_text("#!/bin/sh\n" + body)
        self.engine.chmod(0o755)

    def break_client(self, body: str) -> None:
        """Put ``body`` in the place of the Python interpreter."""
        self.python.unlink()
        if body:
            self.python.write_text("#!/bin/sh\n" + body)
            self.python.chmod(0o755)

    def start(self, words: list[str], data: bytes = b"", **options: Any) -> subprocess.Popen[bytes]:
        """Start a program with ``data`` on descriptor 9, as apt does: below ``sh -c``."""
        reading, writing = os.pipe()
        command = " ".join([f"{self.libexec}/{words[0]}", *words[1:]]) + " 9</proc/self/fd/$INFO || exit $?"
        environment = {**os.environ, "INFO": str(reading), "APT_HOOK_INFO_FD": "9", **options.pop("env", {})}
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            env=environment,
            pass_fds=(reading,),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            **options,
        )
        os.close(reading)
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            pipe.write(data)
        return process

    def judge(self, data: bytes, **options: Any) -> tuple[int, str]:
        """Run apt-hook on ``data``; return its exit code and what it said."""
        process = self.start(["apt-hook"], data, **options)
        out, err = process.communicate(timeout=60)
        assert out == b""
        return process.returncode, err.decode()

    def approvals(self) -> list[str]:
        """Return the contents of all approvals."""
        directory = self.run / "approved"
        return [file.read_text() for file in directory.iterdir()] if directory.is_dir() else []


class Daemon:
    """A socket server in the place of the daemon; ``answer`` gets each request and the connection."""

    def __init__(self, stage: Stage, answer: Callable[[dict[str, Any], socket.socket], None]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.namespaces: list[os.stat_result] = []
        self.hung_up = threading.Event()
        self._answer = answer
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(stage.run / "io.github.aptguard"))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.requests.append(self._read(connection))
                    self._answer(self.requests[-1], connection)
                self.hung_up.set()

    def _read(self, connection: socket.socket) -> dict[str, Any]:
        data = b""
        while not data.endswith(b"\0"):
            chunk, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4))
            assert chunk
            data += chunk
            for _, _, raw in ancillary:
                for descriptor in array.array("i", raw):
                    self.namespaces.append(os.fstat(descriptor))
                    os.close(descriptor)
        request = json.loads(data[:-1])
        assert isinstance(request, dict)
        return request

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextlib.contextmanager
def daemon(stage: Stage, *replies: dict[str, Any] | bytes) -> Iterator[Daemon]:
    """Serve ``replies`` to each request: dicts as final parameters, bytes as they are."""

    def answer(request: dict[str, Any], connection: socket.socket) -> None:
        for reply in replies:
            connection.sendall(
                reply if isinstance(reply, bytes) else json.dumps({"parameters": reply}).encode() + b"\0"
            )

    server = Daemon(stage, answer)
    try:
        yield server
    finally:
        server.close()


def progress(text: str) -> bytes:
    """Return the message of a daemon at work."""
    return json.dumps({"parameters": {"progress": text}, "continues": True}).encode() + b"\0"
