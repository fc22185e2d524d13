# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recorded call of systemctl, deb-systemd-invoke, service or invoke-rc.d would do; pure.

Sources: systemctl(1), and of systemd src/systemctl/systemctl-enable.c (what ``--now`` adds) and
unit_name_mangle() in src/basic/unit-name.c (a path is the unit that is mounted there, or a device).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from getopt import GetoptError, gnu_getopt
from typing import Final

from aptguard.rehearsal.model import UNCLEAR, Effect
from aptguard.rehearsal.unit_answers import OPTIONS_WITH_VALUES
from aptguard.shown import shown

# Calls that ask, and calls whose effect is files and therefore seen as such.
_HARMLESS_VERBS: Final = frozenset(
    b"is-active is-enabled is-failed is-system-running status show cat help list-units list-unit-files "
    b"list-sockets list-timers list-jobs list-dependencies get-default show-environment enable disable "
    b"reenable preset mask unmask link revert add-wants add-requires set-default daemon-reload "
    b"daemon-reexec".split()
)
_WITH_NOW: Final = {
    b"enable": b"start",
    b"reenable": b"try-restart",
    b"disable": b"stop",
    b"mask": b"stop",
}
_TAKES_UNIT_FILES: Final = (b"enable", b"reenable")
_NEITHER_STARTS_NOR_STOPS: Final = (b"reset-failed", b"kill", b"set-property")
# Starting and stopping these is mounting and unmounting; below the first places nothing is anybody's.
_MOUNTS: Final = (b".mount", b".automount", b".swap")
_NOBODYS: Final = (b"proc-", b"sys-", b"dev-hugepages", b"dev-mqueue", b"run-")
_DEVICES: Final = (b"/dev/", b"/sys/")
# Of start-stop-daemon, in the notation of getopt.
_DAEMON_LETTERS: Final = "HKSVTa:n:op:qr:s:tu:vx:c:N:bmR:g:d:I:k:P:CO:"
_DAEMON_OPTIONS: Final = (
    b"help stop start version status startas= name= oknodo pidfile= ppid= pid= quiet chroot= signal= test "
    b"user= group= chuid= verbose exec= nicelevel= background make-pidfile remove-pidfile retry= chdir= "
    b"iosched= umask= procsched= no-close output= notify-await notify-timeout="
).split()


def service_effect(name: bytes, arguments: Sequence[bytes], kind: str) -> Effect | None:
    """Return what the call would do, None where it only asks or changes nothing but files.

    Without a known meaning, the call itself is told. ``kind`` is that of its effect, unless what follows
    from it cannot be seen here.
    """
    words = _words(arguments) if name == b"systemctl" else _not_options(arguments)
    if name in (b"service", b"invoke-rc.d"):
        if words[1:2] == [b"status"] or b"--status-all" in arguments or b"--query" in arguments:
            return None
        if len(words) >= 2:
            return Effect(kind, f"would {shown(words[1])} {shown(words[0])}.service")
    elif words and name == b"deb-systemd-invoke":
        return _effect(words, kind)
    elif name == b"systemctl":
        if words and b"--now" in arguments and words[0] in _WITH_NOW:
            units = words[1:]
            if words[0] in _TAKES_UNIT_FILES:
                units = [os.path.basename(unit) for unit in units]
            words = [_WITH_NOW[words[0]], *units]
        if not words or words[0] in _HARMLESS_VERBS:
            return None
        return _effect(words, kind)
    return Effect(kind, f"would run {shown(b' '.join((name, *arguments)))[:500]}")


def only_asks_of_a_daemon(arguments: Sequence[bytes]) -> bool:
    """Return whether a call of start-stop-daemon with these arguments neither starts nor stops one."""
    words = [os.fsdecode(word) for word in arguments]
    try:
        options, _ = gnu_getopt(words, _DAEMON_LETTERS, [os.fsdecode(option) for option in _DAEMON_OPTIONS])
    except GetoptError:
        return False
    if {"-T", "--status", "-t", "--test"} & {option for option, _ in options}:
        return True
    signals = [value for option, value in options if option in ("-s", "--signal")]
    return any(signal.strip("0") == "" for signal in signals)


def _effect(words: Sequence[bytes], kind: str) -> Effect:
    unclear = words[0] not in _NEITHER_STARTS_NOR_STOPS and any(map(_is_mount, words[1:]))
    return Effect(UNCLEAR if unclear else kind, f"would {shown(b' '.join(words))}")


def _is_mount(word: bytes) -> bool:
    if word.startswith(b"/"):
        if word.startswith(_DEVICES):
            return False
        word = word.strip(b"/").replace(b"/", b"-") + b".mount"
    return word.endswith(_MOUNTS) and not word.startswith(_NOBODYS)


def _not_options(arguments: Sequence[bytes]) -> list[bytes]:
    return [word for word in arguments if not word.startswith(b"-")]


def _words(arguments: Sequence[bytes]) -> list[bytes]:
    """Return the arguments of systemctl without options and their values."""
    words: list[bytes] = []
    rest = iter(arguments)
    for word in rest:
        if word == b"--":
            return [*words, *rest]
        if not word.startswith(b"-") or word == b"-":
            words.append(word)
        elif word.startswith(b"--"):
            if word in OPTIONS_WITH_VALUES:
                next(rest, None)
        else:
            letters = (b"-" + word[at : at + 1] for at in range(1, len(word)))
            taking = next((at for at, one in enumerate(letters, 2) if one in OPTIONS_WITH_VALUES), 0)
            if taking == len(word):
                next(rest, None)
    return words
