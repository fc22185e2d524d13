# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds of a rehearsal: how far they are used up, and how they shrink on a small machine.

A script must never be *refused* anything by a bound: it could carry on without, and the rehearsal would go
another way than the machine and call it harmless. So each bound is a measure that is looked at often, and
what the kernel enforces lies above it by more than can be used up between two looks. Where a look finds a
bound passed, the run ends and says so.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace

from aptguard.rehearsal.model import Limits

# Beyond limits.upper_inodes. Making a file takes some microseconds, a look comes every 20 milliseconds.
SPARE_INODES = 100_000
# A process may have threads; of both together there may be so many times limits.processes.
TASKS_PER_PROCESS = 4
_FLOOR_SHARE, _HIGHEST_FLOOR = 20, 256 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """The machine's memory in bytes, and how often the kernel has ended a process for want of it."""

    total: int
    available: int
    kills: int


def read_memory() -> Memory:
    """Return what /proc/meminfo and /proc/vmstat say (proc_meminfo(5)); OSError without /proc."""
    contents = []
    for name in ("meminfo", "vmstat"):
        with open(f"/proc/{name}", "rb") as file:
            contents.append(b"\n" + file.read())
    memory, events = contents
    kills = _number(events, b"oom_kill ") if b"\noom_kill " in events else 0
    return Memory(_number(memory, b"MemTotal:") << 10, _number(memory, b"MemAvailable:") << 10, kills)


def _number(content: bytes, key: bytes) -> int:
    """Return the number behind ``key`` at the beginning of a line; not by taking all lines apart, of 200."""
    start = content.index(b"\n" + key) + 1 + len(key)
    return int(content[start : content.index(b"\n", start)].split()[0])


class Every:
    """A look that is due when ``seconds`` have passed since the last one, whatever happens in between."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.due = 0.0

    def is_due(self, now: float) -> bool:
        """Return whether it is time for a look; if so, it is taken to be made now."""
        if now < self.due:
            return False
        self.due = now + self._seconds
        return True


def for_machine(limits: Limits, memory: Memory) -> Limits:
    """Return ``limits`` made so small that the rehearsal cannot take the machine's last memory; pure.

    The upper directories lie in memory too: a half for the processes, a quarter for the uppers, and as much
    as is left for what is written between two looks.
    """
    return replace(
        limits,
        memory_bytes=min(limits.memory_bytes, memory.available // 2),
        upper_bytes=min(limits.upper_bytes, memory.available // 4),
        upper_spare_bytes=min(max(limits.upper_spare_bytes, limits.upper_bytes // 2), memory.available // 8),
    )


def memory_exhausted(before: Memory, now: Memory) -> str | None:
    """Return why the run must end for the machine's sake, or None; pure."""
    if now.kills > before.kills:
        return "the kernel ended a process for want of memory"
    floor = min(before.total // _FLOOR_SHARE, _HIGHEST_FLOOR, before.available // 2)
    if now.available < floor:
        return f"it left the machine less than {floor >> 20} MiB of memory"
    return None


def room_exhausted(space: os.statvfs_result, limits: Limits) -> str | None:
    """Return which bound of the file system ``space`` is passed, or None; pure."""
    if (space.f_blocks - space.f_bfree) * space.f_frsize > limits.upper_bytes:
        return f"the scripts wrote more than the {limits.upper_bytes >> 20} MiB that a rehearsal has room for"
    if space.f_files - space.f_ffree > limits.upper_inodes:
        return f"the scripts made more than the {limits.upper_inodes} files that a rehearsal has room for"
    return None


def processes_exhausted(limits: Limits) -> str | None:
    """Return which bound the processes of this pid namespace have passed, or None.

    Memory is what belongs to a process alone; what processes share is counted for each of them.
    """
    # What pid 1 shows is the machine's (see first_process).
    pids = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    if len(pids) > limits.processes:
        return f"more than {limits.processes} processes ran at once"
    tasks = memory = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"RssAnon:"):
                    memory += int(line.split()[1]) << 10
                elif line.startswith(b"Threads:"):
                    tasks += int(line.split()[1])
                    break
    if tasks > limits.processes * TASKS_PER_PROCESS:
        return f"more than {limits.processes * TASKS_PER_PROCESS} threads ran at once"
    if memory > limits.memory_bytes:
        return f"the scripts used more than {limits.memory_bytes >> 20} MiB of memory"
    return None
