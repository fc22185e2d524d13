# SPDX-License-Identifier: GPL-3.0-or-later
"""Path patterns of the policy; standard library only.

A pattern is absolute. ``*`` and ``?`` match within one component (a leading dot is nothing special),
``[...]`` a set of characters, ``**`` as a whole component any number of components (also none): ``/srv/**``
stands for /srv and all below it. ``{package}`` stands for the name of a package of the transaction. A
special character stands for itself inside brackets: ``[*]``.

Paths are bytes; they are matched as UTF-8, where a byte that is no UTF-8 counts as one character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from aptguard.policy.pattern_syntax import PACKAGE, AnyOne, Letter, Name, Piece, Star, components, pieces

_ANY_COMPONENTS = "(?:/[^/]+)*"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern as it was written.

    ``text`` must have passed pattern_syntax.checked(). ``written`` is set where ``text`` was derived from
    another pattern by following a symbolic link of this machine: the text in the policy file.
    """

    text: str
    written: str = ""

    def matches(self, path: bytes, packages: Iterable[str] = ()) -> bool:
        """Return whether the absolute ``path`` is meant; ``{package}`` is tried with each of ``packages``.

        ``path`` is canonical: no ``//``, ``.`` or ``..``, no slash at the end (but for ``/`` itself).
        """
        return matcher(self.text).matches(subject(path), packages)

    def package_in(self, path: bytes) -> str | None:
        """Return the name of the package for which ``{package}`` would make the pattern match ``path``.

        None where it matches for no package, has no ``{package}``, or several names would do.
        """
        match = matcher(self.text).expression.fullmatch(subject(path))
        return match["package"] if match is not None and "package" in match.re.groupindex else None

    @property
    def for_packages(self) -> bool:
        """Whether the pattern has a ``{package}`` in it."""
        return matcher(self.text).for_packages


def subject(path: bytes) -> str:
    """Return ``path`` as the expressions of this module take it: text, and nothing at all for ``/``."""
    return "" if path == b"/" else path.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Matcher:
    """A compiled pattern.

    ``expression`` is exact where the pattern has no ``{package}``. Where it has one, ``expression`` takes any
    name for it; ``named`` says that the group ``package`` then holds the only name that can be meant.
    """

    text: str
    expression: re.Pattern[str]
    for_packages: bool
    named: bool

    def matches(self, text: str, packages: Iterable[str] = ()) -> bool:
        """Return whether the path ``text`` (as subject() makes it) is meant."""
        match = self.expression.fullmatch(text)
        if match is None or not self.for_packages:
            return match is not None
        if self.named:
            return match["package"] in frozenset(packages)
        return any(
            _for_name(self.text, name).fullmatch(text) for name in packages if name and "/" not in name
        )


@lru_cache(maxsize=4096)
def matcher(text: str) -> Matcher:
    """Return the compiled form of the pattern ``text``; ValueError when it was never a valid one."""
    for_packages = any(isinstance(piece, Name) for piece in _all_pieces(text))
    named = for_packages and _one_name_at_most(text)
    group = "(?P<package>[^/]+)" if named else "[^/]+"
    return Matcher(text, _expression(text, group), for_packages, named)


@lru_cache(maxsize=4096)
def _for_name(text: str, name: str) -> re.Pattern[str]:
    return _expression(text, re.escape(name))


def _all_pieces(text: str) -> list[Piece]:
    return [piece for component in components(text) for piece in pieces(component)]


def _one_name_at_most(text: str) -> bool:
    """Whether a path can match for one name only: nothing of free length stands beside or before the name."""
    parts = components(text)
    last = max(index for index, part in enumerate(parts) if PACKAGE in part)
    return "**" not in parts[: last + 1] and not any(
        isinstance(piece, Star) for part in parts if PACKAGE in part for piece in pieces(part)
    )


def _expression(text: str, name: str) -> re.Pattern[str]:
    """Compile ``text``.

    What stands between two ``**``, and between two ``*`` of one component, has a fixed length. So the
    leftmost place where it fits is never the wrong one, and an atomic group may hold on to it: the time
    stays in proportion to the path, whatever names a package gives its files.
    """
    runs: list[list[str]] = [[]]
    for component in components(text):
        if component == "**":
            runs.append([])
        else:
            runs[-1].append("/" + _component(pieces(component), name))
    first, *others = ["".join(run) for run in runs]
    if name.startswith("(?P<"):
        first = _repeat_by_reference(first, name)
    expression = first
    for run in filter(None, others[:-1]):
        expression += f"(?>{_ANY_COMPONENTS}?{run}(?=/|\\Z))"
    if others:
        expression += _ANY_COMPONENTS + others[-1] if others[-1] else "(?:/.*)?"
    return re.compile(expression, re.DOTALL)


def _repeat_by_reference(expression: str, group: str) -> str:
    head, _, tail = expression.partition(group)
    return head + group + tail.replace(group, "(?P=package)")


def _component(parts: list[Piece], name: str) -> str:
    runs: list[list[Piece]] = [[]]
    for piece in parts:
        if isinstance(piece, Star):
            runs.append([])
        else:
            runs[-1].append(piece)
    if not any(runs):
        return "[^/]+"
    free = any(isinstance(piece, Name) for piece in parts)
    expression = _fixed(runs[0], name)
    for run in filter(None, runs[1:-1]):
        inner = f"[^/]*?{_fixed(run, name)}"
        expression += inner if free else f"(?>{inner})"
    if len(runs) > 1:
        expression += "[^/]*" + _fixed(runs[-1], name)
    return expression


def _fixed(parts: list[Piece], name: str) -> str:
    expression = ""
    for piece in parts:
        if isinstance(piece, Letter):
            expression += re.escape(piece.character)
        elif isinstance(piece, AnyOne):
            expression += _one_of(piece)
        elif isinstance(piece, Name):
            expression += name
    return expression


def _one_of(piece: AnyOne) -> str:
    ranges = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in piece.ranges)
    return f"[^/{ranges}]" if piece.negated else f"(?!/)[{ranges}]"
