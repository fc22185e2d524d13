# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes grouped into subtrees for display: a deleted directory is one line; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aptguard.changes.model import Change, FileType, Kind

_SEPARATOR_FIRST = bytes.maketrans(b"/\0", b"\0/")
_EXAMPLES = 5
_SIBLINGS = 8


@dataclass(frozen=True, slots=True)
class Subtree:
    """Changes of one sort at and below a path.

    ``whole`` tells that ``path`` itself is one of them, with all that counts below; else ``path`` is the
    directory that holds them. ``count`` is the number of changed paths, ``size`` the bytes of the regular
    files among them (of what was there before, for a created path of what came), ``newest_mtime_ns`` the
    newest modification time, and ``examples`` some of the paths, newest first: regular files where there
    are any.
    """

    path: bytes
    count: int
    size: int
    newest_mtime_ns: int
    kinds: frozenset[Kind]
    examples: tuple[bytes, ...]
    whole: bool = True


def tree_order(change: Change) -> bytes:
    """Return a sort key that puts a directory before what lies below it, and that before its neighbours."""
    return change.path.translate(_SEPARATOR_FIRST)


def summarize(
    changes: Iterable[Change], *, examples: int = _EXAMPLES, siblings: int = _SIBLINGS
) -> list[Subtree]:
    """Return the changes as subtrees, in the order of a directory listing; each change counts in one.

    A path joins the outermost directory above it that changed in the same ways, as with ``rm -r`` or
    ``chown -R``. More than ``siblings`` paths left over in one directory, of the same kinds, become one.
    """
    groups: dict[tuple[bytes, frozenset[Kind]], list[Change]] = {}
    above: list[Change] = []  # changed directories on the way to the current path
    for change in sorted(changes, key=tree_order):
        while above and not _is_below(change.path, above[-1].path):
            above.pop()
        root = next((directory.path for directory in above if directory.kinds == change.kinds), change.path)
        groups.setdefault((root, change.kinds), []).append(change)
        node = change.before or change.after
        if node is not None and node.type is FileType.DIRECTORY:
            above.append(change)
    subtrees: list[Subtree] = []
    loners: dict[tuple[bytes, frozenset[Kind]], list[Change]] = {}
    for (root, kinds), members in groups.items():
        if len(members) > 1:
            subtrees.append(_subtree(root, kinds, members, examples, whole=True))
        else:
            loners.setdefault((root.rpartition(b"/")[0] or b"/", kinds), []).extend(members)
    for (parent, kinds), members in loners.items():
        if len(members) > siblings:
            subtrees.append(_subtree(parent, kinds, members, examples, whole=False))
        else:
            subtrees += [_subtree(member.path, kinds, [member], examples, whole=True) for member in members]
    return sorted(subtrees, key=lambda subtree: subtree.path.translate(_SEPARATOR_FIRST))


def _is_below(path: bytes, directory: bytes) -> bool:
    return path.startswith(directory.rstrip(b"/") + b"/")


def _subtree(
    path: bytes, kinds: frozenset[Kind], members: list[Change], examples: int, *, whole: bool
) -> Subtree:
    size, newest = 0, 0
    ranked: list[tuple[bool, int, bytes]] = []
    for change in members:
        node = change.before or change.after
        is_file = node is not None and node.type is FileType.REGULAR
        time = 0 if node is None else node.mtime_ns
        size += node.size if node is not None and is_file else 0
        newest = max(newest, time)
        ranked.append((not is_file, -time, change.path))
    shown = tuple(found for _, _, found in sorted(ranked)[:examples])
    return Subtree(path, len(members), size, newest, kinds, shown, whole)
