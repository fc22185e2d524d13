# SPDX-License-Identifier: GPL-3.0-or-later
"""What a terminal, or whatever stands in its place, can show. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
        """Return ``text`` in ASCII where the locale asks for it: other characters as backslash escapes."""
        return text.encode("ascii", "backslashreplace").decode("ascii") if self.ascii else text


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
