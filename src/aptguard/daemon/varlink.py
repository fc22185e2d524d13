# SPDX-License-Identifier: GPL-3.0-or-later
"""The varlink wire format: JSON objects, each ended by a NUL byte (https://varlink.org/Method-Call). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SERVICE = "org.varlink.service"
# Root's limit: what apt gives its hook, in base64. A dist-upgrade of 3000 packages is about 2 MiB.
MAX_MESSAGE_BYTES = 96 << 20


class MessageError(ValueError):
    """Bytes that are no message; ``name`` is the error to answer with, and the connection ends."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Framer:
    """Cuts a stream of bytes into messages, holding never more than ``limit`` bytes of one."""

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        """How many bytes wait here."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take more bytes of the stream."""
        self._buffer += data

    def take(self) -> bytes | None:
        """Return the next whole message without its NUL, None when there is none yet.

        Raises MessageError when the message that is coming in is longer than the limit.
        """
        end = self._buffer.find(0, self._searched)
        if end > self.limit or (end < 0 and len(self._buffer) > self.limit):
            raise MessageError("MessageTooLarge", f"A message may have at most {self.limit} bytes.")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        message = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return message


@dataclass(frozen=True, slots=True)
class Call:
    """One method call; ``interface`` and ``method`` are the two parts of the qualified name."""

    interface: str
    method: str
    parameters: dict[str, Any]
    more: bool = False
    oneway: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; ``error`` is the qualified name of an error, None for a good reply."""

    parameters: dict[str, Any]
    continues: bool = False
    error: str | None = None


def read_call(message: bytes) -> Call:
    """Return the method call in ``message``; raises MessageError when it is none."""
    plain = _read_object(message)
    name, parameters = plain.get("method"), plain.get("parameters")
    if not isinstance(name, str):
        raise _invalid("it has no method")
    interface, _, method = name.rpartition(".")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise _invalid("its parameters are no object")
    for flag in ("more", "oneway", "upgrade"):
        if not isinstance(plain.get(flag, False), bool):
            raise _invalid(f"its {flag} is neither true nor false")
    if plain.get("upgrade"):
        raise _invalid("it asks for an upgrade to another protocol, and there is none")
    return Call(interface, method, parameters, plain.get("more", False), plain.get("oneway", False))


def read_reply(message: bytes) -> Reply:
    """Return the reply in ``message``; raises MessageError when it is none."""
    plain = _read_object(message)
    parameters, error = plain.get("parameters"), plain.get("error")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict) or not isinstance(error, str | None):
        raise _invalid("it is no reply")
    return Reply(parameters, plain.get("continues") is True, error)


def call_bytes(name: str, parameters: Mapping[str, Any], *, more: bool = False) -> bytes:
    """Return the call of the method with that qualified ``name``, ready to be sent."""
    return _encode({"method": name, "parameters": parameters, **({"more": True} if more else {})})


def reply_bytes(parameters: Mapping[str, Any], *, continues: bool = False) -> bytes:
    """Return a good reply, ready to be sent; ``continues``: another one follows."""
    return _encode({"parameters": parameters, **({"continues": True} if continues else {})})


def error_bytes(name: str, parameters: Mapping[str, Any]) -> bytes:
    """Return the error with that qualified ``name``, ready to be sent."""
    return _encode({"error": name, "parameters": parameters})


def _encode(plain: Mapping[str, Any]) -> bytes:
    # ASCII only: a NUL or a lone surrogate in a string is escaped and cannot break the framing.
    return json.dumps(plain, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\0"


def _read_object(message: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(message.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _invalid("it is not UTF-8") from error
    except RecursionError as error:
        raise _invalid("it is nested too deeply") from error
    except ValueError as error:
        raise _invalid(f"it is not JSON ({str(error)[:100]})") from error
    if not isinstance(plain, dict):
        raise _invalid("it is no JSON object")
    return plain


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _invalid(why: str) -> MessageError:
    return MessageError("InvalidMessage", f"This is no varlink message: {why}.")
