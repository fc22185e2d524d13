# SPDX-License-Identifier: GPL-3.0-or-later
"""Many paths against many patterns; standard library only.

The cost of one path depends on the patterns that share its leading directories, not on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from aptguard.policy.pattern import Matcher, Pattern, matcher, subject
from aptguard.policy.pattern_syntax import components, literal_prefix

T = TypeVar("T")

_MOST_DIRECTORIES_REMEMBERED = 65_536


class PatternSet(Generic[T]):
    """Patterns in order of precedence, each with what it stands for.

    Never changes after it is made; safe to keep for as long as the policy holds.
    """

    def __init__(self, entries: Iterable[tuple[Pattern, T]]) -> None:
        self._exact: dict[str, list[tuple[int, T]]] = {}
        self._below: dict[str, list[tuple[int, str, T]]] = {}
        self._near: dict[str, tuple[tuple[int, Matcher, T], ...]] = {}
        for order, (pattern, value) in enumerate(entries):
            prefix = literal_prefix(pattern.text)
            directory = "".join(f"/{component}" for component in prefix)
            if len(prefix) == len(components(pattern.text)):
                self._exact.setdefault(directory, []).append((order, value))
            else:
                self._below.setdefault(directory, []).append((order, pattern.text, value))

    def first_match(self, path: bytes, packages: Iterable[str] = ()) -> T | None:
        """Return what the first pattern that matches ``path`` stands for, None where none does."""
        return next(self.matches(path, packages), None)

    def all_matches(self, path: bytes, packages: Iterable[str] = ()) -> tuple[T, ...]:
        """Return what the patterns that match ``path`` stand for, in order, with repetitions."""
        return tuple(self.matches(path, packages))

    def matches(self, path: bytes, packages: Iterable[str] = ()) -> Iterator[T]:
        """Yield what all_matches() returns, one by one, without looking further than asked."""
        text = subject(path)
        exact = iter(self._exact.get(text, ()))
        waiting = next(exact, None)
        for order, compiled, value in self._candidates(text):
            while waiting is not None and waiting[0] < order:
                yield waiting[1]
                waiting = next(exact, None)
            if compiled.matches(text, packages):
                yield value
        while waiting is not None:
            yield waiting[1]
            waiting = next(exact, None)

    def _candidates(self, text: str) -> tuple[tuple[int, Matcher, T], ...]:
        """Return the patterns with wildcards that can match ``text``, by its directory, in order."""
        own = self._compiled(text)  # /srv itself matches /srv/**
        directory = text.rpartition("/")[0]
        near = self._near.get(directory)
        if near is None:
            near = self._remember(directory)
        if not own or text == directory:
            return near
        return tuple(sorted((*near, *own), key=_order))

    def _remember(self, directory: str) -> tuple[tuple[int, Matcher, T], ...]:
        found = self._compiled("")
        end = 0
        while directory and end != -1:
            end = directory.find("/", end + 1)
            found += self._compiled(directory if end == -1 else directory[:end])
        if len(self._near) >= _MOST_DIRECTORIES_REMEMBERED:
            self._near.clear()
        result = tuple(sorted(found, key=_order))
        self._near[directory] = result
        return result

    def _compiled(self, directory: str) -> list[tuple[int, Matcher, T]]:
        """Return the patterns that begin at ``directory``; none compiles before its place is asked about."""
        return [(order, matcher(text), value) for order, text, value in self._below.get(directory, ())]


def _order(entry: tuple[int, Matcher, T]) -> int:
    return entry[0]
