# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that every table of a policy file is read from: names, words, sentences, lists and patterns."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from aptguard.policy.finding import Severity
from aptguard.policy.lines import Location
from aptguard.policy.pattern import Pattern
from aptguard.policy.pattern_syntax import PatternError, checked
from aptguard.policy.policy_file import PolicyFile
from aptguard.policy.problem import PolicyProblem, one_of, quoted

E = TypeVar("E", bound=Enum)

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # Debian policy 5.6.1
_PACKAGES = re.compile(r"(?:[a-z0-9+.*?-]|\[!?[0-9a-z-]+\])+")  # fnmatch(3)
_LONGEST_NAME = 64
_LONGEST_SENTENCE = 400


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a later file changes of what it does not write anew; None leaves what was.

    ``switch`` is the one key of a role or trigger table that is true or false.
    """

    name: str
    origin: str
    location: Location
    severity: Severity | None = None
    changes: frozenset[str] | None = None
    explanation: str | None = None
    switch: bool | None = None


def dotted(location: Location) -> str:
    """Return ``location`` as it is shown: ``rule.databases.paths[2]``, counted from 1 for the reader."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step + 1}]"
        else:
            plain = re.fullmatch(r"[A-Za-z0-9_-]+", step)
            text += ("." if text else "") + (step if plain else quoted(step))
    return text


class Reader:
    """Reads values out of one file and keeps what is wrong with them."""

    def __init__(self, file: PolicyFile) -> None:
        self.file = file
        self.problems: list[PolicyProblem] = []

    # What is wrong goes to ``problems``; each method returns what can be used all the same.

    def wrong(self, location: Location, wrong: str, right: str) -> None:
        """Keep that ``wrong`` is so at the key ``location``, and ``right`` would be."""
        self.problems.append(
            PolicyProblem(self.file.path, wrong, right, self.file.line(location), dotted(location))
        )

    def origin(self, location: Location) -> str:
        """Return ``FILE:LINE`` of the key ``location``."""
        return f"{self.file.path}:{self.file.line(location)}"

    def word(self, words: type[E], location: Location, given: str | None) -> E | None:
        """Return the member of ``words`` that is given, None for none or a wrong one."""
        if given is None:
            return None
        try:
            return words(given)
        except ValueError:
            self.wrong(
                location, f"{quoted(given)} is not known", one_of(given, (str(w.value) for w in words))
            )
            return None

    def require_name(self, location: Location, name: str) -> None:
        """Complain about what cannot be the name of a table."""
        if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            self.wrong(
                location,
                f"{quoted(name)} cannot be a name",
                f"use up to {_LONGEST_NAME} small letters and digits, with single hyphens between words",
            )

    def sentence(self, location: Location, given: str | None) -> str | None:
        """Return one sentence for a reader."""
        if given is None:
            return None
        if not given.strip():
            self.wrong(location, "it is empty", "write one sentence")
        elif not given.isprintable():
            self.wrong(location, "it has a line break or a control character in it", "write one line of text")
        elif len(given) > _LONGEST_SENTENCE:
            self.wrong(location, f"it has {len(given)} characters", f"write at most {_LONGEST_SENTENCE}")
        return given

    def packages(self, location: Location, names: Iterable[str], *, wildcards: bool) -> tuple[str, ...]:
        """Return the names of packages, with ``*`` and ``?`` where ``wildcards`` are allowed."""
        expression = _PACKAGES if wildcards else _PACKAGE
        for index, name in enumerate(names):
            if not expression.fullmatch(name):
                self.wrong(
                    (*location, index),
                    f"{quoted(name)} is no name of a package",
                    'write it as dpkg does, without architecture or version, such as "postgresql-15"',
                )
        return tuple(names)

    def patterns(self, location: Location, texts: Iterable[str], *, must: bool) -> tuple[Pattern, ...]:
        """Return the valid ones among ``texts``; with ``must`` there must be one."""
        patterns = []
        for index, text in enumerate(texts):
            try:
                patterns.append(Pattern(checked(text)))
            except PatternError as error:
                self.wrong((*location, index), error.wrong, error.right)
        if must and not texts:
            self.wrong(
                location,
                "the list is empty",
                'name a path, or write severity = "ignore" to switch the rule off',
            )
        return tuple(patterns)


def kind_of(value: Any) -> str:
    """Return the words for ``value`` in a message."""
    match value:
        case bool():
            return f"the value {str(value).lower()}"
        case int() | float():
            return f"the number {quoted(value)}"
        case str():
            return f"the text {quoted(value)}"
        case list():
            return "a list"
        case Mapping():
            return "a table"
        case datetime.datetime() | datetime.time():
            return f"the time {quoted(value)}"
        case datetime.date():
            return f"the date {value}"
        case _:
            return f"a {type(value).__name__}"
