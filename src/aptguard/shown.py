# SPDX-License-Identifier: GPL-3.0-or-later
"""How bytes from the machine are shown: escaped, so that no file name can forge a line or a colour."""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\\\\\u061c\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shown(value: bytes | str) -> str:
    """Return ``value`` for display: control, direction and undecodable characters as backslash escapes.

    The result is one line of valid Unicode, and unambiguous: a backslash itself is doubled.
    """
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    return _UNSAFE.sub(_escape, text)
