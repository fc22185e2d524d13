# SPDX-License-Identifier: GPL-3.0-or-later
"""On which line each key of a TOML document stands; standard library only.

tomllib gives no lines. The scanner here walks a document that tomllib has accepted, so it has to find where
things begin and end, not to judge them. (TOML 1.0, https://toml.io/en/v1.0.0)
"""

from __future__ import annotations

import re
from bisect import bisect_right

Location = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRINGS = (
    re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)
_HEADER = re.compile(r"^[ \t]*\[+([^\n\]]*)\]", re.MULTILINE)


def key_lines(text: str) -> dict[Location, int]:
    """Return the line, from 1, on which each table, key and list entry of the valid document ``text`` begins.

    List entries, tables in lists among them, have their position from 0 in the location. ValueError when the
    document is not one that tomllib accepts.
    """
    return _Scanner(text).document()


def table_before(text: str, line: int) -> str:
    """Return the header of the last table that begins on or before ``line``, empty where there is none."""
    header = ""
    for match in _HEADER.finditer(text):
        if text.count("\n", 0, match.start()) + 1 > line:
            break
        header = match[1].strip(" \t[")
    return header


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[Location, int] = {}
        self._lengths: dict[Location, int] = {}  # of the lists made by [[double]] headers

    def document(self) -> dict[Location, int]:
        table: Location = ()
        self._skip(_BLANK)
        while self._position < len(self._text):
            if self._peek("["):
                table = self._header()
            else:
                self._assignment(table)
            self._skip(_BLANK)
        return self._lines

    def _header(self) -> Location:
        line = self._line()
        double = self._peek("[[")
        self._position += 2 if double else 1
        keys = self._keys()
        self._expect("]]" if double else "]")
        table = self._resolve(keys[:-1], line)
        table = (*table, keys[-1])
        self._note(table, line)
        if double:
            position = self._lengths.get(table, 0)
            self._lengths[table] = position + 1
            table = (*table, position)
            self._note(table, line)
        elif table in self._lengths:
            table = (*table, self._lengths[table] - 1)
        return table

    def _resolve(self, keys: list[str], line: int) -> Location:
        """Return the table that ``keys`` lead to; in a list of tables the last one is meant."""
        table: Location = ()
        for key in keys:
            table = (*table, key)
            self._note(table, line)
            if table in self._lengths:
                table = (*table, self._lengths[table] - 1)
        return table

    def _assignment(self, table: Location) -> None:
        line = self._line()
        for key in self._keys():
            table = (*table, key)
            self._note(table, line)
        self._expect("=")
        self._value(table)

    def _keys(self) -> list[str]:
        keys = [self._key()]
        while self._peek("."):
            self._position += 1
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        self._skip(_SPACE)
        if self._peek('"') or self._peek("'"):
            written = self._string()
            key = _unescaped(written[1:-1]) if written[0] == '"' else written[1:-1]
        else:
            key = self._take(_BARE_KEY)
        self._skip(_SPACE)
        return key

    def _value(self, location: Location) -> None:
        self._skip(_SPACE)
        if self._peek('"') or self._peek("'"):
            self._string()
        elif self._peek("["):
            self._list(location)
        elif self._peek("{"):
            self._inline_table(location)
        else:
            self._take(_BARE_VALUE)

    def _list(self, location: Location) -> None:
        self._position += 1
        position = 0
        self._skip(_BLANK)
        while not self._peek("]"):
            self._note((*location, position), self._line())
            self._value((*location, position))
            position += 1
            self._separator("]")
        self._position += 1

    def _inline_table(self, location: Location) -> None:
        self._position += 1
        self._skip(_BLANK)
        while not self._peek("}"):
            self._assignment(location)
            self._separator("}")
        self._position += 1

    def _separator(self, end: str) -> None:
        self._skip(_BLANK)
        if not self._peek(end):
            self._expect(",")
            self._skip(_BLANK)

    def _string(self) -> str:
        for expression in _STRINGS:
            if match := expression.match(self._text, self._position):
                self._position = match.end()
                return match.group()
        raise self._broken("a string")

    def _peek(self, expected: str) -> bool:
        return self._text.startswith(expected, self._position)

    def _expect(self, expected: str) -> None:
        if not self._peek(expected):
            raise self._broken(expected)
        self._position += len(expected)

    def _take(self, expression: re.Pattern[str]) -> str:
        match = expression.match(self._text, self._position)
        if match is None or not match.group():
            raise self._broken("a key or a value")
        self._position = match.end()
        return match.group()

    def _skip(self, expression: re.Pattern[str]) -> None:
        match = expression.match(self._text, self._position)
        self._position = match.end() if match else self._position

    def _line(self) -> int:
        return bisect_right(self._line_starts, self._position)

    def _note(self, location: Location, line: int) -> None:
        self._lines.setdefault(location, line)

    def _broken(self, expected: str) -> ValueError:
        return ValueError(f"line {self._line()} is no TOML: {expected} should stand there")


_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_SIMPLE = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(
        lambda match: _SIMPLE[match[3]] if match[3] else chr(int(match[1] or match[2], 16)), text
    )
