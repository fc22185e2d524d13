# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the guard: the daemon over its socket, else the same engine as a process; standard library only."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time

from output import printable, write_all
from process import open_process
from surroundings import ProgressLine

TYPE_CHECKING = False  # without typing, which takes milliseconds to load
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SOCKET = "/run/aptguard/io.github.aptguard"
ENGINE = ("/usr/bin/python3", "-I", "-m", "aptguard.guard.embedded")
MAXIMUM_REPLY = 16 << 20  # bytes, all messages together
CONNECT_SECONDS = 3.0
FIRST_BYTE_SECONDS = 15.0  # at most, and of a short time a part: the engine needs the rest
SILENCE_SECONDS = 90.0  # the guard says something every ten
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GO_ON, STOP = 0, 10


class NoAnswerError(Exception):
    """Neither a verdict nor a refusal came back; the text says from where."""


def ask(
    method: str, parameters: dict[str, Any], seconds: float, *, watch: int = 0, with_engine: bool = True
) -> dict[str, Any]:
    """Return the reply to ``method``, which has ``exit`` (0 or 10) and ``text``.

    Both ways together take ``seconds`` at most. When the process ``watch`` ends meanwhile, nobody needs an
    answer any more and this process ends. Raises NoAnswerError.
    """
    deadline = time.monotonic() + seconds
    first_byte = min(FIRST_BYTE_SECONDS, 0.4 * seconds)
    line = ProgressLine()
    reasons: list[str] = []
    ways = [("daemon", _ask_daemon)] + ([("engine", _ask_engine)] if with_engine else [])
    for name, way in ways:
        try:
            for message in way(method, parameters, (deadline, first_byte), watch, line):
                if "progress" in message:
                    line.show(message["progress"])
                elif _is_verdict(message):
                    return message
                else:
                    raise NoAnswerError(f"it answered {json.dumps(message)[:300]}")
        except (NoAnswerError, OSError, ValueError) as error:
            reasons.append(f"{name}: {printable(error)}")
        finally:
            line.erase()
    raise NoAnswerError("; ".join(reasons))


def _is_verdict(message: dict[str, Any]) -> bool:
    """Tell whether it says go on or stop, and nothing that only compares like it (false, 0.0)."""
    number = message.get("exit")
    if type(number) is not int or number not in (GO_ON, STOP) or "error" in message:
        return False
    return isinstance(message.get("text"), str)


def _ask_daemon(
    method: str, parameters: dict[str, Any], times: tuple[float, float], watch: int, line: ProgressLine
) -> Iterator[dict[str, Any]]:
    """Yield what the daemon says: varlink, that is JSON messages ended by NUL on a Unix stream socket.

    ``times`` are the end of the wait, and the seconds in which the first byte must come.
    """
    request = {"method": f"io.github.aptguard.{method}", "parameters": parameters, "more": True}
    data = json.dumps(request).encode("ascii") + b"\0"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(CONNECT_SECONDS)
        channel.connect(SOCKET)
        sent = channel.sendmsg([data], _mount_namespace())
        if sent < len(data):  # sending nothing to a daemon that has answered already is a broken pipe
            channel.sendall(data[sent:])
        for raw in _messages(channel.fileno(), b"\0", *times, watch, line):
            message = json.loads(raw)
            if not isinstance(message, dict) or not isinstance(message.get("parameters"), dict):
                raise NoAnswerError("it answered something that is no reply")
            yield (
                {**message["parameters"], "error": message["error"]}
                if "error" in message
                else message["parameters"]
            )


def _mount_namespace() -> list[tuple[int, int, bytes]]:
    """Return the ancillary data that hands over our mount namespace (unix(7), SCM_RIGHTS)."""
    try:
        descriptor = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor.to_bytes(4, sys.byteorder))]


def _ask_engine(
    method: str, parameters: dict[str, Any], times: tuple[float, float], watch: int, line: ProgressLine
) -> Iterator[dict[str, Any]]:
    """Yield what the engine says in a process of its own: JSON lines on its stdout."""
    request = os.memfd_create("aptguard-request")
    write_all(request, json.dumps({"method": method, "parameters": parameters}).encode("ascii"))
    os.lseek(request, 0, os.SEEK_SET)
    ours, theirs = os.pipe()
    connected = [(os.POSIX_SPAWN_DUP2, request, 0), (os.POSIX_SPAWN_DUP2, theirs, 1)]
    # Blocked until the handlers stand: a signal in between would leave the child behind.
    former = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        child = os.posix_spawn(ENGINE[0], ENGINE, os.environ, file_actions=connected, setsigmask=former)
        _end_with_us(child)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        os.close(theirs)
        os.close(request)
    try:
        for raw in _messages(ours, b"\n", times[0], None, watch, line):
            message = json.loads(raw)
            if not isinstance(message, dict):
                raise NoAnswerError("it answered something that is no reply")
            yield message
    finally:
        os.close(ours)
        _stop(child)


def _messages(
    descriptor: int, end: bytes, deadline: float, first_byte: float | None, watch: int, line: ProgressLine
) -> Iterator[bytes]:
    """Yield the messages that come in, without their ``end``; NoAnswerError for silence and a hang-up.

    ``first_byte`` is how many seconds the other side may take to say anything at all.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    watched = open_process(watch)
    if watched is not None:
        poll.register(watched, select.POLLIN)
    received = bytearray()
    total = 0
    limit = min(deadline, time.monotonic() + (first_byte or SILENCE_SECONDS))
    while True:
        wait = min(limit - time.monotonic(), line.due())
        ready = [which for which, _ in poll.poll(max(0.0, wait) * 1000 + 1)]
        line.tick()
        if watched in ready:
            line.erase()
            raise SystemExit(STOP)
        if descriptor in ready:
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise NoAnswerError("it hung up without an answer")
            limit = min(deadline, time.monotonic() + SILENCE_SECONDS)
            total += len(chunk)
            if total > MAXIMUM_REPLY:
                raise NoAnswerError(f"it sent more than {MAXIMUM_REPLY} bytes")
            received += chunk
            *whole, rest = received.split(end)
            received = rest
            yield from map(bytes, whole)
        elif time.monotonic() >= limit:
            raise NoAnswerError("it gave no answer in time")


def _end_with_us(child: int) -> None:
    """Make the signals that end this process end the child first."""

    def end(number: int, _frame: object) -> None:
        os.kill(child, signal.SIGTERM)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in ENDING:
        signal.signal(number, end)


def _stop(child: int) -> None:
    """Wait for the engine, which has said all it had to; end it if it stays: politely, then not."""
    for patience, number in ((0.1, signal.SIGTERM), (3.0, signal.SIGKILL)):
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if os.waitpid(child, os.WNOHANG)[0]:
                _no_longer_ends()
                return
            time.sleep(0.002)
        os.kill(child, number)
    os.waitpid(child, 0)
    _no_longer_ends()


def _no_longer_ends() -> None:
    """Give the signals back: the child's id may belong to another process now."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
