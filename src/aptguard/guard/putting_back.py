# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts dpkg's selections back when the front end of a blocked run has ended.

The hook does so at once, but aptitude reads its own file again after a run that failed, and where packages
are in it that nothing needs any more it writes its wishes a second time: on the command line just before it
ends, on its screen before the list is shown again. It holds dpkg's locks from then on until its end. So only
then, and under these locks, they can be put back for good; not at once, for that would get into the way of
whoever comes next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aptguard.guard.run_watch import RunWatch
from aptguard.guard.selections import Wish, selections_to_put_back, still_standing
from aptguard.guard.state import GuardState
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.shown import shown

DIRECTORY = "/run/aptguard/wishes"
FRONT_END_LOCK = "/var/lib/dpkg/lock-frontend"  # dpkg(1), DPKG_FRONTEND_LOCKED
_PATIENCE_WITH_FRONT_END = 24 * 3600.0  # a person may leave its screen open
_PATIENCE_WITH_LOCKS = 3600.0  # whoever came next may upgrade everything
_QUIET = 3.0
_PAUSE = 0.25
_SECONDS_FOR_DPKG = 60.0
# A lock of fcntl(2) belongs to the process, not to one of its threads.
_one_at_a_time = threading.Lock()

Wishes = tuple[Wish, ...]


@dataclass(frozen=True, slots=True)
class BlockedRun:
    """What is to be undone when a run has ended."""

    wishes: Wishes


class CannotPutBackError(Exception):
    """dpkg's selections are not as they were; the text says why."""


class PuttingBack:
    """The wishes of blocked runs whose front ends have not ended yet."""

    def __init__(self, state: GuardState) -> None:
        self._state = state
        self.watch = RunWatch(
            self._ended,
            BlockedRun,
            directory=DIRECTORY,
            patience=_PATIENCE_WITH_FRONT_END,
            gave_up=lambda blocked: self._left(blocked.wishes, "the front end has not ended for a day"),
        )

    def blocked(self, wishes: Wishes, run: str) -> None:
        """Undo ``wishes`` when the ``run`` that was blocked has ended; called before the verdict is given."""
        if not wishes:
            return
        try:
            followed = self.watch.follow(run, BlockedRun(wishes), of_apt=False)
        except Exception as error:
            self._left(wishes, str(error) or type(error).__name__)
        else:
            if not followed:
                self._left(wishes, "the front end cannot be followed to its end")

    def adopt(self) -> None:
        """Take over what a guard that is gone has followed."""
        try:
            self.watch.adopt(self._ended_before)
        except Exception as error:
            self._state.degraded(f"selections of dpkg could not be put back after a block: {error}")

    def _ended(self, blocked: BlockedRun) -> None:
        try:
            put_back(blocked.wishes, self._state.database)
        except Exception as error:
            self._left(blocked.wishes, str(error) or type(error).__name__)

    def _ended_before(self, run: str, blocked: BlockedRun) -> None:
        # Not here: whoever waits for the next verdict holds dpkg's locks.
        if not self.watch.follow_ended(run, blocked):
            self._left(blocked.wishes, "too many runs are followed")

    def _left(self, wishes: Wishes, reason: str) -> None:
        names = ", ".join(shown(f"{wish.package} {wish.wished}") for wish in wishes[:10])
        self._state.degraded(
            f"selections that a blocked run wrote may still be there ({names};"
            f" see dpkg --get-selections): {reason}"
        )


def put_back(
    wishes: Wishes, database: Callable[[], DpkgDatabase], *, seconds: float = _PATIENCE_WITH_LOCKS
) -> None:
    """Undo those ``wishes`` that are still there; ``database`` returns dpkg's as it is at the moment.

    Waits for dpkg's locks, for so many ``seconds`` at most. Raises CannotPutBackError, DpkgDatabaseError,
    OSError, subprocess.TimeoutExpired.
    """
    until = time.monotonic() + seconds
    while still_standing(wishes, database()):
        _wait_until_quiet(until)
        with _locked() as locked:
            if locked and _undo(still_standing(wishes, database())):
                return


def _wait_until_quiet(until: float) -> None:
    """Wait until nobody has held the lock of front ends for a while; CannotPutBackError after ``until``.

    The next command of a script may be one of apt, which would not wait for us but fail.
    """
    held = time.monotonic()
    while time.monotonic() < held + _QUIET:
        time.sleep(_PAUSE)
        with _locked() as free:
            if not free:
                held = time.monotonic()
        if time.monotonic() >= until:
            raise CannotPutBackError("somebody else holds dpkg's locks all the time")


@contextlib.contextmanager
def _locked() -> Iterator[bool]:
    """Hold the lock of front ends, if nobody else does: it yields whether it is held."""
    with _one_at_a_time:
        descriptor = os.open(FRONT_END_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)


def _undo(wishes: Wishes) -> bool:
    """Have dpkg write what was there before ``wishes``; False when somebody holds its other lock."""
    if not wishes:
        return True
    # Without a hook of dpkg's own.
    done = subprocess.run(
        ["/usr/bin/dpkg", "--set-selections"],
        input=selections_to_put_back(wishes).encode("utf-8", "surrogateescape"),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DPKG_FRONTEND_LOCKED": "true"},
        cwd="/",
        umask=0o022,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=_SECONDS_FOR_DPKG,
        check=False,
    )
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode != 0 and "locked by another process" not in said:
        raise CannotPutBackError(f"dpkg --set-selections: {shown(said)[-300:]}")
    return done.returncode == 0
