# SPDX-License-Identifier: GPL-3.0-or-later
"""When a rehearsal may end before its time: a deletion that decides, and a grace after it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

_MAX_KEPT = 4096


class EarlyStop:
    """Counts deletions below ``prefixes`` (raw bytes; a prefix covers itself and what lies below it).

    The deletion of a directory above a prefix counts too. After the first, the run goes on for
    ``grace_seconds`` or ``grace_paths`` further changes, whichever ends first, to show more of the damage.
    Empty directories are nothing lost, and many a purge tidies them up: whoever calls leaves them out.
    A path that is made anew within the grace no longer counts, so that delete-and-rewrite stops nothing.
    """

    def __init__(
        self,
        prefixes: Sequence[bytes],
        *,
        grace_seconds: float = 0.5,
        grace_paths: int = 1000,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._exact = frozenset(prefix.rstrip(b"/") or b"/" for prefix in prefixes)
        self._below = tuple(prefix.rstrip(b"/") + b"/" for prefix in prefixes)
        self._grace_seconds = grace_seconds
        self._grace_paths = grace_paths
        self._clock = clock
        self._gone: set[bytes] = set()
        self._since = 0.0
        self._paths = 0

    def concerns(self, path: bytes) -> bool:
        """Whether a deletion of ``path`` would count."""
        return bool(self._below) and (
            path in self._exact or path.startswith(self._below) or self._above(path)
        )

    def deleted(self, path: bytes) -> None:
        """Note that ``path``, which held something, was deleted or moved away by a maintainer script."""
        if self._gone:
            self._paths += 1
            if len(self._gone) >= _MAX_KEPT:
                return
        if self.concerns(path):
            if not self._gone:
                self._since = self._clock()
                self._paths = 0
            self._gone.add(path)

    def _above(self, path: bytes) -> bool:
        start = path.rstrip(b"/") + b"/"
        return any(prefix.startswith(start) for prefix in self._below)

    def entered(self, path: bytes) -> None:
        """Note that something stands at ``path`` (again)."""
        if self._gone:
            self._paths += 1
            self._gone.discard(path)

    @property
    def first(self) -> bytes | None:
        """Return one of the deleted paths that count, None as long as there is none."""
        return min(self._gone, default=None)

    def remaining(self, waiting: int = 0) -> float | None:
        """Return the seconds until the run should end (0: now), None as long as nothing asks for it.

        ``waiting`` changes have been made and not been told here yet: a runaway deletion is faster than who
        watches it, and each path more has to be read and judged before there is a verdict.
        """
        if not self._gone:
            return None
        if self._paths + waiting >= self._grace_paths:
            return 0.0
        return max(0.0, self._since + self._grace_seconds - self._clock())
