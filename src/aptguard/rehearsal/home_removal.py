# SPDX-License-Identifier: GPL-3.0-or-later
"""A deluser that walks a dangerous home: what it will do is known long before its first deletion.

``deluser --remove-home`` (adduser 3.134 and 3.152) first collects all that is below the home directory and
then deletes each of it, without a look at what it is. On a large disk with the home ``/`` the first deletion
comes minutes late, perhaps after the deadline. So a deluser that is seen at its walk, with a home that the
stop patterns speak of, ends the run a while later. It is told as an attempt, which is all that was seen.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from aptguard.rehearsal import linux
from aptguard.rehearsal.model import Effect
from aptguard.rehearsal.processes import start_time
from aptguard.shown import shown

# Where the disk is small the deletions come within it, and say more than an attempt does.
_GRACE_SECONDS: Final = 15.0
_BETWEEN_LOOKS: Final = 0.2
_LARGEST_FILE: Final = 4 << 20
_ALL_OF_IT: Final = frozenset({b"--remove-home", b"--remove-all-files"})
_BY_CONFIGURATION: Final = re.compile(rb"^\s*REMOVE_(?:HOME|ALL_FILES)\s*=\s*[\"']?[1-9]", re.MULTILINE)


@dataclass(slots=True)
class _Removal:
    account: bytes
    home: bytes
    begun: int | None  # the process's start time, in clock ticks
    cause: str | None
    walking_since: float | None = None


class HomeRemovals:
    """Follows each deluser that a script starts; ``concerns`` says of a path whether losing it decides."""

    def __init__(self, concerns: Callable[[bytes], bool], clock: Callable[[], float] = monotonic) -> None:
        self._concerns = concerns
        self._clock = clock
        self._merged = -1
        self._removals: dict[int, _Removal] = {}
        self._next_look = 0.0

    def attach(self, merged: int) -> None:
        """Say which root directory the scripts see."""
        self._merged = merged

    def program_started(self, pid: int, argv: tuple[bytes, ...], cause: str | None) -> None:
        """Note a program of a maintainer script; most of them are of no interest here."""
        account = account_of(argv, self._remove_by_configuration)
        if account is None or self._merged < 0:
            return
        home = home_in(self._read(b"/etc/passwd"), account)
        if home is not None and self._concerns(home):
            self._removals[pid] = _Removal(account, home, start_time(pid), cause)

    def seconds_until_stop(self) -> float | None:
        """Return the time until the run may end (0: now), None as long as nothing asks for it."""
        self._look()
        since = [one.walking_since for one in self._removals.values() if one.walking_since is not None]
        if since:
            return max(0.0, min(since) + _GRACE_SECONDS - self._clock())
        return _BETWEEN_LOOKS if self._removals else None

    @property
    def attempts(self) -> tuple[Effect, ...]:
        """Return those that are at their walk now."""
        return tuple(
            Effect(
                "attempt",
                f"deluser was collecting the files in the home of {shown(one.account)}, {shown(one.home)}, "
                "to delete them all",
                one.cause,
                one.home,
            )
            for one in self._removals.values()
            if one.walking_since is not None
        )

    def _look(self) -> None:
        now = self._clock()
        if not self._removals or now < self._next_look:
            return
        self._next_look = now + _BETWEEN_LOOKS
        for pid, one in list(self._removals.items()):
            if one.begun is None or start_time(pid) != one.begun:
                del self._removals[pid]
            elif one.walking_since is None and _is_walking(pid, one.home):
                one.walking_since = now

    def _remove_by_configuration(self) -> bool:
        return _BY_CONFIGURATION.search(self._read(b"/etc/deluser.conf")) is not None

    def _read(self, path: bytes) -> bytes:
        try:
            fd = linux.openat_in_root(self._merged, path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return b""
        with open(fd, "rb") as file:
            return file.read(_LARGEST_FILE)


def account_of(argv: tuple[bytes, ...], by_configuration: Callable[[], bool]) -> bytes | None:
    """Return the account that a command line deletes with its home directory, None if it is no such one."""
    for place, word in enumerate(argv[:4]):
        if word.rpartition(b"/")[2] == b"deluser":
            options = [one for one in argv[place + 1 :] if one.startswith(b"-")]
            names = [one for one in argv[place + 1 :] if not one.startswith(b"-")]
            # With two names it only takes an account out of a group.
            if len(names) == 1 and (_ALL_OF_IT & set(options) or by_configuration()):
                return names[0]
            return None
    return None


def home_in(passwd: bytes, account: bytes) -> bytes | None:
    """Return the home directory of an account (passwd(5)), None if there is no such account."""
    for line in passwd.split(b"\n"):
        fields = line.split(b":")
        if fields[0] == account and len(fields) == 7 and fields[5].startswith(b"/"):
            return os.path.normpath(fields[5].replace(b"//", b"/"))
    return None


def _is_walking(pid: int, home: bytes) -> bool:
    """Whether the process reads a directory in ``home``: it opens none before its walk."""
    start = home.rstrip(b"/") + b"/"
    with contextlib.suppress(OSError):
        for name in os.listdir(b"/proc/%d/fd" % pid):
            with contextlib.suppress(OSError):
                link = b"/proc/%d/fd/%b" % (pid, name)
                path = os.readlink(link)
                if (path == home or path.startswith(start)) and stat.S_ISDIR(os.stat(link).st_mode):
                    return True
    return False
