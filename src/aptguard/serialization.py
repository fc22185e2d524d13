# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of our own dataclasses to JSON and back, loss-free; standard library only.

For what aptguard writes to itself: the helper's answer, the ledger, recorded change sets. What others
read is made in aptguard.report. Bytes become strings with surrogateescape, which JSON keeps.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
_PLAIN = frozenset({str, int, float, bool})
_Reader = Callable[[Any], Any]


def to_plain(value: Any) -> Any:
    """Return ``value`` as lists, dicts, strings, numbers, booleans and None."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name)) for name in _hints(type(value))}
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, (frozenset, set)):
        return sorted((to_plain(item) for item in value), key=str)
    return value


def dumps(value: Any) -> str:
    """Return one line of ASCII JSON for ``value``."""
    return json.dumps(to_plain(value), separators=(",", ":"))


def loads(kind: type[T], text: str | bytes) -> T:
    """Return the value of class ``kind`` in the JSON ``text``.

    Raises ValueError with the place and the reason when the text is not such a value.
    """
    try:
        plain = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return from_plain(kind, plain)


def from_plain(kind: type[T], plain: Any) -> T:
    """Return ``plain`` (as to_plain made it) as a ``kind``; ValueError names the place that does not fit."""
    try:
        value: T = _reader(typing.cast(typing.Hashable, kind))(plain)
    except _MisfitError as error:
        place = "".join([kind.__name__, *reversed(error.place)])
        raise ValueError(f"{place}{error.sentence}") from error
    return value


def prepare(kind: type) -> None:
    """Find out now how a ``kind`` of dataclass, and all others in it, are read and written."""
    known: set[Any] = set()
    waiting: list[Any] = [kind]
    while waiting:
        found = waiting.pop()
        if found in known:
            continue
        known.add(found)
        waiting += typing.get_args(found)
        if dataclasses.is_dataclass(found):
            waiting += _hints(typing.cast(type, found)).values()
            _reader(typing.cast(typing.Hashable, found))


class _MisfitError(Exception):
    """Something does not fit: what is to be said after its place, which is put together on the way out."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.place: list[str] = []


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@cache
def _reader(kind: Any) -> _Reader:
    """Return the function that reads a ``kind``; found once for each, as there may be many values of it."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _union_reader(kind)
    if origin in (tuple, list, set, frozenset):
        return _sequence_reader(kind, origin)
    if origin is dict:
        return _dict_reader(*typing.get_args(kind))
    if isinstance(kind, type):
        if dataclasses.is_dataclass(kind):
            return _dataclass_reader(kind)
        return _enum_reader(kind) if issubclass(kind, Enum) else _scalar_reader(kind)
    if kind is Any:
        return lambda plain: plain
    raise TypeError(f"no way to read a {kind!r}")


def _union_reader(kind: Any) -> _Reader:
    members = typing.get_args(kind)
    optional = type(None) in members
    readers = [_reader(member) for member in members if member is not type(None)]

    def read(plain: Any) -> Any:
        if plain is None and optional:
            return None
        for reader in readers:
            try:
                return reader(plain)
            except _MisfitError:
                continue
        raise _misfit(str(kind), plain)

    return read


def _sequence_reader(kind: Any, origin: Any) -> _Reader:
    arguments = typing.get_args(kind)
    if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        readers = [_reader(part) for part in arguments]

        def read_all(plain: Any) -> Any:
            if not isinstance(plain, list):
                raise _misfit("a list", plain)
            if len(readers) != len(plain):
                raise _misfit(f"{len(readers)} entries", plain)
            return tuple(reader(item) for reader, item in zip(readers, plain, strict=True))

        return read_all
    reader = _reader(arguments[0])

    def read(plain: Any) -> Any:
        if not isinstance(plain, list):
            raise _misfit("a list", plain)
        return origin(map(reader, plain))

    return read


def _dict_reader(key_kind: Any, value_kind: Any) -> _Reader:
    read_key, read_value = _reader(key_kind), _reader(value_kind)

    def read(plain: Any) -> Any:
        if not isinstance(plain, dict):
            raise _misfit("an object", plain)
        found = {}
        key = ""
        try:
            for key, item in plain.items():
                found[read_key(key)] = read_value(item)
        except _MisfitError as error:
            error.place.append(f".{key}")
            raise
        return found

    return read


def _dataclass_reader(kind: Any) -> _Reader:
    # At its first use, since a class may hold values of itself.
    @cache
    def readers() -> dict[str, _Reader]:
        return {name: _reader(hint) for name, hint in _hints(kind).items()}

    def read(plain: Any) -> Any:
        if not isinstance(plain, dict):
            raise _misfit("an object", plain)
        known = readers()
        if not plain.keys() <= known.keys():
            raise _MisfitError(f" has the unknown key {min(plain.keys() - known.keys())!r}")
        found = {}
        name = ""
        try:
            for name, item in plain.items():
                found[name] = known[name](item)
        except _MisfitError as error:
            error.place.append(f".{name}")
            raise
        try:
            return kind(**found)
        except TypeError as error:
            raise _MisfitError(f" is incomplete: {error}") from error

    return read


def _enum_reader(kind: type[Enum]) -> _Reader:
    def read(plain: Any) -> Any:
        try:
            return kind(plain)
        except ValueError as error:
            raise _MisfitError(f": {error}") from error

    return read


def _scalar_reader(kind: type) -> _Reader:
    if kind is bytes:
        return _read_bytes
    if kind is float:
        return _read_float
    name = f"a {kind.__name__}"

    def read(plain: Any) -> Any:
        if not isinstance(plain, kind) or (kind is int and isinstance(plain, bool)):
            raise _misfit(name, plain)
        return plain

    return read


def _read_bytes(plain: Any) -> bytes:
    if not isinstance(plain, str):
        raise _misfit("a string", plain)
    return plain.encode("utf-8", "surrogateescape")


def _read_float(plain: Any) -> float:
    if isinstance(plain, bool) or not isinstance(plain, (int, float)):
        raise _misfit("a float", plain)
    try:
        return float(plain)
    except OverflowError as error:
        raise _misfit("a float", plain) from error


def _misfit(expected: str, plain: Any) -> _MisfitError:
    return _MisfitError(f" should be {expected}, but it is {str(plain)[:60]!r}")
