# SPDX-License-Identifier: GPL-3.0-or-later
"""apt's configuration tree as its hooks get it; standard library only.

Facts: apt.conf(5); apt-pkg's Configuration (tags are compared without case, as ASCII) and StringToBool.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_INTEGER = re.compile(rb"[ \t\n\v\f\r]*\+?(0[xX][0-9a-fA-F]+|[0-9]+)\Z")
_TRUE = frozenset((b"yes", b"true", b"with", b"on", b"enable"))
_FALSE = frozenset((b"no", b"false", b"without", b"off", b"disable"))


class AptConfiguration:
    """What apt was configured to do: values by tag, tags compared without case, many values to a tag.

    Values are raw bytes, as the administrator wrote them. A tag without value is not in apt's dump and so
    reads as unset.
    """

    __slots__ = ("_entries",)

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._entries = tuple((tag.lower(), value) for tag, value in pairs)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, tag: str) -> bytes | None:
        """Return the last value of ``tag`` itself, None when it has none."""
        wanted = tag.encode("utf-8", "surrogateescape").lower()
        for name, value in reversed(self._entries):
            if name == wanted:
                return value
        return None

    def text(self, tag: str) -> str | None:
        """Return ``find(tag)`` as text, undecodable bytes by surrogateescape."""
        value = self.find(tag)
        return None if value is None else value.decode("utf-8", "surrogateescape")

    def children(self, tag: str) -> tuple[bytes, ...]:
        """Return the values directly below ``tag``, in apt's order.

        Those are the list items (``Tag::=x``) and the named ones (``Tag::name=x``), which apt treats alike
        where it wants a list, for example ``DPkg::Options``.
        """
        prefix = tag.encode("utf-8", "surrogateescape").lower() + b"::"
        return tuple(
            value
            for name, value in self._entries
            if name.startswith(prefix) and b"::" not in name[len(prefix) :]
        )

    def is_true(self, tag: str) -> bool:
        """Return whether apt takes ``tag`` as true; unset and words that apt does not know count as false."""
        value = self.find(tag)
        return value is not None and truth(value) is True


def truth(value: bytes) -> bool | None:
    """Return what apt's StringToBool makes of ``value``, None where it keeps its default.

    True are the number 1 (as strtol(3) with base 0 reads it) and yes, true, with, on, enable in any case.
    """
    number = _INTEGER.match(value)
    if number is not None:
        digits = number.group(1)
        try:
            parsed = int(digits, _base(digits))
        except ValueError:  # 08: strtol stops at the 8, so apt does not take it as a number
            return None
        return bool(parsed) if parsed in (0, 1) else None
    word = value.lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def _base(digits: bytes) -> int:
    if digits[:2] in (b"0x", b"0X"):
        return 16
    return 8 if digits.startswith(b"0") else 10
