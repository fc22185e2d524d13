# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls of the scripts that are handed to the supervisor before the kernel does anything.

The filter of seccomp.py hands them on (seccomp_unotify(2)). Which call it is the kernel says, and that alone
decides whether the kernel may go on with it (SECCOMP_USER_NOTIF_FLAG_CONTINUE): only those that it would
have done, or refused, without us. What a call points to is read from the caller's memory, and may be
another by the time the kernel reads it: it is told, and decides nothing that matters outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import struct
from collections.abc import Callable

from aptguard.rehearsal import linux
from aptguard.rehearsal.caller import Answer, Caller
from aptguard.rehearsal.connections import connection_effect
from aptguard.rehearsal.host_names import HostNames
from aptguard.rehearsal.model import REFUSED, Effect
from aptguard.rehearsal.refused_calls import ANSWERS
from aptguard.rehearsal.seccomp import filter_program, reported_calls

# linux/seccomp.h
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_CONTINUE = 1
_SECCOMP = {"x86_64": 317, "aarch64": 277}  # asm/unistd.h
_LONGEST_ADDRESS = 128
_MOST_EFFECTS = 200
_MOST_READ = 2000  # connections, and refused calls, that are looked at; later ones are answered without
# What the kernel may decide upon: it does nothing here that is more than a script may.
_OFTEN = frozenset({"setrlimit", "prlimit64", "adjtimex", "clock_adjtime", "clock_adjtime64"})
_GOING_ON = _OFTEN | {"connect"}
_NAMES = frozenset({"sethostname", "setdomainname"})


def load_filter_with_listener(machine: str, ipv6: bool) -> tuple[int | None, str | None]:
    """Load the filter into this process and all that it will start.

    Returns the descriptor on which calls are handed on, which must go to the supervisor and nowhere else; or
    None, and a sentence on why there is none: then no filter is loaded. ``ipv6``: see filter_program.
    """
    program = filter_program(machine, ipv6, listened=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(buffer))
    try:
        listener = linux.system_call(
            "have calls reported (seccomp)",
            _SECCOMP[machine],
            ctypes.c_long(_SET_MODE_FILTER),
            ctypes.c_long(_NEW_LISTENER),
            ctypes.c_char_p(filters),
        )
    except OSError as error:
        return None, (
            "what scripts connect to, and which calls are refused to them here that the machine would not "
            f"refuse, is not seen: {error.strerror}"
        )
    return listener, None


class Notifications:
    """The supervisor's end: ``script_of`` names the script of a process by its pid, as far as it is known."""

    def __init__(self) -> None:
        self.script_of: Callable[[int], str | None] = lambda _pid: None
        self._names = reported_calls(linux.platform_machine())
        self._listener = -1
        self._connections_left = self._others_left = _MOST_READ
        self._effects: dict[Effect, None] = {}
        self._tentative: dict[int, Effect] = {}
        self._met_closed = False
        self._host_names = HostNames(-1)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """Return what was tried, each once, in order."""
        return tuple(dict.fromkeys((*self._effects, *self._tentative.values())))

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a sentence where the memory of a script's process was closed to us."""
        if not self._met_closed:
            return ()
        return (f"what calls of scripts named, addresses and paths, could not be read: {_why_closed()}",)

    def listen(self, listener: int, init: int) -> None:
        """Take the descriptor that the init process got, whose number is ``init``."""
        self._listener = listener
        self._host_names = HostNames(init)

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors to poll for input."""
        return (self._listener,) if self._listener >= 0 else ()

    def ready(self) -> None:
        """Take in one call and answer it."""
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
            identifier, pid, _, number, architecture, _, *arguments = _NOTIFICATION.unpack(notification)
            name = self._names.get((architecture, number), "")
            answer = Answer(errno.EPERM)
            try:
                caller = Caller(pid, architecture)
                answer = self._answer(name, caller, tuple(arguments))
                self._met_closed |= caller.is_closed
            finally:
                going_on = answer.go_on and name in _GOING_ON
                error = 0 if going_on else -answer.error
                response = _RESPONSE.pack(identifier, 0, error, _CONTINUE if going_on else 0)
                with contextlib.suppress(OSError):
                    fcntl.ioctl(self._listener, _ANSWER, response)

    def close(self) -> None:
        """Give the descriptor back; whoever makes such a call from then on is told that there is none."""
        if self._listener >= 0:
            os.close(self._listener)
        self._listener = -1

    def _answer(self, name: str, caller: Caller, arguments: tuple[int, ...]) -> Answer:
        if name == "connect":
            if self._connections_left > 0:
                self._connections_left -= 1
                self._connection(caller, arguments)
            return Answer(0, go_on=True)
        self._others_left -= name not in _OFTEN
        if name not in ANSWERS.keys() | _NAMES or (self._others_left < 0 and name not in _OFTEN):
            self._refused(caller.pid, "would make more calls that are refused here than are looked at")
            return Answer(errno.EPERM)
        if name == "mount":
            caller.mounts_anew = self._tentative.pop(caller.pid, None) is not None
        if name in _NAMES:
            answer = self._host_names.answer(name, caller, arguments)
        else:
            answer = ANSWERS[name](caller, arguments)
        if answer.tells is not None and answer.tentative:
            self._tentative[caller.pid] = Effect(REFUSED, answer.tells, self.script_of(caller.pid))
        elif answer.tells is not None:
            self._refused(caller.pid, answer.tells, answer.kind)
        return answer

    def _refused(self, pid: int, detail: str, kind: str = REFUSED) -> None:
        cause = self.script_of(pid)
        if len(self._effects) >= 2 * _MOST_EFFECTS:
            kind, detail, cause = REFUSED, "would make more calls than are told", None
        self._effects[Effect(kind, detail, cause)] = None

    def _connection(self, caller: Caller, arguments: tuple[int, ...]) -> None:
        if len(self._effects) >= _MOST_EFFECTS:
            return
        address = caller.memory(arguments[1], min(arguments[2] & 0xFFFFFFFF, _LONGEST_ADDRESS))
        effect = connection_effect(address)
        if caller.is_closed:
            effect = ("socket", "would connect to an address that cannot be read")
        if effect is not None:
            self._effects[Effect(*effect, self.script_of(caller.pid))] = None


def _why_closed() -> str:
    """Return why root may not look into a process (Documentation/admin-guide/LSM/Yama.rst)."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/yama/ptrace_scope", "rb") as file:
        if file.read().strip() == b"3":
            return "kernel.yama.ptrace_scope is 3"
    return "this process may not trace others (CAP_SYS_PTRACE, or a security module)"
