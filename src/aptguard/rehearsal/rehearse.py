# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearsing from outside: starts the helper process, relays its progress, returns its result."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from aptguard.rehearsal.model import RehearsalRequest, RehearsalResult, StepResult, Unknown
from aptguard.serialization import dumps, from_plain
from aptguard.shown import shown

_PYTHON = "/usr/bin/python3"
_HELPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "helper.py")
# For the helper's own start, its end, and reading a large change set, beyond what the request allows the run.
_OUTER_SECONDS = 60.0
_LONGEST_ANSWER = 1 << 30


def rehearse(
    request: RehearsalRequest,
    *,
    progress: Callable[[str], None] | None = None,
    mount_namespace: int | None = None,
) -> RehearsalResult:
    """Rehearse ``request`` in a process of its own and return what happened.

    ``progress`` is called with a line whenever dpkg begins with a package. ``mount_namespace`` is a
    descriptor of the mount namespace whose machine is meant (default: this process's). A rehearsal that
    cannot be done returns a result with ``complete=False`` and the reason among its unknowns. When
    ``progress`` raises, everything is killed and the exception passes on. Nothing is left running after it.
    """
    try:
        with _Helper(mount_namespace) as helper:
            return helper.ask(request, progress or _ignore)
    except (OSError, ValueError, _NoAnswer) as error:
        return _failed(request, str(error) or type(error).__name__)


def _ignore(_line: str) -> None:
    pass


class _NoAnswer(Exception):  # noqa: N818
    """The helper ended, or was ended, without a result."""


class _Helper:
    """The helper process; killed with all that runs in its rehearsal when the context is left."""

    def __init__(self, mount_namespace: int | None) -> None:
        command = [_PYTHON, "-SI", _HELPER]
        passed: tuple[int, ...] = ()
        if mount_namespace is not None:
            command += ["--mount-namespace", str(mount_namespace)]
            passed = (mount_namespace,)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=passed,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        self._errors = b""

    def __enter__(self) -> _Helper:
        return self

    def __exit__(self, *_: object) -> None:
        # The init process of the rehearsal dies with its parent (PR_SET_PDEATHSIG), the rest with init.
        process = self._process
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def ask(self, request: RehearsalRequest, progress: Callable[[str], None]) -> RehearsalResult:
        """Send ``request`` and return the answer; _NoAnswer when there is none in time."""
        deadline = time.monotonic() + request.limits.seconds + _OUTER_SECONDS
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        os.set_blocking(stdin.fileno(), False)
        unsent = memoryview(dumps(request).encode() + b"\n")
        received = bytearray()
        while True:
            readable, writable, _ = select.select(
                [stdout, stderr], [stdin] if unsent else [], [], max(0.0, deadline - time.monotonic())
            )
            if not readable and not writable:
                raise _NoAnswer(f"no answer within {request.limits.seconds + _OUTER_SECONDS:g} seconds")
            if writable:
                unsent = unsent[os.write(stdin.fileno(), unsent[: 1 << 15]) :]
            if stderr in readable:
                self._errors = (self._errors + os.read(stderr.fileno(), 1 << 16))[-4000:]
            if stdout in readable:
                block = os.read(stdout.fileno(), 1 << 20)
                if not block:
                    raise _NoAnswer(self._last_words())
                received += block
                if len(received) > _LONGEST_ANSWER:
                    raise _NoAnswer("its answer is longer than a gigabyte")
                while b"\n" in block:
                    line, _, rest = bytes(received).partition(b"\n")
                    received = bytearray(rest)
                    block = rest
                    result = _read_message(line, progress)
                    if result is not None:
                        return result

    def _last_words(self) -> str:
        stderr = self._process.stderr
        status = self._process.wait()
        if stderr is not None:
            os.set_blocking(stderr.fileno(), False)
            with contextlib.suppress(BlockingIOError):
                self._errors += os.read(stderr.fileno(), 1 << 16)
        how = f"exit {status}" if status >= 0 else f"signal {-status}"
        last = self._errors.strip().rpartition(b"\n")[2]
        return f"the helper process ended without an answer ({how}) {shown(last)}".rstrip()


def _read_message(line: bytes, progress: Callable[[str], None]) -> RehearsalResult | None:
    message: dict[str, Any] = json.loads(line)
    if "result" in message:
        return from_plain(RehearsalResult, message["result"])
    progress(str(message["progress"]))
    return None


def _failed(request: RehearsalRequest, reason: str) -> RehearsalResult:
    return RehearsalResult(
        steps=tuple(StepResult(step.argv, None, 0.0) for step in request.steps),
        changes=(),
        complete=False,
        unknowns=(Unknown("the rehearsal", f"it could not be done: {reason}"),),
    )
