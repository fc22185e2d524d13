# SPDX-License-Identifier: GPL-3.0-or-later
"""The kept inputs: tests/fuzz/corpus/TARGET.jsonl, an input a line, its bytes as a JSON string of Latin-1."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from fuzz.target import Target

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
PRODUCT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "src")
LARGEST_FILE = 100_000

Arc = tuple[str, int, int]


def path_of(name: str) -> str:
    """Return the file of the inputs of the target ``name``."""
    return os.path.join(DIRECTORY, f"{name}.jsonl")


def kept(name: str) -> list[bytes]:
    """Return the kept inputs of the target ``name``."""
    try:
        with open(path_of(name), encoding="ascii") as file:
            return [json.loads(line).encode("latin-1") for line in file]
    except FileNotFoundError:
        return []


def keep(name: str, inputs: Iterable[bytes]) -> None:
    """Write ``inputs`` as the kept ones of the target ``name``, the short ones first."""
    os.makedirs(DIRECTORY, exist_ok=True)
    with open(path_of(name), "w", encoding="ascii") as file:
        for data in sorted(set(inputs), key=lambda data: (len(data), data)):
            file.write(json.dumps(data.decode("latin-1")) + "\n")


def minimised(target: Target, always: Iterable[bytes], others: Iterable[bytes]) -> list[bytes]:
    """Return ``always``, and of ``others`` those that reach a line from a line which nothing shorter reaches.

    What is kept stays below ``LARGEST_FILE`` bytes.
    """
    chosen = list(dict.fromkeys(always))
    seen: set[Arc] = set()
    for data in chosen:
        seen |= arcs(target.attempt, data)
    size = sum(map(len, chosen))
    for data in sorted(set(others) - set(chosen), key=lambda data: (len(data), data)):
        if size + len(data) > LARGEST_FILE:
            break
        found = arcs(target.attempt, data)
        if not found <= seen:
            seen |= found
            size += len(data)
            chosen.append(data)
    # What works in another thread is not seen here.
    return chosen or sorted(set(others), key=lambda data: (len(data), data))[:30]


def arcs(attempt: Callable[[bytes], None], data: bytes) -> set[Arc]:
    """Return which lines of the product followed on which while ``attempt`` had ``data``."""
    found: set[Arc] = set()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(PRODUCT):
            return None
        before = 0

        def line(inner: FrameType, what: str, _argument: Any) -> Any:
            nonlocal before
            if what == "line":
                found.add((name, before, inner.f_lineno))
                before = inner.f_lineno
            return line

        return line

    sys.settrace(trace)
    try:
        attempt(data)
    finally:
        sys.settrace(None)
    return found
