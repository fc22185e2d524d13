# SPDX-License-Identifier: GPL-3.0-or-later
"""The room of the upper layers from the supervisor's side: where it is, and when it is used up.

It lies in memory while that is enough for what the transaction is likely to write, because nothing is faster
or easier to bound; else on disk, if the machine has room there; else in memory all the same, and a rehearsal
that does not fit ends as unknown.
"""

from __future__ import annotations

import os

from aptguard.rehearsal.bounds import room_exhausted
from aptguard.rehearsal.disk_room import LOOP_MAJOR, DiskRoom, NoDiskRoomError, drop_all, make_disk_room
from aptguard.rehearsal.model import Limits


class UpperRoom:
    """``device`` is a descriptor of the block device to mount, None for memory."""

    def __init__(self, wanted: Limits) -> None:
        self._wanted = wanted
        self._limits = wanted
        self._disk: DiskRoom | None = None
        self._notes: list[str] = []

    def prepare(self, in_memory: Limits) -> None:
        """Make room on disk where ``in_memory``, the limits of this machine's memory, will hardly do."""
        self._limits = in_memory
        if self._wanted.upper_likely_bytes <= in_memory.upper_bytes:
            return
        try:
            self._disk = make_disk_room(self._wanted)
            self._limits = self._disk.limits
        except NoDiskRoomError as error:
            size = in_memory.upper_bytes >> 20
            self._notes.append(
                f"what the transaction writes may not fit into the {size} MiB that this machine's memory "
                f"allows, and there is no room for it on disk: {error}"
            )
        self._in_memory = in_memory

    @property
    def device(self) -> int | None:
        """Return the descriptor of the block device that the init process is to mount."""
        return None if self._disk is None else self._disk.device

    def mounted(self, workspace: int) -> tuple[str, ...]:
        """Note that the workspace stands; return what the report should say of it."""
        if self._disk is None:
            return tuple(self._notes)
        if os.major(os.fstat(workspace).st_dev) == LOOP_MAJOR:
            size = self._limits.upper_bytes >> 20
            return (f"the rehearsal wrote to disk, in a room of {size} MiB: the memory is too small for it",)
        self._disk.close()
        self._disk, self._limits = None, self._in_memory
        return ("the rehearsal wrote to memory: its room on disk could not be mounted",)

    def exhausted(self, workspace: int) -> str | None:
        """Return which bound is passed, the room's or the machine's disk's, or None."""
        if workspace < 0:
            return None
        passed = room_exhausted(os.fstatvfs(workspace), self._limits)
        return passed or (None if self._disk is None else self._disk.machine_is_short())

    def give_up(self, workspace: int) -> None:
        """Let go of everything; what is on disk vanishes with the last mount of it."""
        if self._disk is not None:
            if workspace >= 0:
                drop_all(workspace)
            self._disk.close()
            self._disk = None
