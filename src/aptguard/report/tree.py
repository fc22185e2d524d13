# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed paths as a tree of directories with counts and sizes, folded for a terminal. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aptguard.report.model import ChangedPath
from aptguard.report.quantity import number, plural, size
from aptguard.shown import shown

_SEPARATOR_FIRST = bytes.maketrans(b"/\0", b"\0/")
_DIRECTORY = "directory"


@dataclass(slots=True)
class Branch:
    """A directory or file: ``change`` is its own, the figures count it and all below it.

    ``size`` is bytes of files, ``newest_ns`` the newest modification time in nanoseconds since the epoch.
    ``path`` may be several names below its parent.
    """

    path: bytes
    change: ChangedPath | None = None
    deleted: int = 0
    changed: int = 0
    created: int = 0
    size: int = 0
    newest_ns: int = 0
    children: list[Branch] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many paths changed here and below."""
        return self.deleted + self.changed + self.created

    @property
    def gone(self) -> bool:
        """Whether this is a directory that would be gone with everything in it."""
        return self.change is not None and "deleted" in self.change.kinds and bool(self.children)

    def count(self, change: ChangedPath) -> None:
        """Add one change to the figures."""
        match verb_of(change):
            case "deleted":
                self.deleted += 1
            case "created":
                self.created += 1
            case _:
                self.changed += 1
        self.size += change.size if change.type == "file" else 0
        self.newest_ns = max(self.newest_ns, change.mtime_ns)

    def add(self, other: Branch) -> None:
        """Add the figures of another branch."""
        self.deleted += other.deleted
        self.changed += other.changed
        self.created += other.created
        self.size += other.size
        self.newest_ns = max(self.newest_ns, other.newest_ns)

    def amount(self) -> str:
        """Return the figures in words (``1 204 deleted, 2 changed, 9.0 MiB``)."""
        words = [
            f"{number(count)} {verb}"
            for count, verb in (
                (self.deleted, "deleted"),
                (self.changed, "changed"),
                (self.created, "created"),
            )
            if count
        ]
        return ", ".join([*words, size(self.size)] if self.size else words)


def verb_of(change: ChangedPath) -> str:
    """Return what happens to a path, in one of three words."""
    if "deleted" in change.kinds:
        return "deleted"
    return "created" if "created" in change.kinds else "changed"


def build_tree(changes: Iterable[ChangedPath]) -> Branch:
    """Return the root of the tree; directories that did not change and have one entry are joined with it."""
    root = Branch(b"/")
    above = [root]
    for change in sorted(changes, key=lambda change: change.path.translate(_SEPARATOR_FIRST)):
        if change.path == b"/":
            root.change = change
            continue
        while not _is_below(change.path, above[-1].path):
            above.pop()
        _descend(above, change)
    _sum_up(root)
    return root


def tree_lines(root: Branch, *, lines: int = 30, siblings: int = 8) -> Iterator[str]:
    """Yield the tree as indented lines, at most about ``lines``; where most happens is opened first."""
    opened = _opened(root, lines, siblings)
    yield from _lines(root, b"", 0, opened, siblings)


def script_lines(changes: Iterable[ChangedPath]) -> Iterator[str]:
    """Yield one line for each script (and dpkg itself) that changed something, most changes first."""
    by: dict[tuple[str | None, str | None], Branch] = {}
    for change in changes:
        branch = by.setdefault((change.package, change.script), Branch(b""))
        branch.count(change)
    for (package, script), branch in sorted(by.items(), key=lambda pair: -pair[1].total):
        yield f"{actor(package, script)}: {branch.amount()}"


def actor(package: str | None, script: str | None) -> str:
    """Return who did something: ``postrm purge of foo``, ``dpkg, for foo``, ``not known``."""
    if script is not None:
        return f"{shown(script)} of {shown(package)}" if package else shown(script)
    return f"dpkg, for {shown(package)}" if package else "dpkg or not known"


def name_below(path: bytes, parent: bytes) -> bytes:
    """Return ``path`` as it is called below ``parent``, a directory above it; all of it for an empty one."""
    return path[_start_below(parent) :] if parent else path


def _start_below(directory: bytes) -> int:
    return 1 if directory == b"/" else len(directory) + 1


def _is_below(path: bytes, directory: bytes) -> bool:
    return directory == b"/" or path.startswith(directory + b"/")


def _descend(above: list[Branch], change: ChangedPath) -> None:
    """Add ``change`` below the last of ``above``, with a branch for each directory on the way."""
    while True:
        start = _start_below(above[-1].path)
        end = change.path.find(b"/", start)
        if end == start:  # an empty name, which no path of a file system has
            end = -1
        path = change.path if end < 0 else change.path[:end]
        branch = Branch(path)
        above[-1].children.append(branch)
        above.append(branch)
        if end < 0:
            branch.change = change
            return


def _sum_up(root: Branch) -> None:
    # Without recursion: a path has up to 2048 names, and a tree of them is as deep.
    order, stack = [], [root]
    while stack:
        branch = stack.pop()
        order.append(branch)
        stack += branch.children
    for branch in reversed(order):
        if branch.change is not None:
            branch.count(branch.change)
        branch.children = [
            child.children[0] if child.change is None and len(child.children) == 1 else child
            for child in branch.children
        ]
        for child in branch.children:
            branch.add(child)


def _opened(root: Branch, lines: int, siblings: int) -> set[int]:
    opened: set[int] = set()
    heap = [(-root.total, 0, root)]
    number = used = 0
    while heap:
        _, _, branch = heapq.heappop(heap)
        cost = min(len(branch.children), siblings + 1)
        if used and used + cost > lines:
            continue
        used += cost
        opened.add(id(branch))
        for child in _ranked(branch)[:siblings]:
            if child.children and not child.gone:  # what goes as a whole says it all in one line
                number += 1
                heapq.heappush(heap, (-child.total, number, child))
    return opened


def _ranked(branch: Branch) -> list[Branch]:
    return sorted(branch.children, key=lambda child: (-child.deleted, -child.total, child.path))


def _lines(branch: Branch, parent: bytes, depth: int, opened: set[int], siblings: int) -> Iterator[str]:
    if branch.path != b"/" or branch.change is not None:
        name = shown(name_below(branch.path, parent))
        slash = "/" if branch.children or (branch.change and branch.change.type == _DIRECTORY) else ""
        yield f"{'  ' * depth}{name.rstrip('/')}{slash}  {branch.amount()}"
        depth += 1
        parent = branch.path
    if id(branch) not in opened:
        return
    ranked = _ranked(branch)
    kept = ranked if len(ranked) <= siblings + 1 else ranked[:siblings]
    for child in sorted(kept, key=lambda child: child.path):
        yield from _lines(child, parent, depth, opened, siblings)
    if len(kept) < len(ranked):
        left = ranked[len(kept) :]
        rest = Branch(b"")
        for child in left:
            rest.add(child)
        yield f"{'  ' * depth}and {plural(len(left), 'more entry', 'more entries')}: {rest.amount()}"
