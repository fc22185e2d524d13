# SPDX-License-Identifier: GPL-3.0-or-later
"""What a terminal, or whatever stands in its place, can show. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aptguard.shown import shown

_COLOURS = re.compile("(\x1b\\[(?:0|1|1;31)m)")
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Style:
    """How wide the lines may be and whether colours and characters beyond ASCII can be shown."""

    columns: int = 80
    colour: bool = False
    ascii: bool = True

    def bold_red(self, text: str) -> str:
        """Return ``text`` as a refusal looks, or unchanged where there are no colours."""
        return f"\x1b[1;31m{text}\x1b[0m" if self.colour else text

    def bold(self, text: str) -> str:
        """Return ``text`` emphasised, or unchanged where there are no colours."""
        return f"\x1b[1m{text}\x1b[0m" if self.colour else text

    def fit(self, text: str) -> str:
        """Return ``text`` as it can be written: in ASCII where the locale asks for it, others as escapes.

        Whatever else it may have come from, no control character leaves it but the ends of lines and our own
        colours.
        """
        parts = _COLOURS.split(text) if self.colour else [text]
        parts[::2] = [_UNSAFE.sub(lambda match: shown(match.group()), part) for part in parts[::2]]
        safe = "".join(parts)
        return safe.encode("ascii", "backslashreplace").decode("ascii") if self.ascii else safe


def style_for(environment: Mapping[str, str], *, terminal: bool, columns: int) -> Style:
    """Return the style for an output that is a ``terminal`` or not, as the environment asks for it.

    NO_COLOR (any value but the empty one) and TERM=dumb switch colours off; a locale without UTF-8 asks
    for ASCII (locale(7): LC_ALL before LC_CTYPE before LANG).
    """
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or "C"
    return Style(
        columns=min(max(columns or 80, 40), 100),
        colour=terminal
        and not environment.get("NO_COLOR")
        and environment.get("TERM", "dumb") not in ("", "dumb"),
        ascii="utf8" not in locale.lower().replace("-", ""),
    )
