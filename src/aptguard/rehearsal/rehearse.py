# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearsing from outside: starts the helper process, relays its progress, returns its result."""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aptguard.rehearsal.bounds import for_machine, read_memory
from aptguard.rehearsal.control_group import ControlGroup
from aptguard.rehearsal.helper_process import start_ahead, take_helper
from aptguard.rehearsal.model import Limits, RehearsalRequest, RehearsalResult, StepResult, Unknown
from aptguard.serialization import dumps, from_plain
from aptguard.shown import shown

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
    ``progress`` raises, everything is killed and the exception passes on. Nothing that was rehearsed is left
    running after it.
    ``cancelled`` is asked a few times a second; raises RehearsalCancelledError as soon as it says yes.
    """
    try:
        with _Helper(mount_namespace, request.limits) as helper:
            result = helper.ask(request, progress or _ignore, cancelled)
            return helper.with_what_the_group_knows(result)
    except (OSError, ValueError, _NoAnswer) as error:
        return _failed(request, str(error) or type(error).__name__)


def expect_rehearsal() -> None:
    """Let the helper process of the next rehearsal load while other things are being done."""
    start_ahead(_HELPER)


def _ignore(_line: str) -> None:
    pass


class RehearsalCancelledError(Exception):
    """Nobody waits for the result any more; what was rehearsed has been killed."""


class _NoAnswer(Exception):  # noqa: N818
    """The helper ended, or was ended, without a result."""


class _Helper:
    """The helper process; killed with all that runs in its rehearsal when the context is left."""

    def __init__(self, mount_namespace: int | None, limits: Limits) -> None:
        self._group = ControlGroup(for_machine(limits, read_memory()))
        try:
            self._helper = take_helper(_HELPER)
        except BaseException:
            self._group.close()
            raise
        self._process = self._helper.process
        self._errors = b""
        self._answered = False
        try:
            # Before it is asked for anything, so that all it starts is in the group.
            self._group.add(self._process.pid)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its last words say more
                self._helper.enter(mount_namespace)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> _Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self._helper.kill()
        if self._answered:
            # With the answer its init process and all below it had ended; what is left is the kernel's work.
            threading.Thread(target=self._end, name="end of a rehearsal").start()
        else:
            self._end()

    def _end(self) -> None:
        self._helper.kill()
        self._helper.bury()
        self._group.close()

    def ask(
        self,
        request: RehearsalRequest,
        progress: Callable[[str], None],
        cancelled: Callable[[], bool] | None,
    ) -> RehearsalResult:
        """Send ``request`` and return the answer; _NoAnswer when there is none in time."""
        deadline = time.monotonic() + request.limits.seconds + _OUTER_SECONDS
        stdin, stdout, stderr = self._helper.control, self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
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
                unsent = unsent[_sent(stdin.fileno(), unsent[: 1 << 15]) :]
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
                        self._answered = True
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


def _sent(fd: int, data: memoryview) -> int:
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except (BrokenPipeError, ConnectionResetError):
        return len(data)  # it has ended; what it said last tells why


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
