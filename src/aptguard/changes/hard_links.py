# SPDX-License-Identifier: GPL-3.0-or-later
"""The other names of a file that changed; standard library only.

On the machine a change of content or metadata shows under every name of the inode; in an overlay only
under the one that was used. The other names are looked for where they cost nothing (what the walk met),
then beside the changed name, in the directories the run touched, and outwards from the changed name until
a bound of directory entries is used up: never on the whole disk.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from aptguard.changes.entry import Entry, inodes_in, join
from aptguard.changes.layer import OpenLayer
from aptguard.changes.model import Change
from aptguard.shown import shown

SEARCH_BOUND = 20_000  # directory entries, some tens of milliseconds once they are cached

Inode = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Wanted:
    change: int  # its place in the list of changes
    layer: OpenLayer
    directory: bytes
    inode: Inode
    links: int
    in_place: bool


class HardLinks:
    """Gathers what the walk sees of hard links, then names them in the changes."""

    def __init__(self, bound: int = SEARCH_BOUND) -> None:
        self._bound = bound
        self._names: dict[Inode, set[bytes]] = {}
        self._links: dict[Inode, int] = {}
        self._wanted: list[_Wanted] = []
        self._touched: list[tuple[OpenLayer, bytes]] = []
        self._scanned: dict[tuple[int, bytes], list[bytes]] = {}

    def seen(self, path: bytes, seen: os.stat_result) -> None:
        """Note a lower entry that the walk met at the absolute ``path``."""
        if seen.st_nlink > 1 and not stat.S_ISDIR(seen.st_mode):
            inode = (seen.st_dev, seen.st_ino)
            self._names.setdefault(inode, set()).add(path)
            self._links[inode] = seen.st_nlink

    def touched(self, layer: OpenLayer, directory: bytes) -> None:
        """Note a directory in which the run changed something."""
        self._touched.append((layer, directory))

    def wanted(
        self, change: int, layer: OpenLayer, directory: bytes, lower: os.stat_result, *, in_place: bool
    ) -> None:
        """Ask for the other names of the inode behind a change; ``in_place``: they changed with it."""
        inode = (lower.st_dev, lower.st_ino)
        self._wanted.append(_Wanted(change, layer, directory, inode, lower.st_nlink, in_place))

    @staticmethod
    def is_name_of(layer: OpenLayer, relative: bytes, inode: Inode) -> bool:
        """Whether this lower path is a name of the inode; raises OSError when it cannot be read."""
        directory, _, name = relative.rpartition(b"/")
        descriptor = layer.open_lower(directory)
        try:
            return Entry(descriptor, name).inode == inode
        finally:
            os.close(descriptor)

    def names(self, inode: Inode) -> tuple[bytes, ...]:
        """Return the absolute paths known so far for a lower inode."""
        return tuple(sorted(self._names.get(inode, ())))

    def all_names(self, layer: OpenLayer, directory: bytes, inode: Inode) -> tuple[bytes, ...]:
        """Return the absolute paths of a lower inode, after looking for them from ``directory`` outwards."""
        wanted = _Wanted(-1, layer, directory, inode, self._links.get(inode, 2), in_place=True)
        self._scanned.clear()  # they were looked through for other inodes
        self._wanted.append(wanted)
        self._search()
        self._wanted.remove(wanted)
        return self.names(inode)

    @property
    def changed_in_place(self) -> frozenset[Inode]:
        """The inodes that the walk found changed."""
        return frozenset(wanted.inode for wanted in self._wanted if wanted.in_place)

    def complete(self, changes: list[Change], problem: Callable[[str], None]) -> None:
        """Put the names into ``changes``; a sentence to ``problem`` when names of a changed inode lack."""
        self._search()
        for wanted in self._wanted:
            change = changes[wanted.change]
            names = self._names.get(wanted.inode, set())
            changes[wanted.change] = replace(change, other_names=tuple(sorted(names - {change.path})))
            if wanted.in_place and len(names) < wanted.links:
                problem(
                    f"{shown(change.path)} would change under all of its {wanted.links} names (hard links), "
                    f"of which only {len(names)} were found."
                )

    def _search(self) -> None:
        steps: tuple[Callable[[], Iterator[tuple[OpenLayer, bytes]]], ...] = (
            lambda: ((wanted.layer, wanted.directory) for wanted in self._lacking()),
            lambda: iter(self._touched),
        )
        for step in steps:
            if not self._lacking():
                return
            for layer, directory in step():
                self._scan(layer, directory)
        for wanted in self._lacking():
            if wanted.in_place:
                self._search_outwards(wanted)

    def _lacking(self) -> list[_Wanted]:
        return [wanted for wanted in self._wanted if self._lacks(wanted)]

    def _lacks(self, wanted: _Wanted) -> bool:
        return len(self._names.get(wanted.inode, ())) < wanted.links

    def _search_outwards(self, wanted: _Wanted) -> None:
        ancestor: bytes | None = wanted.directory
        while ancestor is not None:
            waiting = deque([ancestor])
            while waiting and self._bound > 0 and self._lacks(wanted):
                directory = waiting.popleft()
                waiting.extend(join(directory, name) for name in self._scan(wanted.layer, directory))
            ancestor = ancestor.rpartition(b"/")[0] if ancestor else None

    def _scan(self, layer: OpenLayer, directory: bytes) -> list[bytes]:
        """Look at the inode numbers in a directory once; return the names of its directories."""
        place = (id(layer), directory)
        if place in self._scanned:
            return self._scanned[place]
        below: list[bytes] = []
        self._scanned[place] = below
        if self._bound <= 0:
            return below
        numbers = {wanted.inode[1] for wanted in self._wanted}
        try:
            descriptor = layer.open_lower(directory)
        except OSError:
            return below  # names that stay unfound are told in the end
        try:
            for name, number, is_directory in inodes_in(descriptor):
                self._bound -= 1
                if is_directory:
                    below.append(name)
                elif number in numbers:
                    entry = layer.lower_entry(descriptor, name)
                    if entry is not None:
                        self.seen(layer.full_path(join(directory, name)), entry.stat)
        except OSError:
            return below
        finally:
            os.close(descriptor)
        return below
