# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows runs to their end: approved ones, whose work is compared with what was rehearsed, and blocked ones.

The hooks have no part in it, so it costs them nothing. A run is over when its process ends (pidfd_open(2)),
or when its approval is taken away (hooks/apt-announce): a front end may live on after its transaction.
What is followed also lies in a file, for the daemon that comes after this one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from aptguard.guard.inotify import vanished_names, watch_for_deletions
from aptguard.serialization import dumps, loads

APPROVALS = "/run/aptguard/approved"  # hooks/hooklib/approval.py
DIRECTORY = "/run/aptguard/runs"
_NUMBERS = itertools.count(1)
_MOST_FOLLOWED = 64  # runs at once; more are not followed
What = TypeVar("What")


@dataclass(frozen=True, slots=True)
class Note:
    """What is written down of a run: ``follower`` is the process that follows it, as ``PID-STARTTIME``.

    ``what`` is known of the run, as JSON.
    """

    run: str
    follower: str
    of_apt: bool
    what: str


@dataclass(slots=True)
class Followed(Generic[What]):
    """A run, ``what`` is known of it, and the descriptors by which its end is noticed.

    There is none for one that is over.
    """

    run: str
    of_apt: bool
    what: What
    process: int | None
    approvals: int | None = None

    def close(self) -> None:
        """Close both."""
        for descriptor in (self.process, self.approvals):
            if descriptor is not None:
                os.close(descriptor)


class RunWatch(Generic[What]):
    """The runs that one process follows; ``ended`` is called with what is known of each one (a ``kind``).

    After ``patience`` seconds ``gave_up`` is called instead; by default there is no end to it.
    With ``threaded`` each is followed by a thread of its own; without, they wait in ``waiting`` for whoever
    has the time (the embedded engine, once it has given its answer).
    """

    def __init__(
        self,
        ended: Callable[[What], None],
        kind: type[What],
        *,
        directory: str = DIRECTORY,
        patience: float | None = None,
        gave_up: Callable[[What], None] = lambda _: None,
    ) -> None:
        self._ended = ended
        self._kind = kind
        self._directory = directory
        self._patience = patience
        self._gave_up = gave_up
        self.threaded = False
        self.waiting: list[Followed[What]] = []
        self._following = 0
        self._comparing = 0
        self._changed = threading.Condition()

    @property
    def following(self) -> int:
        """How many runs are being followed."""
        return self._following

    def follow(self, run: str, what: What, *, of_apt: bool) -> bool:
        """Follow ``run`` (``PID-STARTTIME``) from now on; False when it cannot be: it has ended, or is alien.

        ``of_apt``: there will be an approval of it.
        """
        followed = _open(run, of_apt, what)
        return followed is not None and self._take(followed)

    def follow_ended(self, run: str, what: What) -> bool:
        """Do for a ``run`` that is over what is done at its end, but not in this thread."""
        return self._take(Followed(run, False, what, None))

    def _take(self, followed: Followed[What]) -> bool:
        if not self.threaded:
            self.waiting.append(followed)
            return True
        with self._changed:
            if self._following >= _MOST_FOLLOWED:
                followed.close()
                return False
            self._following += 1
        threading.Thread(target=self._follow_in_thread, args=(followed,), daemon=True).start()
        return True

    def follow_to_the_end(self, followed: Followed[What]) -> None:
        """Wait until the run is over, then call ``ended``."""
        note = self._write(followed)
        try:
            if not _wait(followed, self._patience):
                self._gave_up(followed.what)
                return
            with self._changed:
                self._comparing += 1
            try:
                self._ended(followed.what)
            finally:
                with self._changed:
                    self._comparing -= 1
                    self._changed.notify_all()
        finally:
            followed.close()
            if note is not None:
                with contextlib.suppress(OSError):
                    os.unlink(note)

    def let_comparisons_end(self, seconds: float) -> None:
        """Wait for comparisons that have begun: soon somebody else may change what they look at."""
        with self._changed:
            self._changed.wait_for(lambda: not self._comparing, seconds)

    def adopt(self, lost: Callable[[str, What], None], *, follow: bool = True) -> None:
        """Follow what a process that is gone has followed; ``lost`` is called for each run that is over.

        Without ``follow`` those that go on are left for somebody who stays longer.
        """
        for path, note, what in self._notes():
            over = note.of_apt and not os.path.lexists(os.path.join(APPROVALS, note.run))
            if _lives(note.follower) or (not follow and not over and _lives(note.run)):
                continue
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue  # somebody else was faster
            if over or not self.follow(note.run, what, of_apt=note.of_apt):
                lost(note.run, what)

    def _follow_in_thread(self, followed: Followed[What]) -> None:
        try:
            self.follow_to_the_end(followed)
        finally:
            with self._changed:
                self._following -= 1

    def _write(self, followed: Followed[What]) -> str | None:
        """Write a note of the run and return its path, None where it cannot be written."""
        own = str(os.getpid())
        note = Note(followed.run, f"{own}-{start_time(own)}", followed.of_apt, dumps(followed.what))
        path = os.path.join(self._directory, f"{followed.run}.{own}.{next(_NUMBERS)}")
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(f"{path}.new", flags, 0o600), "w", encoding="ascii") as file:
                file.write(dumps(note))
            os.rename(f"{path}.new", path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(f"{path}.new")
            return None
        return path

    def _notes(self) -> Iterator[tuple[str, Note, What]]:
        try:
            names = sorted(os.listdir(self._directory))
        except OSError:
            return
        for name in names:
            path = os.path.join(self._directory, name)
            try:
                with open(path, encoding="ascii") as file:
                    note = loads(Note, file.read())
                what = loads(self._kind, note.what)
            except (OSError, ValueError):  # of another version, or cut off: nothing can be made of it
                with contextlib.suppress(OSError):
                    os.unlink(path)
                continue
            yield path, note, what


def parent_run(run: str) -> str:
    """Return the run of the process that started that of ``run``; ``run`` where it is not there any more."""
    try:
        with open(f"/proc/{int(run.partition('-')[0])}/stat", "rb") as file:
            parent = file.read().rpartition(b")")[2].split()[1].decode("ascii")
    except (OSError, ValueError, IndexError):
        return run
    return f"{parent}-{start_time(parent)}"


def _lives(run: str) -> bool:
    pid, _, started = run.partition("-")
    return bool(started) and start_time(pid) == started


def start_time(pid: str) -> str:
    """Return when a process was started (field 22 of stat, proc(5)), empty where it is not there."""
    try:
        with open(f"/proc/{int(pid)}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, ValueError, IndexError):
        return ""


def _open(run: str, of_apt: bool, what: What) -> Followed[What] | None:
    pid, _, started = run.partition("-")
    if not pid.isdigit() or not started:
        return None
    try:
        process = os.pidfd_open(int(pid))
    except OSError:
        return None
    # Only now: the descriptor is of whoever has the number, and from here on it stays with its process.
    if start_time(pid) != started or not _sees_the_same(pid):
        os.close(process)
        return None
    approvals = None
    if of_apt:
        with contextlib.suppress(OSError):
            os.makedirs(APPROVALS, mode=0o700, exist_ok=True)
            approvals = watch_for_deletions(APPROVALS)
    return Followed(run, of_apt, what, process, approvals)


def _sees_the_same(pid: str) -> bool:
    """Whether a process has our mount namespace; in another one paths may lead to other files."""
    try:
        there, here = os.stat(f"/proc/{pid}/ns/mnt"), os.stat("/proc/self/ns/mnt")
    except OSError:
        return False
    return there.st_ino == here.st_ino


def _wait(followed: Followed[What], seconds: float | None) -> bool:
    """Return True when the run is over, False after ``seconds``."""
    if followed.process is None:
        return True
    until = None if seconds is None else time.monotonic() + seconds
    poll = select.poll()
    poll.register(followed.process, select.POLLIN)
    if followed.approvals is not None:
        poll.register(followed.approvals, select.POLLIN)
    while True:
        left = None if until is None else max(0.0, until - time.monotonic()) * 1000
        ready = [descriptor for descriptor, _ in poll.poll(left)]
        if followed.process in ready:
            return True
        if followed.approvals is not None and followed.run in vanished_names(followed.approvals):
            return True
        if not ready and until is not None and time.monotonic() >= until:
            return False
