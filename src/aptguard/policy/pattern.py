# SPDX-License-Identifier: GPL-3.0-or-later
"""Path patterns of the policy, matched on raw bytes; standard library only.

A pattern is absolute. ``*`` and ``?`` match within one component, ``[...]`` a set of characters, ``**`` as a
whole component any number of components (also none). ``/srv/**`` stands for /srv and all below it.
``{package}`` stands for the name of a package of the transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern as it was written."""

    text: str

    def matches(self, path: bytes, packages: Iterable[str] = ()) -> bool:
        """Return whether the absolute ``path`` is meant; ``{package}`` is tried with each of ``packages``."""
        if "{package}" in self.text:
            return any(
                _compiled(self.text.replace("{package}", _literal(name))).fullmatch(path) for name in packages
            )
        return _compiled(self.text).fullmatch(path) is not None


def _literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> re.Pattern[bytes]:
    expression = b""
    for component in text.encode("utf-8", "surrogateescape").split(b"/")[1:]:
        expression += b"(?:/[^/]+)*" if component == b"**" else b"/" + _component(component)
    return re.compile(expression or b"/", re.DOTALL)


def _component(component: bytes) -> bytes:
    expression, position = b"", 0
    while position < len(component):
        character = component[position : position + 1]
        position += 1
        if character == b"*":
            expression += b"[^/]*"
        elif character == b"?":
            expression += b"[^/]"
        elif character == b"[" and (end := component.find(b"]", position + 1)) != -1:
            members = component[position:end]
            negated = members[:1] in (b"!", b"^")
            members = members[1:] if negated else members
            escaped = members.replace(b"\\", b"\\\\").replace(b"[", b"\\[").replace(b"^", b"\\^")
            expression += b"[^/" + escaped + b"]" if negated else b"[" + escaped + b"]"
            position = end + 1
        else:
            expression += re.escape(character)
    return expression
