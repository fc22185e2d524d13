# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading one policy file as TOML; standard library only."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from aptguard.policy.file_bytes import PolicyFileError, digest, read_bytes
from aptguard.policy.lines import Location, key_lines, table_before
from aptguard.policy.problem import PolicyProblem

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One file as TOML; ``lines`` gives the line of each key. ``masks`` is set for a link to /dev/null.

    ``digest`` is that of the bytes it was read from (see file_bytes).
    """

    path: str
    plain: dict[str, Any] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    masks: bool = False
    digest: str = ""

    def line(self, location: Location) -> int | None:
        """Return the line of ``location`` or, where it is not written, of the nearest table around it."""
        while location:
            if location in self.lines:
                return self.lines[location]
            location = location[:-1]
        return None


def read_policy_file(path: str) -> PolicyFile:
    """Return the policy file ``path``; PolicyFileError where it cannot be read or is no TOML.

    A link to /dev/null counts as an empty file, as for systemd's drop-ins.
    """
    data = read_bytes(path)
    return PolicyFile(path, masks=True, digest=digest(None)) if data is None else _parsed(path, data)


def _parsed(path: str, data: bytes) -> PolicyFile:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyFileError(
            PolicyProblem(path, f"byte 0x{data[error.start]:02x} is no UTF-8", "save the file as UTF-8", line)
        ) from error
    if text.startswith("\ufeff"):
        raise PolicyFileError(
            PolicyProblem(path, "it starts with a byte order mark", "save the file as UTF-8 without one", 1)
        )
    try:
        plain = tomllib.loads(text)
        lines = key_lines(text.replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:
        raise PolicyFileError(_no_toml(path, text, error)) from error
    return PolicyFile(path, plain, lines, digest=digest(data))


def _no_toml(path: str, text: str, error: Exception) -> PolicyProblem:
    if isinstance(error, RecursionError):
        return PolicyProblem(
            path, "its lists or tables are nested too deeply", "no key needs more than one list"
        )
    message = str(error)
    place = _AT_LINE.search(message)
    line = int(place[1]) if place else None
    if message.endswith("(at end of document)"):
        line = text.count("\n") + (not text.endswith("\n"))
    message = re.sub(r" \(at (?:line \d+, column \d+|end of document)\)$", "", message)
    key = table_before(text, line) if line is not None else ""
    wrong, right = _explained(message)
    return PolicyProblem(path, wrong, right, line, key)


def _explained(message: str) -> tuple[str, str]:
    """Return what is wrong and what would be right for a ``message`` of tomllib."""
    for beginning, wrong, right in (
        (
            "Cannot declare",
            "this table stands in the file twice",
            "keep one of the two, or give one another name",
        ),
        ("Cannot overwrite", "this key stands in the table twice", "keep one of the two"),
        ("Invalid date", "there is no such date", "write year-month-day, such as 2027-12-31"),
        ("Illegal character", "a control character stands here", "remove it"),
        ("Found invalid character", "a control character stands here", "remove it"),
        ("Invalid value", "no TOML value stands here", 'write text in double quotes, such as "block"'),
        ("Unclosed array", "a list is not closed", "close it with ]"),
        ("Unterminated string", "a string is not closed", "close it with the quotes it began with"),
        (
            "Unescaped '\\\\'",
            "a backslash means nothing here",
            "double it, or write the text in single quotes",
        ),
    ):
        if message.startswith(beginning):
            return wrong, right
    return f"this is no TOML ({message})", "write KEY = VALUE, or a header such as [rule.NAME]"
