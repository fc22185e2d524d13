# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a policy file, as a value; standard library only."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from aptguard.shown import shown

_LONGEST_QUOTE = 60
_FEW = 4


class Gravity(Enum):
    """Whether a problem makes its file unusable."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing wrong in one file.

    ``line`` counts from 1, None where the whole file is meant; ``key`` is dotted
    (``rule.databases.paths[2]``), empty where none is meant. ``wrong`` and ``right`` are clauses without a
    full stop.
    """

    file: str
    wrong: str
    right: str
    line: int | None = None
    key: str = ""
    gravity: Gravity = Gravity.ERROR

    def sentence(self) -> str:
        """Return one escaped line: ``FILE:LINE: error: KEY: what is wrong; what would be right``."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [place, self.gravity.value, *([self.key] if self.key else []), f"{self.wrong}; {self.right}"]
        return ": ".join(shown(part) for part in parts)


def quoted(value: object) -> str:
    """Return ``value`` for a message: quoted as TOML writes it where it is text, and not too long."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def one_of(given: str, words: Iterable[str]) -> str:
    """Return advice for a word that is not among ``words``: the nearest one, and all where they are few."""
    known = sorted(words)
    lowered = given.strip().lower().replace("_", "-")
    if near := difflib.get_close_matches(
        lowered, [word.replace("_", "-") for word in known], n=1, cutoff=0.6
    ):
        meant = next(word for word in known if word.replace("_", "-") == near[0])
        guess = f'did you mean "{meant}"?'
        return f"{guess} (use {enumerated(known)})" if len(known) <= _FEW else guess
    return f"use {enumerated(known)}"


def enumerated(words: Iterable[str]) -> str:
    """Return ``"a", "b" or "c"``."""
    *most, last = (f'"{word}"' for word in words)
    return f"{', '.join(most)} or {last}" if most else last
