# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a record goes: journald, else syslog, else stderr; never silence, never a hang.

journald's own datagram protocol is spoken here (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/) and not
through libsystemd, because sd_journal_sendv(3) answers success when no journald listens, and waits
without end when journald is stopped with its queue full (ten datagrams).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

IDENTIFIER = "aptguard"
_LOG_DAEMON = 3 << 3  # syslog(3)
_SYSLOG_BYTES = 2000  # RFC 5424, 6.1: receivers should take 2048
_WAIT_SECONDS = 1.0  # for a receiver that does not read


class Channel(Enum):
    """Where a record went; NOWHERE only when nothing at all takes it."""

    JOURNAL = "journal"
    SYSLOG = "syslog"
    STDERR = "stderr"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Record:
    """One line for people and its fields (``NAME``, value) for machines, already escaped.

    ``summary`` is what syslog and stderr get of the fields.
    """

    message: str
    priority: int
    fields: tuple[tuple[str, str], ...] = ()
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """The ways out; other ones in tests.

    ``stderr_priority`` is the least urgent priority that stderr gets (NOTICE): the terminal of an
    apt run on a machine without any log is not told of each transaction that was allowed.
    """

    journal: str = "/run/systemd/journal/socket"
    syslog: str = "/dev/log"
    stderr: int = 2
    stderr_priority: int = 5


def deliver(record: Record, places: Places | None = None) -> Channel:
    """Send ``record`` by the first way that takes it, and return which; it never raises."""
    places = places or Places()
    with contextlib.suppress(OSError):
        _send_datagram(places.journal, [native(record), native(record, brief=True)])
        return Channel.JOURNAL
    with contextlib.suppress(OSError):
        _send_datagram(places.syslog, [_line(record, f"<{_LOG_DAEMON | record.priority}>")[:_SYSLOG_BYTES]])
        return Channel.SYSLOG
    if record.priority <= places.stderr_priority:
        with contextlib.suppress(OSError):
            _write(places.stderr, _line(record, "") + b"\n")
            return Channel.STDERR
    return Channel.NOWHERE


def native(record: Record, *, brief: bool = False) -> bytes:
    """Return the datagram for journald; ``brief`` has only the first value of each field."""
    fields: Sequence[tuple[str, str]] = [
        ("MESSAGE", record.message),
        ("PRIORITY", str(record.priority)),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        *(dict(reversed(record.fields)).items() if brief else record.fields),
    ]
    return b"".join(_native_field(name, value) for name, value in fields)


def _native_field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode("ascii"), data)
    # With its length in front a value holds anything, and ends where we say.
    return b"%s\n%s%s\n" % (name.encode("ascii"), struct.pack("<Q", len(data)), data)


def _line(record: Record, prefix: str) -> bytes:
    text = f"{prefix}{IDENTIFIER}[{os.getpid()}]: {record.message}"
    if record.summary:
        text += f" [{record.summary}]"
    return text.encode("utf-8", "backslashreplace").replace(b"\n", b"\\n")


def _send_datagram(path: str, attempts: Sequence[bytes]) -> None:
    """Send the first of ``attempts`` that is small enough for the socket; OSError when none was taken."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.setblocking(False)
        connection.connect(path)
        for number, data in enumerate(attempts, 1):
            try:
                _send_waiting(connection, data)
                return
            except OSError as error:
                too_big = error.errno in (errno.EMSGSIZE, errno.ENOBUFS)
                if not too_big or number == len(attempts):
                    raise


def _send_waiting(connection: socket.socket, data: bytes) -> None:
    try:
        connection.send(data)
    except BlockingIOError:
        _wait_writable(connection.fileno())
        connection.send(data)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        _wait_writable(descriptor)
        # Up to PIPE_BUF a pipe that polls writable takes all without blocking (pipe(7)).
        data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]


def _wait_writable(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if not poll.poll(_WAIT_SECONDS * 1000):
        raise TimeoutError(errno.ETIMEDOUT, "nobody reads")
