# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets on the socket between the hooks, the commands and the daemon; both its ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Iterable
from typing import Any
from unittest import mock

from aptguard.daemon import varlink
from aptguard.daemon.access import Access
from aptguard.daemon.answer import Request, answer
from aptguard.daemon.client import Unreachable, call
from aptguard.guard import pause_marker
from aptguard.guard.errors import GuardError
from aptguard.guard.peer import own_process
from aptguard.guard.state import GuardState
from fuzz.deciding import DecidingTarget
from fuzz.target import Target, demand, demand_printable, demand_sentence
from unit.daemon_bench import Bench, message
from unit.ledger_values import report

HOOKLIB = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "hooks", "hooklib"
)
_MESSAGES = (
    b'{"method":"io.github.aptguard.',
    b'"parameters":{',
    b'"more":true',
    b'"oneway":true',
    b'"org.varlink.service.GetInfo"',
    b"\0",
    b"NaN",
    b"1e999",
    b"\\ud800",
    b"[" * 40,
)
_METHODS = (
    "JudgeApt",
    "JudgeDpkg",
    "Announce",
    "Finish",
    "Log",
    "Show",
    "GrantOverride",
    "Pause",
    "RevokeOverride",
)
_STARTING_PROGRAMS = ("Check", "Selftest", "Status")
_PARAMETERS = (
    {"input": "VkVSU0lPTiAz", "columns": 80, "environment": {"SUDO_UID": "0"}, "cwd": "/", "umask": 18},
    {
        "argv": ["dpkg", "-r", "toy"],
        "run": "1-1",
        "admindir": "/x",
        "environment": {"DPKG_FRONTEND_LOCKED": "1"},
    },
    {"since": 5, "verdict": "block", "package": "toy", "path": "/srv", "limit": 3},
    {"id": "7F3K-92QX", "reason": "why", "seconds": 60, "sudo_user": "alice", "tty": "/dev/pts/0"},
)


class VarlinkTarget(Target):
    """Bytes of a stream: cut into messages, read as calls and as replies."""

    name = "varlink"
    share = 110
    tokens = _MESSAGES

    def seeds(self) -> Iterable[bytes]:
        calls = [
            message(method, parameters, more=True) for method in _METHODS[:4] for parameters in _PARAMETERS
        ]
        replies = (varlink.reply_bytes({"exit": 0}), varlink.error_bytes("a.b", {"message": "x"}))
        return [*calls, b"".join(replies), message("org.varlink.service.GetInfo"), b"\0\0{}\0"]

    def attempt(self, data: bytes) -> None:
        framer = varlink.Framer(1000)
        for start in range(0, len(data), 300):
            framer.feed(data[start : start + 300])
            try:
                while (one := framer.take()) is not None:
                    self._read(one)
            except varlink.MessageError as error:
                demand_sentence(error)
                return
            demand(len(framer) <= 1000 + 300, "more is kept than may be")

    def _read(self, one: bytes) -> None:
        for read in (varlink.read_call, varlink.read_reply):
            try:
                read(one)
            except varlink.MessageError as error:
                demand_sentence(error)


class GuardTarget(DecidingTarget):
    """One message to the daemon, answered by the real guard with a ledger that works."""

    name = "daemon_message"
    share = 60
    tokens = (
        *_MESSAGES,
        *(f'"{name}"'.encode() for name in ("JudgeApt", "Log", "Show", "GrantOverride", "Pause", "Finish")),
        *(f'"{name}":'.encode() for parameters in _PARAMETERS for name in parameters),
    )

    def __init__(self) -> None:
        super().__init__()
        # Its own functions, for this one works with a ledger.
        kept = GuardState(self.directory)
        self.state.in_ledger = kept.in_ledger  # type: ignore[method-assign]
        self.state.in_ledger_or_refuse = kept.in_ledger_or_refuse  # type: ignore[method-assign]
        kept.send = lambda *_: None  # type: ignore[method-assign]
        kept.outlets = mock.Mock()
        kept.ledger.record(report())
        self._kept = kept
        self._marker = mock.patch.multiple(
            pause_marker, DIRECTORY=self.directory, _MARKER=os.path.join(self.directory, "pause")
        )
        self._marker.start()
        self._inputs = 0

    def close(self) -> None:
        self._marker.stop()
        self._kept.ledger.close()
        super().close()

    def seeds(self) -> Iterable[bytes]:
        return [message(method, parameters)[:-1] for method in _METHODS for parameters in _PARAMETERS]

    def attempt(self, data: bytes) -> None:
        self._inputs += 1
        if self._inputs % 500 == 0:
            self._kept.ledger.prune(keep_days=1, max_bytes=1 << 16, now=2e9)
        access = Access(root=os.geteuid())
        request = Request(data, own_process(), frozenset(), (), threading.Event())
        reply, _ = answer(request, self._dispatch, access, lambda _: None)
        if not reply:
            return
        plain = json.loads(reply[:-1])
        demand(reply.endswith(b"\0") and isinstance(plain, dict), "the reply is no message")
        demand(not str(plain.get("error")).endswith("InternalError"), f"the daemon failed: {plain}")
        if "message" in plain["parameters"]:
            demand_sentence(plain["parameters"]["message"])

    def _dispatch(self, method: str, parameters: dict[str, Any], **_: object) -> dict[str, Any]:
        self.examined.clear()
        if method in _STARTING_PROGRAMS:
            return {}
        if method == "JudgeDpkg" and any("/" in str(word) for word in parameters.get("argv") or ()):
            raise GuardError("InvalidParameter", "An archive would have dpkg-deb started.")
        return self.guard.dispatch(method, parameters, peer=own_process())


class SocketTarget(Target):
    """A whole connection to the real server on a real socket: sent in two pieces, read to its end."""

    name = "daemon_socket"
    share = 30
    tokens = _MESSAGES

    def __init__(self) -> None:
        super().__init__()
        self._bench = Bench(self.directory)
        self._good = message("Status", {"still": "there"})
        self._inputs = 0

    def close(self) -> None:
        self._bench.close()
        super().close()

    def seeds(self) -> Iterable[bytes]:
        good = message("Status", {"x": 1})
        return (
            good,
            good * 3,
            good[:-3],
            b"\0",
            b"{}\0" + good,
            message("Log", oneway=True) + good,
            b"\xff" * 500,
        )

    def attempt(self, data: bytes) -> None:
        if b'"wait"' in data or b"progress" in data:  # words that the stand-in for the guard waits for
            return
        with self._bench.connect() as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            half = len(data) // 2
            client.sendall(data[:half])
            client.sendall(data[half:])
            client.shutdown(socket.SHUT_WR)
            received = b""
            while part := client.recv(1 << 16):
                received += part
            for reply in received.split(b"\0")[:-1]:
                demand(isinstance(json.loads(reply), dict), "a reply is no message")
            demand(received.endswith(b"\0") or not received, "a reply is cut off")
            demand(received.count(b"\0") <= data.count(b"\0") + 1, "there are more replies than messages")
        self._bench.handler.seen.clear()
        self._inputs += 1
        if self._inputs % 50 == 0:
            with self._bench.connect() as client:
                client.sendall(self._good)
                demand(b'"still":"there"' in client.recv(1 << 16), "the server answers no more")


class _Speaker:
    """A daemon that says to each client what it was told to, whatever is asked, and hangs up."""

    def __init__(self, path: str) -> None:
        self.says = b""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                descriptors = socket.recv_fds(connection, 1 << 16, 4)[1]
                for descriptor in descriptors:
                    os.close(descriptor)
                connection.sendall(self.says)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


class ReplyTarget(Target):
    """What a daemon answers to the hooks and to the commands; and the approval that a hook makes of it."""

    name = "hook_reply"
    share = 30
    tokens = (
        *_MESSAGES,
        b'{"parameters":{"exit":0,"text":""}}\0',
        b'"continues":true',
        b'"progress":"',
        b'"error":"',
    )

    def __init__(self) -> None:
        super().__init__()
        sys.path.insert(0, HOOKLIB)
        import approval
        import conversation

        self._approval: Any = approval
        self._conversation: Any = conversation
        path = os.path.join(self.directory, "daemon")
        self._speaker = _Speaker(path)
        self._path = path
        conversation.SOCKET = path

    def close(self) -> None:
        self._speaker.close()
        sys.path.remove(HOOKLIB)
        super().close()

    def seeds(self) -> Iterable[bytes]:
        good = {
            "exit": 0,
            "text": "",
            "verdict": "allow",
            "outcome": "pass",
            "purge": ["toy:amd64"],
            "settle": [],
        }
        wait = varlink.reply_bytes({"progress": "x"}, continues=True)
        refusal = varlink.error_bytes("io.github.aptguard.InternalError", {"message": "no"})
        almost = (varlink.reply_bytes({**good, "exit": number}) for number in (False, 0.0, "0", None, [0]))
        return (
            *almost,
            varlink.reply_bytes(good),
            wait + varlink.reply_bytes({**good, "exit": 10}),
            refusal,
            b"{}\0",
            b"",
        )

    def attempt(self, data: bytes) -> None:
        self._speaker.says = data
        said = data.split(b"\0")[:-1]
        try:
            reply = self._conversation.ask("JudgeApt", {}, 5.0, with_engine=False)
        except self._conversation.NoAnswerError as error:
            demand_sentence(error)
        else:
            self._demand_said(reply, said)
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                list(self._approval._allowed(b"VERSION 3\n\ntoy 1 amd64 none > - - none **REMOVE**\n", reply))
        try:
            call(
                "Status", {}, socket_path=self._path, descriptors=(), progress=demand_text, silence_seconds=5
            )
        except GuardError as error:
            demand(isinstance(error.message, str), "a refusal says nothing")
        except Unreachable as error:
            demand_sentence(error)

    def _demand_said(self, reply: dict[str, Any], said: list[bytes]) -> None:
        demand(
            type(reply["exit"]) is int and reply["exit"] in (0, 10), f"the hook ends with {reply['exit']!r}"
        )
        number = re.compile(rb'"exit"\s*:\s*%d\b' % reply["exit"])
        plain = any(number.search(part) for part in said)
        demand(plain or any(b"\\u" in part for part in said), "a verdict was heard that nobody said")


def demand_text(text: object) -> None:
    """Demand that progress is text."""
    demand(isinstance(text, str), f"the progress {text!r} is no text")
    demand_printable("")
