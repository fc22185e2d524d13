# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes and sentences to the outside; standard library only."""

from __future__ import annotations

import contextlib
import os


def say(text: str) -> None:
    """Write ``text`` to stderr, where apt shows it; nothing depends on its being read."""
    with contextlib.suppress(OSError):
        write_all(2, text.encode(errors="backslashreplace"))


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``; raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def printable(text: object) -> str:
    """Return ``text`` in one printable line."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(text))
