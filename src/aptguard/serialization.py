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
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return ``value`` as lists, dicts, strings, numbers, booleans and None."""
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
    return from_plain(kind, json.loads(text))


def from_plain(kind: type[T], plain: Any) -> T:
    """Return ``plain`` (as to_plain made it) as a ``kind``; ValueError names the place that does not fit."""
    return typing.cast(T, _read(kind, plain, kind.__name__))


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _read(kind: Any, plain: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_union(kind, plain, where)
    if origin in (tuple, list, set, frozenset):
        return _read_sequence(kind, origin, plain, where)
    if origin is dict:
        if not isinstance(plain, dict):
            raise _misfit(where, "an object", plain)
        key_kind, value_kind = typing.get_args(kind)
        return {
            _read(key_kind, key, where): _read(value_kind, item, f"{where}.{key}")
            for key, item in plain.items()
        }
    if isinstance(kind, type):
        return _read_scalar(kind, plain, where)
    if kind is Any:
        return plain
    raise TypeError(f"{where}: no way to read a {kind!r}")


def _read_union(kind: Any, plain: Any, where: str) -> Any:
    members = typing.get_args(kind)
    if plain is None and type(None) in members:
        return None
    for member in members:
        if member is type(None):
            continue
        try:
            return _read(member, plain, where)
        except ValueError:
            continue
    raise _misfit(where, str(kind), plain)


def _read_sequence(kind: Any, origin: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, list):
        raise _misfit(where, "a list", plain)
    arguments = typing.get_args(kind)
    if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        if len(arguments) != len(plain):
            raise _misfit(where, f"{len(arguments)} entries", plain)
        return tuple(_read(part, item, where) for part, item in zip(arguments, plain, strict=True))
    return origin(_read(arguments[0], item, where) for item in plain)


def _read_scalar(kind: type, plain: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(plain, dict):
            raise _misfit(where, "an object", plain)
        hints = _hints(kind)
        unknown = sorted(set(plain) - set(hints))
        if unknown:
            raise ValueError(f"{where} has the unknown key {unknown[0]!r}")
        try:
            return kind(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in plain.items()})
        except TypeError as error:
            raise ValueError(f"{where} is incomplete: {error}") from error
    if issubclass(kind, Enum):
        try:
            return kind(plain)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    if kind is bytes:
        if not isinstance(plain, str):
            raise _misfit(where, "a string", plain)
        return plain.encode("utf-8", "surrogateescape")
    if kind is float and isinstance(plain, (int, float)) and not isinstance(plain, bool):
        return float(plain)
    if not isinstance(plain, kind) or (kind is int and isinstance(plain, bool)):
        raise _misfit(where, f"a {kind.__name__}", plain)
    return plain


def _misfit(where: str, expected: str, plain: Any) -> ValueError:
    return ValueError(f"{where} should be {expected}, but it is {str(plain)[:60]!r}")
