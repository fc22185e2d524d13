# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as /proc shows them (proc(5)); standard library only."""

from __future__ import annotations

import os

_SHELLS = ("sh", "dash", "bash")


def apt_process() -> tuple[int, str, list[str]]:
    """Return pid, start time and argv of the process that runs the hooks.

    Above us are the hook's shell script and the shell that apt starts (``sh -c COMMAND``). The start time
    is empty and the argv too when /proc does not tell.
    """
    pid = os.getppid()
    for _ in range(3):
        words = command_line(pid)
        if len(words) < 2 or os.path.basename(words[0]) not in _SHELLS:
            break
        pid = parent_and_start(pid)[0]
    return pid, parent_and_start(pid)[1], command_line(pid)


def parent_and_start(pid: int) -> tuple[int, str]:
    """Return the parent and the start time of a process (fields 4 and 22 of stat), or 0 and nothing."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[1]), fields[19].decode("ascii")
    except (OSError, IndexError, ValueError):
        return 0, ""


def command_line(pid: int) -> list[str]:
    """Return the argv of a process, empty when it cannot be read."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")[:-1]
    except OSError:
        return []
    return [word.decode("utf-8", "surrogateescape") for word in words]


def open_process(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends (pidfd_open(2)), None without one."""
    try:
        return os.pidfd_open(pid) if pid > 0 else None
    except OSError:
        return None
