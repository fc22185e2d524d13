# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a copied mount that came without their content: who reads one, or writes to one, is noticed.

A hollow file has its size and no blocks, and reads as zeros. What a script concludes from zeros is not what
it would on the machine, and zeros written over zeros leave no trace: so the directories that hold hollow
files are marked (fanotify(7)), and what happened to these files is read when nothing runs any more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from aptguard.changes.entry import Entry
from aptguard.changes.model import Change, Kind
from aptguard.rehearsal import fanotify as fan
from aptguard.rehearsal.model import Unknown
from aptguard.rehearsal.observer import ObservedLayer
from aptguard.shown import shown

_EVENTS = fan.FAN_OPEN | fan.FAN_ACCESS | fan.FAN_MODIFY | fan.FAN_EVENT_ON_CHILD
_BUFFER = 4096
_MOST_NAMED = 20


def mark_directories(directories: Iterable[bytes]) -> int:
    """Return a new fanotify group that is told of every use of a file in ``directories``; raises OSError.

    The queue is the kernel's usual one: a flood of events ends in its overflow, which counts as a reading.
    """
    group = fan.init(fan.FAN_NONBLOCK)
    try:
        for directory in directories:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fan.mark(group, fan.FAN_MARK_ADD, _EVENTS, fd)
            finally:
                os.close(fd)
    except OSError:
        os.close(group)
        raise
    return group


@dataclass(slots=True)
class HollowFiles:
    """The supervisor's side: ``group`` comes from `mark_directories`, -1 where nothing is hollow."""

    group: int = -1
    _masks: dict[int, int] = field(default_factory=dict)  # what happened, by inode number

    def take(self) -> tuple[Unknown, ...]:
        """Read what happened; return an Unknown where that is not all of it.

        To be called once, when nothing runs any more and before anybody looks into the merged tree.
        """
        all_of_them = True
        while self.group >= 0:
            try:
                events = fan.parse(os.read(self.group, _BUFFER))
            except BlockingIOError:
                os.close(self.group)
                self.group = -1
                break
            for event in events:
                if event.fd < 0:
                    all_of_them = False
                    continue
                try:
                    inode = os.fstat(event.fd).st_ino
                finally:
                    os.close(event.fd)
                self._masks[inode] = self._masks.get(inode, 0) | event.mask
        if all_of_them:
            return ()
        reason = "files of a copied file system were used so often that it is not known which of them"
        return (Unknown("what scripts read in files that were not copied", reason),)

    def judged(
        self, layers: Sequence[ObservedLayer], changes: Sequence[Change]
    ) -> tuple[Sequence[Change], tuple[Unknown, ...]]:
        """Return ``changes`` with what was written to hollow files, and an Unknown for each that was read."""
        if not self._masks:
            return changes, ()
        unknowns: list[Unknown] = []
        by_path = {change.path: change for change in changes}
        for path, inode, lower in _hollow(layers):
            mask = self._masks.get(inode, 0)
            written = bool(mask & fan.FAN_MODIFY)
            if written:
                _note_writing(by_path, path, lower)
            # Neither read nor written: mapped into memory, or asked for its flags, which a copy may not have.
            if mask & fan.FAN_ACCESS or (mask and not written):
                reason = "a script opened it, and its content was not copied for the rehearsal"
                unknowns.append(Unknown(f"what {shown(path)} holds", reason, path))
        return tuple(by_path.values()), tuple(unknowns[:_MOST_NAMED])


def _hollow(layers: Sequence[ObservedLayer]) -> Iterator[tuple[bytes, int, Entry]]:
    """Yield path, inode number and entry of each hollow file; the overlay shows the lower's inode number.

    Copy and upper lie on one file system, the workspace (overlayfs.rst, "Inode properties").
    """
    for layer in layers:
        if not layer.is_copy:
            continue
        top = b"/proc/self/fd/%d" % layer.lower
        for directory, _, names, fd in os.fwalk(top + b"/.", follow_symlinks=False):
            inside = directory[len(top) + 2 :].lstrip(b"/")
            for name in names:
                entry = Entry(fd, name)
                seen = entry.stat
                if stat.S_ISREG(seen.st_mode) and seen.st_size and not seen.st_blocks:
                    yield b"/".join(filter(None, (layer.mount_point, inside, name))), seen.st_ino, entry


def _note_writing(by_path: dict[bytes, Change], path: bytes, lower: Entry) -> None:
    known = by_path.get(path)
    if known is None:
        node = lower.node()
        by_path[path] = Change(path, frozenset({Kind.CONTENT}), node, node)
    elif not known.deleted:
        by_path[path] = replace(known, kinds=known.kinds | {Kind.CONTENT})
