# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the administrator's own programs: each file in /etc/aptguard/notify.d gets the event as JSON.

Whoever judges only queues a file. aptguard-notify.path starts ``python3 -I -m aptguard.alerts.notify`` for
it, outside of the daemon's confinement, which would keep mail and network from these programs; without
systemd it is started as a process of its own. So no transaction ever waits for them.

The path unit starts it again and again while anything is in the queue. So what cannot be taken out of it is
put aside, beside the queue; and so is all of it where this program fails (systemd/notify-failed). It is told
with the next event.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

PROGRAMS = "/etc/aptguard/notify.d"
QUEUE = "/run/aptguard/notify"
SECONDS = 30.0  # for one program and one event
_MOST = 100  # waiting events, and as many aside; more would be a flood that nobody reads
_ASIDE = "-aside"  # behind the queue's name
_NAME = re.compile(r"[A-Za-z0-9_-]+")  # run-parts(8)
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def queue_event(document: dict[str, Any], *, queue: str = QUEUE, programs: str = PROGRAMS) -> bool:
    """Leave ``document`` (which has the key ``event``) for the programs; False when there are none.

    Raises OSError.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if not any(_NAME.fullmatch(name) for name in os.listdir(programs)):
            return False
        os.makedirs(queue, mode=0o700, exist_ok=True)
        if len(os.listdir(queue)) >= _MOST:
            raise OSError(f"{_MOST} events wait in {queue} for the programs in {programs}")
        _forget_the_oldest(queue + _ASIDE)
        # Made beside the queue: what is in the queue is whole.
        descriptor, name = tempfile.mkstemp(dir=os.path.dirname(queue), prefix=".notify-")
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump(document, file)
        os.rename(name, os.path.join(queue, f"{time.time_ns()}-{os.getpid()}.json"))
        return True
    return False


def start_detached() -> None:
    """Start the programs in a process that nobody waits for: where there is no systemd to do it."""
    subprocess.Popen(
        [sys.executable or "/usr/bin/python3", "-I", "-m", "aptguard.alerts.notify"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def work_off(*, queue: str = QUEUE, programs: str = PROGRAMS, seconds: float = SECONDS) -> int:
    """Give each waiting event to each program, and return how many programs failed or were refused.

    Raises OSError at the end where something could neither be taken out of the queue nor put aside.
    """
    failed = 0
    for event, document in _waiting(queue):
        for path in _programs(programs):
            problem = distrust(path) or _run(path, event, document, seconds)
            if problem:
                failed += 1
                print(f"{path} was not told of the event {event}: {problem}", file=sys.stderr, flush=True)
    return failed


def distrust(path: str) -> str:
    """Return why ``path`` must not be run as root, as when others could write it; empty if it may be."""
    try:
        real = os.path.realpath(path, strict=True)
        status = os.stat(real)
        if not stat.S_ISREG(status.st_mode):
            return "it is no regular file"
        if not status.st_mode & 0o100:
            return "it is not executable"
        place = real
        while True:
            status = os.stat(place)
            if status.st_uid != 0:
                return f"{place} does not belong to root"
            if status.st_mode & 0o022:
                return f"{place} can be written by others than root"
            if place == "/":
                return ""
            place = os.path.dirname(place)
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"


def _waiting(queue: str) -> Iterator[tuple[str, bytes]]:
    """Yield the events, the oldest first; each is taken away first, so that none is told twice."""
    try:
        directory = os.open(queue, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        for name in _names(queue + _ASIDE):
            with contextlib.suppress(OSError):  # it stays there, where it starts nothing
                yield from _events(_taken(os.path.join(queue + _ASIDE, name)))
        stuck: set[str] = set()
        while names := sorted({*os.listdir(directory)} - stuck):
            for name in names:
                try:
                    document = _taken(os.path.join(queue, name))
                except OSError:
                    if not _put_aside(queue, name):
                        stuck.add(name)
                else:
                    yield from _events(document)
        if stuck:
            raise OSError(
                f"this can neither be taken out of {queue} nor put aside: {', '.join(sorted(stuck))}"
            )
    finally:
        os.close(directory)


def _taken(path: str) -> bytes:
    """Return what is in a file and take it away; OSError where either cannot be done."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(f"{path} is no regular file")
    with open(path, "rb") as file:
        document = file.read()
    os.unlink(path)
    return document


def _events(document: bytes) -> Iterator[tuple[str, bytes]]:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        yield str(json.loads(document)["event"]), document


def _put_aside(queue: str, name: str) -> bool:
    """Take what is no event out of the queue, under a name that nothing else has."""
    try:
        os.makedirs(queue + _ASIDE, mode=0o700, exist_ok=True)
        os.rename(os.path.join(queue, name), os.path.join(queue + _ASIDE, f"{name}.{time.time_ns()}"))
    except OSError:
        return False
    return True


def _forget_the_oldest(aside: str) -> None:
    """Keep the newest events that lie aside; all are in the journal."""
    for name in _names(aside)[:-_MOST]:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(aside, name))


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _programs(directory: str) -> list[str]:
    return [os.path.join(directory, name) for name in _names(directory) if _NAME.fullmatch(name)]


def _run(path: str, event: str, document: bytes, seconds: float) -> str:
    try:
        process = subprocess.Popen(
            [path, event], stdin=subprocess.PIPE, env=_ENVIRONMENT, cwd="/", start_new_session=True
        )
    except OSError as error:
        return f"it could not be started: {error.strerror}"
    try:
        process.communicate(document, timeout=seconds)
    except subprocess.TimeoutExpired:
        # The program and all that it has started, so that nothing keeps the others waiting.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"it was ended after {seconds:g} s"
    return "" if process.returncode == 0 else f"it ended with {process.returncode}"


if __name__ == "__main__":
    work_off()  # a program of the administrator's that fails is no failure of this one
