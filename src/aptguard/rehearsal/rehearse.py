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
from dataclasses import replace
from typing import Any

from aptguard.rehearsal.bounds import for_machine, read_memory
from aptguard.rehearsal.control_group import ControlGroup
from aptguard.rehearsal.model import Limits, RehearsalRequest, RehearsalResult, StepResult, Unknown
from aptguard.serialization import dumps, from_plain
from aptguard.shown import shown

_PYTHON = "/usr/bin/python3"
_HELPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "helper.py")
_CANCEL_SECONDS = 0.2  # between two looks at whether the answer is still wanted
_SIGN_OF_LIFE_SECONDS = 10.0  # between two calls of progress, even where nothing new is to be told
# For the helper's own start, its end, and reading a large change set, beyond what the request allows the run.
_OUTER_SECONDS = 60.0
_LONGEST_ANSWER = 1 << 30


def rehearse(
    request: RehearsalRequest,
    *,
    progress: Callable[[str], None] | None = None,
    mount_namespace: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> RehearsalResult:
    """Rehearse ``request`` in a process of its own and return what happened.

    ``progress`` is called with a line whenever dpkg begins with a package. ``mount_namespace`` is a
    descriptor of the mount namespace whose machine is meant (default: this process's). A rehearsal that
    cannot be done returns a result with ``complete=False`` and the reason among its unknowns. When
    ``progress`` raises, everything is killed and the exception passes on. Nothing is left running after it.
    ``cancelled`` is asked a few times a second; raises RehearsalCancelledError as soon as it says yes.
    """
    try:
        with _Helper(mount_namespace, request.limits) as helper:
            result = helper.ask(request, progress or _ignore, cancelled)
            return helper.with_what_the_group_knows(result)
    except (OSError, ValueError, _NoAnswer) as error:
        return _failed(request, str(error) or type(error).__name__)


def _ignore(_line: str) -> None:
    pass


class RehearsalCancelledError(Exception):
    """Nobody waits for the result any more; what was rehearsed has been killed."""


class _NoAnswer(Exception):  # noqa: N818
    """The helper ended, or was ended, without a result."""


class _Helper:
    """The helper process; killed with all that runs in its rehearsal when the context is left."""

    def __init__(self, mount_namespace: int | None, limits: Limits) -> None:
        command = [_PYTHON, "-SI", _HELPER]
        passed: tuple[int, ...] = ()
        if mount_namespace is not None:
            command += ["--mount-namespace", str(mount_namespace)]
            passed = (mount_namespace,)
        self._group = ControlGroup(for_machine(limits, read_memory()))
        try:
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
        except BaseException:
            self._group.close()
            raise
        # Before it is asked for anything, so that all it starts is in the group.
        self._group.add(self._process.pid)
        self._errors = b""

    def __enter__(self) -> _Helper:
        return self

    def __exit__(self, *_: object) -> None:
        # The init process of the rehearsal dies with its parent (PR_SET_PDEATHSIG), the rest with init.
        process = self._process
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        self._group.close()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def ask(
        self,
        request: RehearsalRequest,
        progress: Callable[[str], None],
        cancelled: Callable[[], bool] | None,
    ) -> RehearsalResult:
        """Send ``request`` and return the answer; _NoAnswer when there is none in time."""
        deadline = time.monotonic() + request.limits.seconds + _OUTER_SECONDS
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        os.set_blocking(stdin.fileno(), False)
        unsent = memoryview(dumps(request).encode() + b"\n")
        received = bytearray()
        longest = _CANCEL_SECONDS if cancelled is not None else _SIGN_OF_LIFE_SECONDS
        telling = _Telling(progress)
        while True:
            telling.give_sign_of_life()
            if cancelled is not None and cancelled():
                raise RehearsalCancelledError("the caller hung up")
            left = max(0.0, deadline - time.monotonic())
            readable, writable, _ = select.select(
                [stdout, stderr], [stdin] if unsent else [], [], min(left, longest)
            )
            if not readable and not writable:
                if left > longest:
                    continue
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
                    result = _read_message(line, telling)
                    if result is not None:
                        return result

    def with_what_the_group_knows(self, result: RehearsalResult) -> RehearsalResult:
        """Return ``result`` with what the kernel refused in the group, and what the group lacks."""
        refused = self._group.refused()
        notes = (self._group.note,) if self._group.note else ()
        return replace(
            result,
            complete=result.complete and not refused,
            unknowns=(*result.unknowns, *refused),
            notes=(*result.notes, *notes),
        )

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


class _Telling:
    """Passes progress on, and repeats the last line when nothing has been told for a while."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._last = "rehearsing"
        self._due = time.monotonic() + _SIGN_OF_LIFE_SECONDS

    def __call__(self, line: str) -> None:
        self._last = line
        self._due = time.monotonic() + _SIGN_OF_LIFE_SECONDS
        self._progress(line)

    def give_sign_of_life(self) -> None:
        """Repeat the last line if it is time."""
        if time.monotonic() >= self._due:
            self(self._last)


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
