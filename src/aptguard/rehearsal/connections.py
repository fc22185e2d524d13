# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts try to connect to: servers that would do things for them on the machine; pure.

Not seen are datagrams to an address of their own (sendto(2)), and i386 programs that go by socketcall(2).
"""

from __future__ import annotations

import re
import socket

from aptguard.shown import shown

# Asked by the C library and by logging everywhere; they keep nothing and do nothing.
_HARMLESS = re.compile(
    rb"(?:/var)?/run/(?:nscd/socket|\.nscd_socket|systemd/(?:userdb|journal|resolve|notify)(?:/.*)?"
    rb"|avahi-daemon/socket|gssproxy\.sock)|/dev/log|/var/lib/sss/pipes/.*"
)


def connection_effect(address: bytes) -> tuple[str, str] | None:
    """Return kind and detail of an attempt to connect to ``address`` (struct sockaddr); None if it is none.

    Pure. Places that everything asks and that do nothing are none either.
    """
    if len(address) < 3:
        return None
    family = int.from_bytes(address[:2], "little")
    if family == socket.AF_UNIX:
        path = address[2:].split(b"\0", 1)[0] if address[2] else b"@" + address[3:].rstrip(b"\0")
        return None if _HARMLESS.fullmatch(path) else ("socket", f"would connect to {shown(path)}")
    port = int.from_bytes(address[2:4], "big")
    if family == socket.AF_INET and len(address) >= 8:
        host = socket.inet_ntop(socket.AF_INET, address[4:8])
    elif family == socket.AF_INET6 and len(address) >= 24:
        host = socket.inet_ntop(socket.AF_INET6, address[8:24])
    else:
        return None
    # Port 0 sends nothing: the C library asks so which of its addresses would be used (getaddrinfo(3)).
    return ("network", f"would connect to {host} port {port}") if port else None
