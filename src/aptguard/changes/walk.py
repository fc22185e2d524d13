# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk over what changed: three trees at once, one directory at a time; standard library only.

At each path three things can stand: what the upper directory holds, what the lower directory holds at the
same path, and what the lower directory holds at the path that shows here (the *origin*: the same, or
another one where a directory was renamed, or none below an opaque or new one). Where origin and lower are
the same, only the names of the upper need a look, so that the cost grows with the change. Elsewhere every
name of the three is one.

Invariants: no recursion and no descriptor kept for a directory that waits, so that depth costs nothing;
each directory is opened anew from its layer's root, through no symbolic link and no other mount. The
upper directories of all layers come first, then what lies below, level by level: a limit cuts off the
depth of a large deletion, not its neighbours.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from typing import assert_never

from aptguard.changes.classify import CASES, MOVED, Outcome, UpperKind, lower_kind, upper_kind
from aptguard.changes.compare import metadata_kinds, same_content
from aptguard.changes.entry import Entry, join, names_in
from aptguard.changes.hard_links import HardLinks
from aptguard.changes.layer import OpenLayer
from aptguard.changes.marks import handle_of, marks_of
from aptguard.changes.model import Change, Kind
from aptguard.changes.pair import Directory, Pair, redirected
from aptguard.changes.syscalls import file_handle
from aptguard.shown import shown

Ignore = Callable[[bytes, os.stat_result], bool]

_DELETED = frozenset({Kind.DELETED})
_CREATED = frozenset({Kind.CREATED})
_TYPE = frozenset({Kind.TYPE})
_PROBLEMS_SHOWN = 100


class LimitReachedError(Exception):
    """There are more changes than asked for."""


class Walk:
    """Collects ``changes`` and ``problems``; ``links`` gathers what is needed to name hard links."""

    def __init__(self, *, limit: int, links: HardLinks, ignore: Ignore | None) -> None:
        self.changes: list[Change] = []
        self.links = links
        self._limit = limit
        self._ignore = ignore
        self._problems: list[str] = []
        self._more_problems = 0
        self._upper: deque[Directory] = deque()
        self._below: deque[Directory] = deque()

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences on what could not be compared, at most about a hundred of them."""
        if not self._more_problems:
            return tuple(self._problems)
        return (*self._problems, f"{self._more_problems} more paths could not be compared.")

    def problem(self, sentence: str) -> None:
        """Keep a sentence on what could not be compared."""
        if len(self._problems) < _PROBLEMS_SHOWN:
            self._problems.append(sentence)
        else:
            self._more_problems += 1

    def run(self, layers: Iterable[OpenLayer]) -> None:
        """Read all layers; raises LimitReachedError once ``changes`` holds as many as were asked for."""
        for layer in layers:
            if layer.problem is not None:
                self.problem(layer.problem)
                continue
            root = Directory(layer, b"", upper=True, lower=True, origin=b"")
            try:
                self._compare_root(root)
            except OSError as error:
                self._failed(layer, b"", error)
            self._upper.append(root)
        while self._upper or self._below:
            directory = self._upper.popleft() if self._upper else self._below.popleft()
            try:
                self._read(directory)
            except OSError as error:
                self._failed(directory.layer, directory.path, error)

    def read_copies(self, layers: Iterable[OpenLayer]) -> None:
        """Add what changed under names that no upper directory holds: see aptguard.changes.index.

        Such a change was made under another name of the inode, which was deleted or renamed afterwards.
        """
        changed = {change.path for change in self.changes}
        for layer in layers:
            for inode, name in layer.indexed.items():
                if inode in self.links.changed_in_place:
                    continue
                try:
                    self._read_copy(layer, inode, name, changed)
                except OSError as error:
                    self._failed(layer, b"", error)

    def _read_copy(self, layer: OpenLayer, inode: tuple[int, int], copy: bytes, changed: set[bytes]) -> None:
        known = self.links.names(inode)
        if not known or layer.index is None:
            raise OSError(errno.ENOENT, f"no name was found of inode {inode[1]}, of which a copy changed")
        upper = Entry(layer.index, copy)
        if not self._copy_differs(layer, upper, known[0], record=False):
            return
        names = self.links.all_names(layer, layer.relative_path(known[0]).rpartition(b"/")[0], inode)
        for name in names:
            if name not in changed:
                self._copy_differs(layer, upper, name, record=True)
                return

    def _copy_differs(self, layer: OpenLayer, copy: Entry, path: bytes, *, record: bool) -> bool:
        relative = layer.relative_path(path)
        parent, _, name = relative.rpartition(b"/")
        descriptor = layer.open_lower(parent)
        try:
            lower = layer.lower_entry(descriptor, name)
            directory = Directory(layer, parent, upper=True, lower=True, origin=parent)
            pair, kind = self._upper_pair(directory, name, relative, copy, lower, lower)
            outcome = CASES[kind, lower_kind(None if lower is None else lower.stat.st_mode)]
            kinds = self._differences(pair, outcome)
            if kinds and record:
                self._record(pair, kinds, in_place=True)
            return bool(kinds)
        finally:
            os.close(descriptor)

    def _failed(self, layer: OpenLayer, path: bytes, error: OSError) -> None:
        place = shown(layer.full_path(path))
        if error.errno == errno.EXDEV:
            self.problem(f"{place} could not be compared: another mount covers it on the machine.")
        else:
            self.problem(f"{place} could not be compared: {error.strerror}. Did it change meanwhile?")

    def _compare_root(self, root: Directory) -> None:
        upper, lower = Entry(root.layer.upper, b"."), Entry(root.layer.lower, b".")
        xattrs = upper.xattrs()
        marks = marks_of(xattrs)
        self._compare(
            Pair(root, b"", lower, upper, marks, xattrs, origin=b""),
            Outcome.METADATA_TREE,
            UpperKind.MERGED_DIRECTORY,
        )

    def _read(self, directory: Directory) -> None:
        with ExitStack() as stack:

            def opened(open_directory: Callable[[bytes], int], path: bytes) -> int:
                descriptor = open_directory(path)
                stack.callback(os.close, descriptor)
                return descriptor

            layer = directory.layer
            upper = opened(layer.open_upper, directory.path) if directory.upper else None
            lower = opened(layer.open_lower, directory.path) if directory.lower else None
            origin: int | None = None
            if directory.origin is not None:
                same = lower is not None and directory.origin == directory.path
                origin = lower if same else opened(layer.open_lower, directory.origin)
            upper_names = frozenset(names_in(upper)) if upper is not None else frozenset()
            names = set(upper_names)
            if directory.is_merged:
                self.links.touched(layer, directory.path)
            else:
                for other in (lower, origin):
                    names.update(names_in(other) if other is not None else ())
            for name in sorted(names):
                path = join(directory.path, name)
                try:
                    self._visit(directory, name, path, upper if name in upper_names else None, lower, origin)
                except OSError as error:
                    self._failed(layer, path, error)

    def _visit(
        self,
        directory: Directory,
        name: bytes,
        path: bytes,
        upper: int | None,
        lower: int | None,
        origin: int | None,
    ) -> None:
        layer = directory.layer
        above = None if upper is None else Entry(upper, name)
        if above is not None and self._ignore is not None and self._ignore(layer.full_path(path), above.stat):
            if lower is not None:  # what stands there may be one of the names of an inode that changed
                with suppress(FileNotFoundError):
                    self.links.seen(layer.full_path(path), Entry(lower, name).stat)
            return
        before = None if lower is None else layer.lower_entry(lower, name)
        if origin is None or origin == lower:
            source = None if origin is None else before
        else:
            source = layer.lower_entry(origin, name)
        if before is not None:
            self.links.seen(layer.full_path(path), before.stat)
        if above is None and source is not None:
            above = layer.copy_of(source)
        if above is None:
            kind = MOVED[lower_kind(None if source is None else source.stat.st_mode)]
            came_from = None if source is None or directory.origin is None else join(directory.origin, name)
            pair = Pair(directory, path, before, source, None, None, came_from)
        else:
            pair, kind = self._upper_pair(directory, name, path, above, before, source)
        outcome = CASES[kind, lower_kind(None if before is None else before.stat.st_mode)]
        self._settle(pair, outcome, kind)

    def _upper_pair(
        self,
        directory: Directory,
        name: bytes,
        path: bytes,
        upper: Entry,
        lower: Entry | None,
        source: Entry | None,
    ) -> tuple[Pair, UpperKind]:
        seen = upper.stat
        xattrs = {} if stat.S_ISCHR(seen.st_mode) and not seen.st_rdev else upper.xattrs()
        marks = marks_of(xattrs)
        kind = upper_kind(seen.st_mode, seen.st_rdev, seen.st_size, marks)
        came_from: bytes | None = None
        after: Entry | None = upper
        match kind:
            case UpperKind.WHITEOUT | UpperKind.WHITEOUT_FILE:
                after = None
            case UpperKind.MERGED_DIRECTORY:
                if source is not None and source.is_directory and directory.origin is not None:
                    came_from = join(directory.origin, name)
            case UpperKind.REDIRECTED_DIRECTORY | UpperKind.METACOPY:
                came_from = redirected(marks.redirect or name, directory.origin)
                if came_from is None:
                    raise OSError(errno.EINVAL, f"its mark names no lower path: {marks.redirect!r}")
            case _:
                pass
        return Pair(directory, path, lower, after, marks, xattrs, came_from), kind

    def _settle(self, pair: Pair, outcome: Outcome, kind: UpperKind) -> None:
        match outcome:
            case Outcome.NOTHING:
                # Where all names were listed, a whiteout may hide the origin's; else it hid a lower entry.
                if pair.directory.is_merged or pair.marks is None:
                    place = shown(pair.directory.layer.full_path(pair.path))
                    self.problem(f"{place} was removed in the rehearsal, and is gone from the machine since.")
            case Outcome.DELETED | Outcome.DELETED_TREE:
                self._record(pair, _DELETED)
            case Outcome.CREATED | Outcome.CREATED_TREE:
                self._record(pair, _CREATED)
            case Outcome.TYPE | Outcome.TYPE_TREE:
                self._record(pair, _TYPE)
            case (
                Outcome.METADATA
                | Outcome.METADATA_TREE
                | Outcome.CONTENT
                | Outcome.ORIGIN
                | Outcome.TARGET
                | Outcome.DEVICE
            ):
                self._compare(pair, outcome, kind)
            case _:
                assert_never(outcome)
        self._queue_below(pair)

    def _queue_below(self, pair: Pair) -> None:
        after_is_directory = pair.after is not None and pair.after.is_directory
        before_is_directory = pair.lower is not None and pair.lower.is_directory
        if not (after_is_directory or before_is_directory):
            return
        upper = after_is_directory and pair.marks is not None
        origin = pair.origin if after_is_directory else None
        below = Directory(pair.directory.layer, pair.path, upper, before_is_directory, origin)
        if not upper and origin == below.path:
            return  # a lower directory that shows where it always did
        (self._upper if upper else self._below).append(below)

    def _compare(self, pair: Pair, outcome: Outcome, kind: UpperKind) -> None:
        kinds = self._differences(pair, outcome)
        if kinds and pair.lower is not None:
            self._record(pair, kinds, in_place=self._in_place(pair, pair.lower, kind))

    def _differences(self, pair: Pair, outcome: Outcome) -> frozenset[Kind]:
        lower, after = pair.lower, pair.after
        if lower is None or after is None:
            raise ValueError(f"{outcome} compares two entries, but one of {pair.path!r} is missing")
        if pair.marks is None:
            attributes = after.attributes()
        else:
            attributes = after.attributes(pair.xattrs, pair.marks.protected)
        kinds = metadata_kinds(lower.attributes(), attributes, unheld=pair.directory.layer.unheld)
        match outcome:
            case Outcome.CONTENT:
                if after.stat.st_size != lower.stat.st_size or not same_content(after.path, lower.path):
                    kinds.add(Kind.CONTENT)
            case Outcome.ORIGIN:
                if pair.origin != pair.path and not self._same_as_origin(pair, lower):
                    kinds.add(Kind.CONTENT)
            case Outcome.TARGET:
                if after.target() != lower.target():
                    kinds.add(Kind.TARGET)
            case Outcome.DEVICE:
                if after.stat.st_rdev != lower.stat.st_rdev:
                    kinds.add(Kind.DEVICE)
            case _:
                pass
        return frozenset(kinds)

    def _same_as_origin(self, pair: Pair, lower: Entry) -> bool:
        """Whether the lower file that holds the content now is, or equals, the one that stood here."""
        origin = pair.origin or b""
        directory, _, name = origin.rpartition(b"/")
        layer = pair.directory.layer
        descriptor = layer.open_lower(directory)
        try:
            source = Entry(descriptor, name)
            if source.inode == lower.inode:
                return True
            return source.stat.st_size == lower.stat.st_size and same_content(source.path, lower.path)
        finally:
            os.close(descriptor)

    def _in_place(self, pair: Pair, lower: Entry, kind: UpperKind) -> bool:
        """Whether it is the lower inode itself that changed, so that its other names did too.

        Else another file was put in its place. A copy of a hard link bears its origin only with index=on;
        without it the two cannot be told apart, and the change counts for all names.
        """
        if lower.stat.st_nlink < 2 or lower.is_directory or pair.marks is None:
            return False
        if kind is UpperKind.METACOPY:
            if pair.origin == pair.path:
                return True
            return self.links.is_name_of(pair.directory.layer, pair.origin or b"", lower.inode)
        handle = handle_of(pair.marks.origin or b"")
        if handle is None:
            return pair.directory.layer.index is None
        try:
            return handle == file_handle(lower.path)
        except OSError:
            return True

    def _record(self, pair: Pair, kinds: frozenset[Kind], *, in_place: bool = False) -> None:
        if len(self.changes) >= self._limit:
            raise LimitReachedError
        before = None if pair.lower is None else pair.lower.node()
        after = None if pair.after is None else pair.after.node()
        change = Change(
            pair.directory.layer.full_path(pair.path), kinds, before, after, renamed_from=pair.renamed_from
        )
        may_share = pair.lower is not None and pair.lower.stat.st_nlink > 1 and not pair.lower.is_directory
        if pair.lower is not None and may_share and (in_place or kinds == _DELETED):
            self.links.wanted(
                len(self.changes),
                pair.directory.layer,
                pair.directory.path,
                pair.lower.stat,
                in_place=in_place,
            )
        self.changes.append(change)
