# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for programs that act on running things: they record the call and report success.

In a rehearsal nothing runs that could be stopped, and no device is there to be triggered. A program that
fails for that reason would send the script another way than on the machine. Each stand-in replaces the
program's file in the overlay, and only where the program exists: what a script finds with ``command -v``
must stay true. It is recognised afterwards by its inode, not by its name, so that a package that really
replaces or deletes the file is seen doing so.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aptguard.rehearsal import linux
from aptguard.rehearsal.call_notes import ACTING_CALL, DONE_CALL, UNANSWERED_CALL, UNCLEAR_CALL
from aptguard.rehearsal.devices import PRIVATE
from aptguard.rehearsal.model import DESTRUCTION, REFUSED, UNANSWERED, UNCLEAR, Effect
from aptguard.rehearsal.module_stand_ins import MODULE_PROGRAMS, module_lines
from aptguard.rehearsal.network_stand_ins import is_network_program, network_lines
from aptguard.rehearsal.service_calls import only_asks_of_a_daemon, service_effect
from aptguard.rehearsal.service_stand_ins import service_lines, service_programs
from aptguard.rehearsal.settings_calls import only_asks_of_settings, sysctl_lines
from aptguard.rehearsal.storage_call import Meaning, Places
from aptguard.rehearsal.storage_calls import MOUNT_PROGRAMS, STORAGE_PROGRAMS, read_call
from aptguard.shown import shown

_CALLS = PRIVATE + b"/calls"
ORIGINALS = PRIVATE + b"/original"
_DIRECTORIES = (b"/usr/sbin", b"/usr/bin", b"/sbin", b"/bin")
# dpkg sets these two for each script (dpkg(1), ENVIRONMENT).
_CALLER = b'"@${DPKG_MAINTSCRIPT_PACKAGE} ${DPKG_MAINTSCRIPT_NAME}\t$PWD"'
_RECORD = b"printf '%s\\0' \"$(($# + 2))\" " + _CALLER + b' "${0##*/}" "$@"'
_NOTE = _RECORD + b" >>" + _CALLS + b" 2>/dev/null"
_HEAD = b"#!/bin/sh\n" + _NOTE + b"\n"
_SUCCEED = _HEAD + b"exit 0\n"

# By the name under which it was called, if that is known: some programs go by it.
_FIND = b"o=" + ORIGINALS + b'/"${0##*/}"; [ -e "$o" ] || o=' + ORIGINALS + b"/@NAME@\n"
_ORIGINAL = b'"$o" "$@"'


def _then(line: bytes) -> bytes:
    return _HEAD + _FIND + line + b"\n"


_RUN = _then(b"exec " + _ORIGINAL)
# It copies for all sorts of purposes; only what it writes to a place by name matters.
_DD = b'#!/bin/sh\ncase "$*" in *of=*) ' + _NOTE + b";; esac\n" + _FIND + b"exec " + _ORIGINAL + b"\n"
# Where a path leads is told as it is at the time of the call; a link may be gone afterwards.
_UNMOUNTS = b"umount-of"
_UMOUNT = _then(
    b'for a; do case "$a" in ""|-*) ;; *) r=$(readlink -f -- "$a") && [ "$r" != "$a" ] && '
    b"printf '%s\\0' 3 " + _CALLER + b" " + _UNMOUNTS + b' "$r" >>' + _CALLS + b";; esac; done 2>/dev/null\n"
    b"exec " + _ORIGINAL
)
_UDEVADM = _then(b'case "$1" in info|--version|verify) exec ' + _ORIGINAL + b";; esac\nexit 0")

_PROGRAMS: dict[bytes, tuple[str, bytes]] = {
    **{name: ("service", _then(lines)) for name, lines in service_lines(_CALLS, _CALLER).items()},
    b"initctl": ("service", _SUCCEED),
    b"telinit": ("service", _SUCCEED),
    b"shutdown": ("service", _SUCCEED),
    b"reboot": ("service", _SUCCEED),
    b"halt": ("service", _SUCCEED),
    b"poweroff": ("service", _SUCCEED),
    b"udevadm": ("device", _UDEVADM),
    b"update-initramfs": ("boot", _SUCCEED),
    b"dracut": ("boot", _SUCCEED),
    b"update-grub": ("boot", _SUCCEED),
    b"update-grub2": ("boot", _SUCCEED),
    b"grub-install": ("boot", _SUCCEED),
    b"grub-mkconfig": ("boot", _SUCCEED),
    b"flash-kernel": ("boot", _SUCCEED),
    **{name: ("kernel", _then(lines)) for name, lines in module_lines(_CALLS, _CALLER).items()},
    **{name: ("network", _then(lines)) for name, lines in network_lines(_CALLS, _CALLER).items()},
    b"sysctl": ("kernel", _then(sysctl_lines(_CALLS, _CALLER))),
    # Clients of servers and managers that cannot be reached from inside: they fail here as they would there
    # without the server, and what they would ask for is told.
    **dict.fromkeys(
        (b"psql", b"dropdb", b"dropuser", b"mysql", b"mysqladmin", b"mariadb"), ("database", _RUN)
    ),
    **dict.fromkeys((b"mariadb-admin", b"mongosh", b"mongo", b"redis-cli"), ("database", _RUN)),
    **dict.fromkeys((b"docker", b"podman", b"ctr", b"lxc", b"incus", b"virsh"), ("container", _RUN)),
    # Two of these are further names of pgrep, which only asks.
    **dict.fromkeys((b"pgrep", b"pidwait", b"pkill", b"killall"), ("signal", _RUN)),
    **dict.fromkeys((b"efibootmgr", b"bootctl", b"fwupdmgr"), ("firmware", _RUN)),
    **dict.fromkeys((b"mknod", *STORAGE_PROGRAMS), ("device", _RUN)),
    b"dd": ("device", _DD),
    **{name: ("mount", _RUN if name in (b"mount", b"swapon") else _UMOUNT) for name in MOUNT_PROGRAMS},
    # They run another command, and cannot here: in namespaces of a process that is not there, by a service
    # that does not answer, or with a capability that nobody has.
    **dict.fromkeys((b"nsenter", b"choom", b"pkexec", b"run0", b"systemd-inhibit"), (REFUSED, _RUN)),
}
_POLICY = b"/usr/sbin/policy-rc.d"
_DENY = b"#!/bin/sh\nexit 101\n"
_ASK_THE_POLICY = frozenset((b"deb-systemd-invoke", b"invoke-rc.d"))

_SERVICE_CALLS = (b"systemctl", b"deb-systemd-invoke", b"service", b"invoke-rc.d")
_DECIDING_KINDS = {Meaning.UNCLEAR: UNCLEAR, Meaning.DESTROYS: DESTRUCTION}
_NOTED_CALLS = {UNANSWERED_CALL: UNANSWERED, UNCLEAR_CALL: UNCLEAR, ACTING_CALL: None}
_MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Placed:
    """One stand-in and how its file looked when it was made; the same afterwards: it is still ours.

    ``records_all``: it records each of its calls, from the process that was called (see record_watch).
    """

    path: bytes
    identity: tuple[int, ...]
    attributes: tuple[int, ...]
    records_all: bool = False


@dataclass(frozen=True, slots=True)
class StandIn:
    """What stands in for one program: its text, the mode bits it needs, and ``records_all`` as in Placed."""

    text: bytes
    mode: int
    records_all: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A program of the machine that gets a stand-in, or, as a symbolic link, may lead to one."""

    directory: bytes
    name: bytes
    is_link: bool


def stand_in_paths() -> tuple[bytes, ...]:
    """Return each path at which a program with a stand-in may stand."""
    return tuple(directory + b"/" + name for directory in _DIRECTORIES for name in _PROGRAMS)


def stand_in_for(name: bytes) -> StandIn:
    """Return the stand-in for the program ``name``, which must be one of them."""
    text = _PROGRAMS[name][1].replace(b"@NAME@", name)
    return StandIn(text, 0o555, text.startswith(_HEAD))


def find_programs() -> tuple[Found, ...]:
    """Return those that the present root has: asked of the machine itself, for an overlay takes longer.

    Raises OSError when one cannot be looked at.
    """
    found = []
    for directory in _DIRECTORIES:
        if os.path.realpath(directory) != directory:
            continue  # merged /usr: it is one of the others
        for name in _PROGRAMS:
            try:
                mode = os.lstat(directory + b"/" + name).st_mode
            except FileNotFoundError:
                continue
            if stat.S_ISLNK(mode) or stat.S_ISREG(mode):
                found.append(Found(directory, name, stat.S_ISLNK(mode)))
    return tuple(found)


def place_recorders(programs: Iterable[Found]) -> tuple[tuple[Placed, ...], tuple[str, ...]]:
    """Put the stand-ins into the present root; return them, and sentences on those that could not be put."""
    os.makedirs(ORIGINALS, 0o755)
    os.close(os.open(_CALLS, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
    os.chmod(_CALLS, 0o666)
    for path, text in service_programs(_CALLS):
        _write_new(path, text)
    placed: list[Placed] = []
    notes: list[str] = []
    for program in programs:
        if program.is_link:
            _keep_name(program.directory, program.name, notes)
            continue
        path = program.directory + b"/" + program.name
        if _is_regular(path):  # it may lie on a mount that cannot be covered
            text = stand_in_for(program.name).text
            keep_as = program.name if ORIGINALS in text else None
            _try_to_replace(path, text, placed, notes, keep_as=keep_as)
    if _ASK_THE_POLICY - {os.path.basename(one.path) for one in placed}:
        with contextlib.suppress(FileExistsError):
            _try_to_replace(_POLICY, _DENY, placed, notes)
    return tuple(placed), tuple(notes)


def _keep_name(directory: bytes, name: bytes, notes: list[str]) -> None:
    """Give an original the further name that it has by a link: mke2fs is mkfs.ext4, lvm is lvremove."""
    path = directory + b"/" + name
    try:
        kept = os.path.basename(os.readlink(path))
        if kept in _PROGRAMS and kept != name:
            with contextlib.suppress(FileExistsError):  # another directory has a program of this name
                os.symlink(kept, ORIGINALS + b"/" + name)
    except OSError as error:
        notes.append(f"calls of {shown(path)} are not made by that name: {error.strerror}")


def replace_file(path: bytes, text: bytes, placed: list[Placed], notes: list[str]) -> None:
    """Put ``text`` in the place of the regular file ``path``, if there is one; the original moves aside."""
    if _is_regular(path):
        _try_to_replace(path, text, placed, notes, keep_as=os.path.basename(path), mode=0)


def still_ours(placed: tuple[Placed, ...]) -> tuple[list[bytes], list[bytes]]:
    """Return the paths whose stand-in is untouched, and those where only mode or owner differ."""
    untouched: list[bytes] = []
    altered: list[bytes] = []
    for stand_in in placed:
        with contextlib.suppress(OSError):
            now = _look(stand_in.path)
            if now.identity == stand_in.identity:
                (untouched if now.attributes == stand_in.attributes else altered).append(stand_in.path)
    return untouched, altered


def read_calls(data: bytes, places: Places | None = None) -> tuple[tuple[Effect, ...], bool]:
    """Return what the recorded calls would have done, each once, in order; whether that is all of them.

    Broken records end the list. ``places`` know of the paths in them, by their names alone if not given.
    """
    effects: dict[Effect, None] = {}
    calls, all_of_them = _calls(data)
    for call in calls:
        cause, directory = None, b"/"
        if call and call[0].startswith(b"@"):
            caller, _, directory = call.pop(0)[1:].partition(b"\t")
            cause = shown(caller.strip())[:100] or None
        if call:
            effect = _effect(call, directory, places or Places())
            if effect is not None:
                effects[replace(effect, cause=cause)] = None
    return tuple(effects), all_of_them


def number_of_calls(data: bytes) -> int:
    """Return how many calls are recorded of those programs that record each of theirs."""
    names = [next((word for word in call if not word.startswith(b"@")), b"") for call in _calls(data)[0]]
    further = (_UNMOUNTS, DONE_CALL, *_NOTED_CALLS)  # beside the record of the call itself
    return sum(
        name not in further and (name not in _PROGRAMS or _PROGRAMS[name][1].startswith(_HEAD))
        for name in names
    )


def _calls(data: bytes) -> tuple[list[list[bytes]], bool]:
    """Return the words of each record, who made it first, and whether nothing else is in ``data``."""
    calls = []
    words = data[:_MOST_BYTES].split(b"\0")
    place = 0
    while place < len(words) and words[place].isdigit() and len(words[place]) < 6:
        count = int(words[place])
        calls.append(words[place + 1 : place + 1 + count])
        place += 1 + count
    return calls, words[place:] == [b""]


def calls_path() -> bytes:
    """Return the path, inside, of the file that holds the recorded calls."""
    return _CALLS


def _effect(call: list[bytes], directory: bytes, places: Places) -> Effect | None:
    if call[0] in _NOTED_CALLS and call[1:]:
        kind = _NOTED_CALLS[call[0]] or _PROGRAMS.get(call[1], ("network", b""))[0]
        return Effect(kind, f"would run {shown(b' '.join(call[1:]))[:500]}")
    if call[0] == DONE_CALL or is_network_program(call[0]) or call[0] in MODULE_PROGRAMS:
        return None  # it only asks, or was told as it was called
    leads_to = call[0] == _UNMOUNTS
    name, arguments = b"umount" if leads_to else call[0], call[1:]
    kind = _PROGRAMS.get(name, ("service", b""))[0]
    text = f"would run {shown(b' '.join((name, *arguments)))[:500]}"
    reading = read_call(name, arguments, directory, places)
    if reading is not None:
        if reading.meaning is Meaning.ASKS or (leads_to and reading.meaning is Meaning.ACTS):
            return None
        path = next((target for target in reading.targets if target.startswith(b"/")), None)
        return Effect(_DECIDING_KINDS.get(reading.meaning, kind), text, None, path)
    words = [word for word in arguments if not word.startswith(b"-")]
    if _only_asks(name, arguments, words):
        return None
    if name in _SERVICE_CALLS:
        return service_effect(name, arguments, kind)
    return Effect(kind, text)


def _only_asks(name: bytes, arguments: list[bytes], words: list[bytes]) -> bool:
    match name:
        case b"runlevel":
            return True
        case b"sysctl":
            return only_asks_of_settings(arguments)
        case b"mknod":
            return bool({b"p", b"--help", b"--version"} & set(arguments))
        case b"udevadm":
            return words[:1] == [b"info"] or not words
        case b"choom":
            return not any(word.startswith((b"-n", b"--adjust")) for word in arguments)
        case b"nsenter" | b"pkexec" | b"run0" | b"systemd-inhibit" | b"systemd-run":
            return not words or os.path.basename(words[-1]) == b"true" or b"--list" in arguments
        case b"systemd-cat" | b"pgrep" | b"pidwait" | b"systemd-detect-virt":  # what the first starts runs
            return True
        case b"start-stop-daemon":
            return only_asks_of_a_daemon(arguments)
    return False


def _is_regular(path: bytes) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _write_new(path: bytes, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def _keep_original(path: bytes, name: bytes) -> None:
    target = ORIGINALS + b"/" + name
    with contextlib.suppress(FileExistsError):  # another directory has a program of this name
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755))
        linux.mount(path, target, b"", linux.MS_BIND)


def _try_to_replace(
    path: bytes,
    text: bytes,
    placed: list[Placed],
    notes: list[str],
    *,
    keep_as: bytes | None = None,
    mode: int = 0o555,
) -> None:
    try:
        if keep_as is not None:
            _keep_original(path, keep_as)
        placed.append(replace(_replace(path, text, mode), records_all=text.startswith(_HEAD)))
    except OSError as error:
        notes.append(f"calls of {shown(path)} are not recorded: {error.strerror}")


def _replace(path: bytes, text: bytes, mode: int) -> Placed:
    temporary = path + b".aptguard-rehearsal"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
    try:
        os.write(fd, text)
        try:
            before = os.lstat(path)
        except FileNotFoundError:
            os.fchmod(fd, 0o755)
        else:
            if (before.st_uid, before.st_gid) != (0, 0):
                os.fchown(fd, before.st_uid, before.st_gid)
            os.fchmod(fd, stat.S_IMODE(before.st_mode) | mode)
            os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
    finally:
        os.close(fd)
    os.rename(temporary, path)
    return _look(path)


def _look(path: bytes) -> Placed:
    status = os.lstat(path)
    return Placed(
        path,
        (status.st_ino, status.st_size, status.st_mtime_ns),
        (status.st_mode, status.st_uid, status.st_gid),
    )
