# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what vanished from one place turned up at another; standard library only."""

from __future__ import annotations

from collections.abc import Iterable

from aptguard.changes.model import Change, FileType


class MovedFiles:
    """Finds the new place of a deleted file: a renamed directory, or a new file that looks the same.

    ``mv`` keeps name or directory, size and time of modification (rename(2) keeps all of it), so a new
    regular file of the same size, with the same time or the same name, is taken for the old one.
    """

    def __init__(self, changes: Iterable[Change]) -> None:
        self._renamed: set[bytes] = set()
        self._by_time: set[tuple[int, int]] = set()
        self._by_name: set[tuple[int, bytes]] = set()
        self._links: set[bytes | None] = set()
        for change in changes:
            if change.renamed_from is not None:
                self._renamed.add(change.renamed_from)
            node = change.after
            if change.created and node is not None:
                if node.type is FileType.REGULAR and node.size > 0:
                    self._by_time.add((node.size, node.mtime_ns))
                    self._by_name.add((node.size, change.path.rpartition(b"/")[2]))
                elif node.type is FileType.SYMLINK:
                    self._links.add(node.target)

    def kept(self, change: Change) -> bool:
        """Return whether the content of the deleted path is still there under another name."""
        node = change.before
        if node is None:
            return False
        if self._renamed and any(above in self._renamed for above in _self_and_above(change.path)):
            return True
        if node.type is FileType.SYMLINK:
            return node.target in self._links
        return (node.size, node.mtime_ns) in self._by_time or (
            node.size,
            change.path.rpartition(b"/")[2],
        ) in self._by_name


def _self_and_above(path: bytes) -> list[bytes]:
    found = [path]
    while path := path.rpartition(b"/")[0]:
        found.append(path)
    return found
