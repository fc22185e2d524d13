# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a pattern matches anything on this machine, found by reading a bounded number of entries."""

from __future__ import annotations

import os

from aptguard.policy.pattern import Pattern
from aptguard.policy.pattern_syntax import components, literal


class _BudgetError(Exception):
    """More entries than allowed would have to be read."""


class _Search:
    def __init__(self, entries: int) -> None:
        self._left = entries

    def below(self, directory: bytes, rest: tuple[str, ...]) -> bool:
        """Whether ``rest`` matches something below the existing ``directory``."""
        if not rest:
            return True
        first, others = rest[0], rest[1:]
        if first == "**":
            return self.below(directory, others) or any(
                self.below(os.path.join(directory, name), rest)
                for name in self._names(directory, folders=True)
            )
        if literal(first):
            path = os.path.join(directory, first.encode("utf-8", "surrogateescape"))
            return os.path.lexists(path) and self.below(path, others)
        pattern = Pattern("/" + first.replace("{package}", "?*"))
        return any(
            pattern.matches(b"/" + name) and self.below(os.path.join(directory, name), others)
            for name in self._names(directory, folders=False)
        )

    def _names(self, directory: bytes, *, folders: bool) -> list[bytes]:
        names = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    self._left -= 1
                    if self._left < 0:
                        raise _BudgetError
                    if not folders or entry.is_dir(follow_symlinks=False):
                        names.append(entry.name)
        except OSError:
            return []  # not a directory, or not readable: nothing is seen there
        return names


def matches_something(text: str, entries: int = 20_000) -> bool | None:
    """Return whether the pattern ``text`` matches a path of this machine; any name does for ``{package}``.

    None when that is not known after ``entries`` directory entries have been read.
    """
    try:
        return _Search(entries).below(b"/", tuple(components(text)))
    except _BudgetError:
        return None
