# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts try to connect to: servers that would do things for them on the machine.

A second filter of system calls, loaded beside the one that refuses (seccomp.py), reports each connect(2) to
the supervisor and lets it go on as it is (seccomp_unotify(2), SECCOMP_USER_NOTIF_FLAG_CONTINUE). Of several
filters the strictest answer counts, so nothing becomes possible by it. The address is read from the caller's
memory, and may be another by the time the kernel reads it: it is told, never decided upon. Not seen are
datagrams to an address of their own (sendto(2)), and i386 programs that go by socketcall(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import select
import socket
import struct
from collections.abc import Callable

from aptguard.rehearsal import linux
from aptguard.rehearsal.model import Effect
from aptguard.shown import shown

# linux/seccomp.h
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_ALLOW, _USER_NOTIF = 0x7FFF0000, 0x7FC00000
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_CONTINUE = 1
# asm/unistd.h: seccomp(2), and connect(2) by the audit architecture of linux/audit.h
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CONNECT = {"x86_64": ((0xC000003E, 42), (0x40000003, 362)), "aarch64": ((0xC00000B7, 203),)}
_LONGEST_ADDRESS = 128
_MOST_EFFECTS = 200
_MOST_READ = 2000  # connections whose address is looked at; later ones only go on
# Asked by the C library and by logging everywhere; they keep nothing and do nothing.
_HARMLESS = re.compile(
    rb"(?:/var)?/run/(?:nscd/socket|\.nscd_socket|systemd/(?:userdb|journal|resolve|notify)(?:/.*)?"
    rb"|avahi-daemon/socket|gssproxy\.sock)|/dev/log|/var/lib/sss/pipes/.*"
)


def listen_for_connections() -> tuple[int | None, str | None]:
    """Load the filter into this process and all that it will start.

    Returns the descriptor on which connections are reported, which must go to the supervisor and nowhere
    else; or None, and a sentence on why there is none.
    """
    machine = linux.platform_machine()
    if machine not in _SECCOMP:
        return None, f"what scripts connect to is not seen on {machine}"
    program = _program(_CONNECT[machine])
    buffer = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(buffer))
    try:
        listener = linux.system_call(
            "have connections reported (seccomp)",
            _SECCOMP[machine],
            ctypes.c_long(_SET_MODE_FILTER),
            ctypes.c_long(_NEW_LISTENER),
            ctypes.c_char_p(filters),
        )
    except OSError as error:
        return None, f"what scripts connect to is not seen: {error.strerror}"
    return listener, None


def _program(calls: tuple[tuple[int, int], ...]) -> bytes:
    """Return the filter: report the ``calls`` (architecture, number), allow all else."""
    program = []
    for architecture, number in calls:
        program += [
            (0x20, 0, 0, 4),  # load the architecture
            (0x15, 0, 3, architecture),
            (0x20, 0, 0, 0),  # load the number
            (0x15, 0, 1, number),
            (0x06, 0, 0, _USER_NOTIF),
        ]
    program.append((0x06, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


class Connections:
    """The supervisor's end: ``script_of`` names the script of a process by its pid, as far as it is known."""

    def __init__(self) -> None:
        self.script_of: Callable[[int], str | None] = lambda _pid: None
        self._listener = -1
        self._left = _MOST_READ
        self._effects: dict[Effect, None] = {}

    @property
    def effects(self) -> tuple[Effect, ...]:
        """Return what was tried, each once, in order."""
        return tuple(self._effects)

    def listen(self, listener: int) -> None:
        """Take the descriptor that the init process got."""
        self._listener = listener

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors to poll for input."""
        return (self._listener,) if self._listener >= 0 else ()

    def ready(self) -> None:
        """Take in one connection and let it go on."""
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        events = poller.poll(0)
        if not events:
            return
        if not events[0][1] & select.POLLIN:
            self.close()  # no process is left that has the filter
            return
        notification = bytearray(_NOTIFICATION.size)
        with contextlib.suppress(OSError):  # ENOENT: the process was killed meanwhile
            fcntl.ioctl(self._listener, _RECEIVE, notification)
            identifier, pid, *_, address, length, _, _, _ = _NOTIFICATION.unpack(notification)[:12]
            try:
                if self._left > 0:
                    self._left -= 1
                    self._note(pid, address, length)
            finally:
                answer = _RESPONSE.pack(identifier, 0, 0, _CONTINUE)
                with contextlib.suppress(OSError):
                    fcntl.ioctl(self._listener, _ANSWER, answer)

    def close(self) -> None:
        """Give the descriptor back; whoever connects from then on is told that there is no such call."""
        if self._listener >= 0:
            os.close(self._listener)
        self._listener = -1

    def _note(self, pid: int, address: int, length: int) -> None:
        if len(self._effects) >= _MOST_EFFECTS:
            return
        try:
            fd = os.open(b"/proc/%d/mem" % pid, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(fd, min(length & 0xFFFFFFFF, _LONGEST_ADDRESS), address)
            finally:
                os.close(fd)
        except (OSError, OverflowError):
            return
        effect = connection_effect(data)
        if effect is not None:
            self._effects[Effect(*effect, self.script_of(pid))] = None


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
