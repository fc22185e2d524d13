# SPDX-License-Identifier: GPL-3.0-or-later
"""What an address means that a script connects to."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aptguard.rehearsal.connections import connection_effect


def unix(path: bytes) -> bytes:
    return struct.pack("=H", socket.AF_UNIX) + path


def inet(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + port.to_bytes(2, "big") + socket.inet_aton(host) + bytes(8)


def inet6(host: str, port: int) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, host)
    return struct.pack("=H", socket.AF_INET6) + port.to_bytes(2, "big") + bytes(4) + packed + bytes(4)


@pytest.mark.parametrize(
    ("address", "effect"),
    [
        (unix(b"/run/x.sock\0rest"), ("socket", "would connect to /run/x.sock")),
        (unix(b"relative"), ("socket", "would connect to relative")),
        (unix(b"\0name\0\0"), ("socket", "would connect to @name")),
        (unix(b"/run/a\nb"), ("socket", "would connect to /run/a\\x0ab")),
        (unix(b"/run/nscd/socket-of-another"), ("socket", "would connect to /run/nscd/socket-of-another")),
        (inet("127.0.0.1", 5432), ("network", "would connect to 127.0.0.1 port 5432")),
        (inet6("::1", 80), ("network", "would connect to ::1 port 80")),
    ],
)
def test_an_address_is_told_as_it_is_written(address: bytes, effect: tuple[str, str]) -> None:
    assert connection_effect(address) == effect


@pytest.mark.parametrize(
    "address",
    [
        b"",
        struct.pack("=H", socket.AF_UNIX),
        struct.pack("=HI", socket.AF_NETLINK, 0) + bytes(8),
        unix(b"/var/run/nscd/socket\0"),
        unix(b"/dev/log\0"),
        unix(b"/run/systemd/userdb/io.systemd.DynamicUser\0"),
        unix(b"/run/systemd/journal/socket"),
        inet("192.0.2.1", 0),
        inet("192.0.2.1", 80)[:7],
        inet6("::1", 80)[:20],
    ],
)
def test_what_everything_asks_and_what_is_no_connection_is_not_told(address: bytes) -> None:
    assert connection_effect(address) is None


@given(st.binary(max_size=128))
def test_no_address_raises(address: bytes) -> None:
    connection_effect(address)
