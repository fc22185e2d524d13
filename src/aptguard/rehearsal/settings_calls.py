# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of sysctl: what writes succeeds, as it cannot here; what asks is answered by the kernel.

Some settings belong to a namespace, and a rehearsal has its own: of the network, of IPC and of pids. Their
values here are those that a new namespace begins with, so that such a question is recorded as UNANSWERED.
Options are those of procps 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aptguard.rehearsal.call_notes import UNANSWERED_CALL, noted_as

# As the shell matches them, in this order; what comes after -r is no setting.
_WRITES: Final = b"--w*|--l*|--s*"
_WRITES_BY_LETTER: Final = b"-*[wpf]*"
_OF_NAMESPACES: Final = b"|".join(
    (
        b"net[./]*",
        b"kernel[./]shm*",
        b"kernel[./]msg*",
        b"kernel[./]sem*",
        b"kernel[./]auto_msgmni",
        b"kernel[./]pid_max",
        b"fs[./]mqueue*",
    )
)


def sysctl_lines(calls: bytes, caller: bytes) -> bytes:
    """Return the lines of its stand-in that follow the recording of the call.

    In them ``$o`` is the original; ``calls`` and ``caller`` as in call_notes.
    """
    return (
        b"w= d= n=\n"
        b'for a; do case "$a" in\n'
        b"--dr*) d=1;; " + _WRITES + b") w=1;; --a*) n=1;; --*|-r*) ;;\n"
        + _WRITES_BY_LETTER + b") w=1;; -*[aAX]*) n=1;; -*) ;;\n"
        b"*=*) w=1;; " + _OF_NAMESPACES + b") n=1;; esac; done\n"
        b'if [ "$w" ] && [ ! "$d" ]; then "$o" "$@"; exit 0; fi\n'
        b'[ ! "$n" ] || ' + noted_as(UNANSWERED_CALL, calls, caller) + b"\n"
        b'exec "$o" "$@"'
    )  # fmt: skip


def only_asks_of_settings(arguments: Sequence[bytes]) -> bool:
    """Return whether a call of sysctl with these arguments writes nothing."""
    return not any(map(_writes, arguments)) or any(word.startswith(b"--dr") for word in arguments)


def _writes(word: bytes) -> bool:
    if word.startswith(b"--"):
        return word.startswith((b"--w", b"--l", b"--s"))
    if word.startswith(b"-"):
        return not word.startswith(b"-r") and any(letter in word for letter in b"wpf")
    return b"=" in word
