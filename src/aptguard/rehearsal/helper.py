# SPDX-License-Identifier: GPL-3.0-or-later
"""The process in which one rehearsal takes place; started as ``python3 -SI .../rehearsal/helper.py``.

Standard input is a socket: first one byte, perhaps with a descriptor of the mount namespace to rehearse, then
the RehearsalRequest as one line of JSON; the socket then stays open, and its end tells that the caller is
gone. Standard output: lines ``{"progress": text}``, and at last ``{"result": {...}}``. It is started ahead
where that is possible (see helper_process), and imports little: its start may be a part of a transaction.
"""

from __future__ import annotations

import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import contextlib
import gc
import json
import socket

from aptguard.rehearsal import linux
from aptguard.rehearsal.channel import receive_descriptors
from aptguard.rehearsal.chroot import make_root_a_mount_point, root_is_mount_point
from aptguard.rehearsal.model import Progress, RehearsalRequest, RehearsalResult, Unknown
from aptguard.rehearsal.observer import NoObserver, Observer, ShieldedObserver
from aptguard.rehearsal.seccomp import filter_program
from aptguard.rehearsal.supervisor import CallerGone, Supervisor
from aptguard.serialization import loads, prepare, to_plain


def observer_for(request: RehearsalRequest) -> Observer:
    """Return the observer of the coming run: here live observation plugs in."""
    packages = _packages(request)
    try:
        from aptguard.rehearsal.watch import Watcher
    except ImportError as error:
        return NoObserver(packages, f"changes are attributed to the package only: {error}")

    def tell(progress: Progress) -> None:
        doing = " ".join(filter(None, (progress.package, progress.script))) or "dpkg"
        _tell(f"{doing}: {progress.paths} paths")

    watcher = Watcher(packages=packages, stop_patterns=request.stop_patterns, progress=tell)
    return _ObserverToTheEnd(watcher, packages)


class _ObserverToTheEnd(ShieldedObserver):
    """Leaves the descriptors of a finished observation to the end of this process.

    Closing each of them waits for the kernel (an RCU grace period, about 8 ms); the answer would wait too.
    """

    _finished = False

    def finish(self) -> None:
        super().finish()
        self._finished = True

    def close(self) -> None:
        if not self._finished:
            super().close()


def _load_all() -> None:
    """Import what is otherwise imported late: the other namespace may not have it, or another version."""
    import aptguard.changes.upper
    import aptguard.rehearsal.sandbox
    import aptguard.rehearsal.watch  # noqa: F401


def _make_ready() -> None:
    """Do before there is a request what is the same for each."""
    _load_all()
    prepare(RehearsalRequest)
    prepare(RehearsalResult)
    with contextlib.suppress(ValueError):  # whoever needs the program says so
        filter_program(linux.platform_machine())


def _packages(request: RehearsalRequest) -> list[str]:
    """Return the names in the selections of the request."""
    lines = [line for step in request.steps for line in step.stdin.split(b"\n") if line]
    return sorted({line.split()[0].partition(b":")[0].decode("utf-8", "replace") for line in lines})


def main(_arguments: list[str]) -> int:
    """Rehearse what standard input asks for; return 0 when a result was written, 1 when nobody wants it."""
    _make_ready()
    namespace = _first_byte()
    line = _read_line(0)
    if not line:
        return 1
    request = loads(RehearsalRequest, line)
    if namespace is not None:
        linux.setns(namespace, linux.CLONE_NEWNS)
        os.close(namespace)
    try:
        if not root_is_mount_point():
            make_root_a_mount_point()
        result = Supervisor(request, 0, observer_for, _tell).run()
    except (CallerGone, BrokenPipeError):
        return 1
    except Exception as error:  # any failure is an unknown, and never silence
        result = RehearsalResult(
            (), (), False, unknowns=(Unknown("the rehearsal", f"it failed: {type(error).__name__}: {error}"),)
        )
    _write({"result": to_plain(result)})
    return 0


def _first_byte() -> int | None:
    """Wait for the first byte; return the descriptor of the mount namespace that came with it, if any."""
    with socket.socket(fileno=os.dup(0)) as control:
        _, descriptors = receive_descriptors(control, 1, 1)
    return descriptors[0] if descriptors else None


def _read_line(fd: int) -> bytes:
    """Return the first line; unbuffered, for the rest of the pipe is only polled."""
    parts = []
    while block := os.read(fd, 1 << 16):
        parts.append(block)
        if block.endswith(b"\n"):
            break
    return b"".join(parts)


def _tell(line: str) -> None:
    _write({"progress": line})


def _write(message: object) -> None:
    data = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    gc.disable()  # nothing here lives long, and collecting would look at each of many changes
    # Not sys.exit: taking the interpreter down would take longer than what is left to do.
    os._exit(main(sys.argv[1:]))
