# SPDX-License-Identifier: GPL-3.0-or-later
"""A control group for one rehearsal, where the caller's own group is delegated to it (Delegate=yes).

What the group gives beyond the polling of bounds: the kernel itself counts all memory and all tasks, tells
what it had to refuse, and ends everything at once (cgroup.kill). Without it there are the other bounds, and
the result says so. Sources: Documentation/admin-guide/cgroup-v2.rst; https://systemd.io/CGROUP_DELEGATION.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from aptguard.rehearsal.bounds import TASKS_PER_PROCESS
from aptguard.rehearsal.model import Limits, Unknown
from aptguard.rehearsal.mountinfo import is_below, read_mountinfo
from aptguard.shown import shown

_GUARD = b"guard"
_PREFIX = b"rehearsal-"
_CONTROLLERS = (b"memory", b"pids")
_HELPER_BYTES = 256 << 20
_HELPER_TASKS = 16
_LAST_SECONDS = 10.0
_NEW_SECONDS = 10.0
_NONE = "no control group: the caller's own is not delegated to it; bounds are kept by limits and polling"


class ControlGroup:
    """One group; ``note`` says what it cannot do, or is None. Without a directory it does nothing."""

    def __init__(self, limits: Limits) -> None:
        self.directory: bytes | None = None
        self.note: str | None = None
        self._refusals_before: dict[bytes, int] = {}
        try:
            own = _own_group()
            self._refusals_before = _refusals(own)
            base = _delegated(own)
            if base is None:
                self.note = _NONE
                return
            _remove_what_others_left(base)
            directory = base + b"/" + _PREFIX + os.urandom(8).hex().encode()
            os.mkdir(directory)
            self.directory = directory
            self._bound(base, directory, limits)
        except (OSError, ValueError) as error:
            self.note = f"no control group: {error}; bounds are kept by limits and polling"
            self.close()

    def _bound(self, base: bytes, directory: bytes, limits: Limits) -> None:
        missing = [name for name in _CONTROLLERS if name not in _read(base + b"/cgroup.controllers").split()]
        if missing:
            names = b" and ".join(missing).decode()
            self.note = f"the control group has no controller for {names}; these bounds are kept by polling"
        wanted = [name for name in _CONTROLLERS if name not in missing]
        _enable(base, wanted)
        if b"pids" in wanted:
            tasks = limits.processes * TASKS_PER_PROCESS + _HELPER_TASKS
            _write(directory + b"/pids.max", b"%d" % tasks)
        if b"memory" in wanted:
            total = limits.memory_bytes + limits.upper_bytes + limits.upper_spare_bytes + _HELPER_BYTES
            _write(directory + b"/memory.max", b"%d" % total)

    def add(self, pid: int) -> None:
        """Move the process into the group; what it starts from then on is in it too."""
        if self.directory is None:
            return
        try:
            _write(self.directory + b"/cgroup.procs", b"%d" % pid)
        except OSError as error:
            self.note = f"no control group: {error}; bounds are kept by limits and polling"
            self.close()

    def refused(self) -> tuple[Unknown, ...]:
        """Return what the kernel refused the group's processes, or meanwhile those of a group above it."""
        found = []
        for file, key, what in (
            (b"memory.events", b"oom_kill", "the kernel ended a process: the rehearsal used all its memory"),
            (b"pids.events", b"max", "the kernel refused a process: the rehearsal ran too many at once"),
        ):
            if self.directory is not None and _count(self.directory + b"/" + file, key):
                found.append(Unknown("the rehearsal passed a bound", what))
        for group, before in self._refusals_before.items():
            if (_count(group + b"/pids.events", b"max") or 0) > before:
                what = (
                    f"the kernel refused a process: the control group {shown(group)} may have no more of them"
                )
                found.append(Unknown("the rehearsal passed a bound", what))
        return tuple(found)

    def close(self) -> None:
        """End every process in the group and remove it; may be called at any time, also twice."""
        if self.directory is None:
            return
        directory, self.directory = self.directory, None
        with contextlib.suppress(OSError):  # Linux 5.14; before it they have ended with the helper
            _write(directory + b"/cgroup.kill", b"1")
        with contextlib.suppress(OSError):
            _remove_when_empty(directory)


def delegated_group() -> bytes | None:
    """Return the directory of the delegated group that this process is in, None if there is none."""
    return _delegated(_own_group())


def _own_group() -> bytes | None:
    path = next((line[3:] for line in _read(b"/proc/self/cgroup").split(b"\n") if line[:3] == b"0::"), None)
    mounts = [m for m in read_mountinfo(_read(b"/proc/self/mountinfo")) if m.kind == b"cgroup2"]
    if path is None or not mounts or not is_below(path, mounts[-1].root):
        return None
    return mounts[-1].point + path[len(mounts[-1].root.rstrip(b"/")) :]


def _delegated(group: bytes | None) -> bytes | None:
    if group is not None and os.path.basename(group) == _GUARD:
        group = os.path.dirname(group)
    return group if group is not None and _is_delegated(group) else None


def _refusals(group: bytes | None) -> dict[bytes, int]:
    """Return how often each group from ``group`` upwards could have no more processes.

    Until Linux 6.10 the group that forks counts it, since 6.11 the one whose bound it was (pids.events in
    cgroup-v2.rst). Only groups that have the controller are there.
    """
    found: dict[bytes, int] = {}
    while group is not None and os.path.exists(group + b"/cgroup.procs"):
        count = _count(group + b"/pids.events", b"max")
        if count is not None:
            found[group] = count
        group = os.path.dirname(group)
    return found


def _is_delegated(group: bytes) -> bool:
    """Whether systemd has marked the group as one in which it changes nothing itself."""
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def _enable(base: bytes, controllers: list[bytes]) -> None:
    if not controllers:
        return
    words = b" ".join(b"+" + name for name in controllers)
    try:
        _write(base + b"/cgroup.subtree_control", words)
    except OSError:
        # A group with controlled children holds no process itself: the guard's own move into one of them.
        with contextlib.suppress(FileExistsError):
            os.mkdir(base + b"/" + _GUARD)
        for pid in _read(base + b"/cgroup.procs").split():
            with contextlib.suppress(ProcessLookupError):
                _write(base + b"/" + _GUARD + b"/cgroup.procs", pid)
        _write(base + b"/cgroup.subtree_control", words)


def _remove_what_others_left(base: bytes) -> None:
    """Remove the empty groups of callers that were killed; one in use cannot be removed."""
    for name in os.listdir(base):
        if name.startswith(_PREFIX) and _count(base + b"/" + name + b"/cgroup.events", b"populated") == 0:
            # One that was only just made, and is still empty, must stay.
            with contextlib.suppress(OSError):
                if time.time() - os.stat(base + b"/" + name).st_ctime > _NEW_SECONDS:
                    os.rmdir(base + b"/" + name)


def _remove_when_empty(directory: bytes) -> None:
    """Remove the group once its processes have ended; raises OSError if they have not in time.

    "Not populated" is not yet removable: a process that is just being forked or moved makes rmdir(2) fail
    with EBUSY for a moment longer.
    """
    deadline = time.monotonic() + _LAST_SECONDS
    while True:
        try:
            os.rmdir(directory)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.002)


def _count(path: bytes, key: bytes) -> int | None:
    """Return the number behind ``key`` in a file of the group, None if the file or the key is not there."""
    with contextlib.suppress(OSError, ValueError):
        for line in _read(path).split(b"\n"):
            name, _, value = line.partition(b" ")
            if name == key:
                return int(value)
    return None


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: bytes, value: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value)
    finally:
        os.close(fd)
