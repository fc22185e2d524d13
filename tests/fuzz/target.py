# SPDX-License-Identifier: GPL-3.0-or-later
"""What a target of fuzzing is, and the words in which it demands its properties."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from typing import ClassVar

_LONGEST_SENTENCE = 2000
# Control characters, line ends of all kinds, what changes the direction of writing, halves of characters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class BrokenPropertyError(Exception):
    """An input for which the product does not do what is demanded; the text says what it did."""


class Target:
    """One reader. An input may raise nothing: ``attempt`` itself expects the documented errors.

    ``share`` is how many thousands of a run of a million inputs are its own, ``largest`` how many bytes an
    input has at most, ``tokens`` are words of the format which a fuzzer would not guess.
    """

    name: ClassVar[str]
    share: ClassVar[int] = 70
    largest: ClassVar[int] = 2048
    tokens: ClassVar[tuple[bytes, ...]] = ()

    def __init__(self) -> None:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.directory = tempfile.mkdtemp(prefix="aptguard-fuzz-", dir=memory)

    def seeds(self) -> Iterable[bytes]:
        """Return valid inputs to begin with."""
        return ()

    def attempt(self, data: bytes) -> None:
        """Give ``data`` to the reader; raises BrokenPropertyError, or whatever the reader should not."""
        raise NotImplementedError

    def close(self) -> None:
        """Take away what the target has made."""
        shutil.rmtree(self.directory, ignore_errors=True)


def demand(holds: bool, otherwise: str) -> None:
    """Raise BrokenPropertyError, saying what is the case ``otherwise``."""
    if not holds:
        raise BrokenPropertyError(otherwise)


def demand_sentence(error: object) -> None:
    """Demand that an error says something, in one line that can be shown as it is."""
    text = str(error)
    demand(bool(text.strip()), f"the error {error!r} says nothing")
    demand(not _UNSAFE.search(text), f"the error {text!r} is not one printable line")
    demand(len(text) <= _LONGEST_SENTENCE, f"the error has {len(text)} characters")


def demand_printable(text: str) -> None:
    """Demand that a text has no control characters but the ends of its lines."""
    demand(not _UNSAFE.search(text.replace("\n", "")), f"the text {text[:300]!r} cannot be shown as it is")
