# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changed each path, in order, and what each did to it. Pure, no system calls.

Almost every path is changed by one: it costs one small integer. Where others come, those before are kept,
up to a bound.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from aptguard.changes.model import Kind
from aptguard.rehearsal.maintainer_script import Origin

# What a record says besides its place in the order.
GONE: Final = 1  # nothing stands at the path after it
TOOK: Final = 2  # it deleted what stood there, or moved it away
PLACED: Final = 4  # it put something there
WROTE: Final = 8
ATTRIBUTES: Final = 16
_SHIFT: Final = 5
_DEEDS: Final = TOOK | PLACED | WROTE | ATTRIBUTES
_METADATA: Final = frozenset(
    {Kind.MODE, Kind.SETUID, Kind.OWNER, Kind.GROUP, Kind.ACL, Kind.CAPABILITY, Kind.XATTRS, Kind.FLAGS}
)
_MOST_EARLIER: Final = 64  # of one path
_MOST_CONTESTED: Final = 100_000  # paths


def _deeds_behind(kinds: frozenset[Kind]) -> int:
    """Return the deeds of which one at least is behind a path that differs in these ways."""
    if Kind.DELETED in kinds:
        return TOOK
    wanted = 0
    if kinds - _METADATA:
        wanted |= PLACED | WROTE
    if kinds & _METADATA:
        wanted |= PLACED | ATTRIBUTES
    return wanted if Kind.CREATED in kinds else wanted | TOOK


@dataclass(slots=True)
class PathRecords:
    """The records of all paths; ``limit`` bounds how many, ``truncated`` says that it was reached."""

    limit: int
    truncated: bool = False
    count: int = 0
    # Consecutive changes of one origin form a run, so that a record is its place in the order and its
    # deeds: _run_starts and _run_origins are searched by place.
    _run_starts: list[int] = field(default_factory=list)
    _run_origins: list[Origin] = field(default_factory=list)
    _last: dict[bytes, int] = field(default_factory=dict)
    _earlier: dict[bytes, list[int]] = field(default_factory=dict)
    _crowded: set[bytes] = field(default_factory=set)
    _subtrees: dict[bytes, int] = field(default_factory=dict)
    _weak: dict[bytes, int] = field(default_factory=dict)
    _place: int = 0

    def next_record(self, deeds: int) -> int:
        """Return a record that comes after all before."""
        self._place += 1
        return self._place << _SHIFT | deeds

    @property
    def latest_origin(self) -> Origin | None:
        """Return who made the changes that come now."""
        return self._run_origins[-1] if self._run_origins else None

    def begin_run(self, origin: Origin) -> None:
        """Say who makes the changes from the record that was given out last."""
        self._run_starts.append(self._place)
        self._run_origins.append(origin)

    def put(self, path: bytes, record: int) -> None:
        """Note a change of ``path``."""
        before = self._last.get(path)
        if before is None:
            if self.count >= self.limit:
                self.truncated = True
                return
            self.count += 1
        elif before >> _SHIFT >= self._run_starts[-1] or self.origin(before).is_same(self.origin(record)):
            record |= before & _DEEDS
        elif before & _DEEDS and not (self.origin(before).keeps_records(path)):
            self._keep(path, before)
        self._last[path] = record

    def put_if_newer(self, path: bytes, record: int) -> None:
        """Note a change that may have been made before others which are known already."""
        if self._last.get(path, -1) < record:
            self.put(path, record)

    def put_weak(self, path: bytes, record: int) -> None:
        """Note what counts only as long as nothing else is known of ``path``."""
        self._weak.setdefault(path, record)

    def put_subtree(self, path: bytes, record: int) -> None:
        """Note a change of ``path`` and of all below it."""
        self._subtrees[path] = record

    def _keep(self, path: bytes, record: int) -> None:
        kept = self._earlier.get(path)
        if kept is None:
            if len(self._earlier) >= _MOST_CONTESTED:
                self.truncated = True
                return
            kept = self._earlier[path] = []
        origin = self.origin(record)
        for place, one in enumerate(kept):
            if self.origin(one).is_same(origin):
                kept[place] |= record & _DEEDS
                return
        if len(kept) < _MOST_EARLIER:
            kept.append(record)
        else:
            self._crowded.add(path)

    def origin(self, record: int) -> Origin:
        """Return who made the change that ``record`` stands for."""
        return self._run_origins[bisect_right(self._run_starts, record >> _SHIFT) - 1]

    def origins(self, path: bytes, kinds: frozenset[Kind] = frozenset()) -> tuple[list[Origin], bool]:
        """Return who may have made ``path`` differ in ``kinds``, the last one first; whether that is all.

        Without ``kinds`` only the last one. A directory that was renamed or removed later than a path below
        it was changed speaks for that path, unless the path was gone before. Nobody, where nothing was seen.
        """
        last = self._last.get(path, self._weak.get(path))
        found = [] if last is None else [last, *self._earlier.get(path, ())]
        for record in self._above(path):
            if last is None or (not last & GONE and record > last):
                last = record
                found.append(record)
            elif record & TOOK and record < last:
                found.append(record)
        if last is None:
            return [], True
        if not kinds:
            return [self.origin(last)], True
        wanted = _deeds_behind(kinds)
        behind = [record for record in found if record & wanted] or found
        return [self.origin(record) for record in sorted(behind, reverse=True)], path not in self._crowded

    def _above(self, path: bytes) -> Iterator[int]:
        parent = path
        while parent not in {b"/", b""}:
            parent = parent.rpartition(b"/")[0] or b"/"
            record = self._subtrees.get(parent)
            if record is not None:
                yield record
