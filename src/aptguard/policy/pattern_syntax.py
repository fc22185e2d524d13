# SPDX-License-Identifier: GPL-3.0-or-later
"""How a path pattern is written, and what is wrong with one that is not; standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

PACKAGE = "{package}"
LONGEST_PATTERN = 4096  # characters; PATH_MAX of Linux in bytes
_MOST_STARS_BESIDE_NAME = 2
_SPECIAL = frozenset("*?[]{}")


class PatternError(ValueError):
    """A pattern that means nothing: ``wrong`` says why, ``right`` what to write instead."""

    def __init__(self, wrong: str, right: str) -> None:
        super().__init__(f"{wrong}; {right}")
        self.wrong = wrong
        self.right = right


@dataclass(frozen=True, slots=True)
class Letter:
    """A character that stands for itself."""

    character: str


@dataclass(frozen=True, slots=True)
class AnyOne:
    """One character out of ``ranges`` (first and last), or any but those; never a slash."""

    ranges: tuple[tuple[str, str], ...] = ()
    negated: bool = True


@dataclass(frozen=True, slots=True)
class Star:
    """Any number of characters of one component."""


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a package of the transaction."""


Piece = Letter | AnyOne | Star | Name


def components(text: str) -> list[str]:
    """Return the components of the absolute pattern ``text``; none for ``/``."""
    return [] if text == "/" else text.split("/")[1:]


def pieces(component: str) -> list[Piece]:
    """Return what ``component`` (no slash in it, not ``**``) is made of.

    Raises PatternError for a bracket that is not closed, is empty or runs backwards, and for braces
    other than ``{package}``.
    """
    result: list[Piece] = []
    position = 0
    while position < len(component):
        character = component[position]
        if character == "[":
            piece, position = _bracket(component, position)
            result.append(piece)
            continue
        if character in "{}":
            if not component.startswith(PACKAGE, position):
                raise PatternError(
                    f"the brace at character {position + 1} of {component!r} means nothing",
                    "write {package} for the name of the package, one pattern for each alternative, "
                    "or [{] for a brace itself",
                )
            result.append(Name())
            position += len(PACKAGE)
            continue
        result.append(Star() if character == "*" else AnyOne() if character == "?" else Letter(character))
        position += 1
    return result


def _bracket(component: str, start: int) -> tuple[AnyOne, int]:
    position = start + 1
    negated = component[position : position + 1] in ("!", "^")
    position += negated
    end = component.find("]", position + 1)
    if end == -1:
        raise PatternError(
            f"the bracket [ in {component!r} is not closed",
            "close it with ] before the next slash, or write [[] for a bracket itself",
        )
    members = component[position:end]
    if members.startswith("[:"):
        raise PatternError(
            f"the class {members}] in {component!r} is not known",
            "write its characters, such as [a-z] or [0-9]",
        )
    return AnyOne(tuple(_ranges(members, component)), negated), end + 1


def _ranges(members: str, component: str) -> list[tuple[str, str]]:
    result = []
    position = 0
    while position < len(members):
        low = high = members[position]
        position += 1
        if members[position : position + 1] == "-" and position + 1 < len(members):
            high = members[position + 1]
            position += 2
        if low > high:
            raise PatternError(
                f"the range {low}-{high} in {component!r} runs backwards", f"write {high}-{low}"
            )
        result.append((low, high))
    return result


def literal(component: str) -> bool:
    """Whether ``component`` stands for one name only, its own."""
    return not _SPECIAL.intersection(component)


@lru_cache(maxsize=4096)
def literal_prefix(text: str) -> tuple[str, ...]:
    """Return the leading components of ``text`` that stand for themselves."""
    prefix = []
    for component in components(text):
        if not literal(component):
            break
        prefix.append(component)
    return tuple(prefix)


def checked(text: str) -> str:
    """Return ``text`` if it is a valid pattern; PatternError says what is wrong and what would be right."""
    if not text:
        raise PatternError("the pattern is empty", "write an absolute path such as /srv/**")
    if len(text) > LONGEST_PATTERN:
        raise PatternError(
            f"the pattern has {len(text)} characters", f"no path is longer than {LONGEST_PATTERN}; shorten it"
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise PatternError("the pattern has a control character in it", "write ? in its place")
    if text.startswith("~"):
        raise PatternError(
            "~ means nothing here", "write the directory itself, or /home/*/** for everybody's"
        )
    if not text.startswith("/"):
        raise PatternError("the pattern is no absolute path", f"begin it with a slash: /{text}")
    if text == "/":
        return text
    for component in components(text):
        _check_component(component, text)
    return text


def _check_component(component: str, text: str) -> None:
    if component == "":
        if text.endswith("/") and "//" not in text:
            raise PatternError(
                "the pattern ends with a slash",
                f"write {text}** for the directory and all below it, {text[:-1]} for the directory alone",
            )
        raise PatternError("an empty component (//) matches nothing", "write a single slash")
    if component in (".", ".."):
        raise PatternError(
            f"the component {component} matches nothing, since paths are compared by their real place",
            "write the path without it",
        )
    if component == "**":
        return
    parts = pieces(component)
    if any(isinstance(left, Star) and isinstance(right, Star) for left, right in pairwise(parts)):
        raise PatternError(
            f"** must be a component of its own, not part of {component!r}",
            "write * for any characters of one name, /**/ for any directories between",
        )
    stars = sum(isinstance(piece, Star) for piece in parts)
    if stars > _MOST_STARS_BESIDE_NAME and any(isinstance(piece, Name) for piece in parts):
        raise PatternError(
            f"{component!r} has {stars} stars beside {PACKAGE}", f"use at most {_MOST_STARS_BESIDE_NAME}"
        )
