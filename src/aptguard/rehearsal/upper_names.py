# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of directories in the upper layers, followed event by event; pure but for the look-up it is given."""

from __future__ import annotations

from collections.abc import Callable

Lookup = Callable[[bytes], bytes | None]


class UpperNames:
    """From the handle of a directory in an upper layer to its path in the merged tree.

    The place of a directory at the time of the event is wanted, not at the time of reading: a directory that
    was renamed or removed since no longer answers. So places are learnt from the events themselves (parent,
    name, own handle), and ``lookup`` is asked only about a handle that no event has introduced; it returns
    the merged path, or None for a directory outside the upper layers (such as overlayfs' work directory).
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._roots: dict[bytes, bytes] = {}
        self._places: dict[bytes, tuple[bytes, bytes]] = {}
        self._paths: dict[bytes, bytes | None] = {}

    def add_root(self, handle: bytes, mount_point: bytes) -> None:
        """State that the directory with ``handle`` is the upper layer of ``mount_point``."""
        self._roots[handle] = mount_point

    def knows(self, target: bytes) -> bool:
        """Whether an event has told the place of directory ``target``, and it is in an upper layer."""
        return target in self._places and self.path(target) is not None

    def moved(self, target: bytes, parent: bytes, name: bytes) -> None:
        """State that directory ``target`` now stands as ``name`` in ``parent``."""
        known = target in self._places or target in self._paths
        self._places[target] = (parent, name)
        if known:
            self._forget_paths()
        else:
            self._paths.pop(target, None)

    def lost(self, target: bytes) -> None:
        """State that ``target`` has left its place for one that is not known."""
        self._places.pop(target, None)
        self._forget_paths()

    def _forget_paths(self) -> None:
        # Paths of everything below the directory are stale too; all are cheap to find again.
        self._paths.clear()

    def path(self, handle: bytes) -> bytes | None:
        """Return the merged path of the directory, or None when it lies outside the upper layers."""
        chain: list[tuple[bytes, bytes]] = []
        at = handle
        seen: set[bytes] = set()
        while True:
            if at in self._roots:
                found: bytes | None = self._roots[at]
                break
            if at in self._paths:
                found = self._paths[at]
                break
            place = self._places.get(at)
            if place is None or at in seen:  # a loop would mean that events were merged out of order
                found = self._lookup(at)
                self._paths[at] = found
                break
            seen.add(at)
            chain.append((at, place[1]))
            at = place[0]
        for directory, name in reversed(chain):
            found = None if found is None else join(found, name)
            self._paths[directory] = found
        return found


def join(directory: bytes, name: bytes) -> bytes:
    """Return the path of ``name`` in the absolute ``directory``; of the directory itself for ``.``."""
    if name == b"." or not name:
        return directory
    return directory + name if directory.endswith(b"/") else directory + b"/" + name
