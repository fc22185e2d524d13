# SPDX-License-Identifier: GPL-3.0-or-later
"""What the supervisor answers to calls that root may make on the machine and nobody in a rehearsal.

A refusal that a script hides (``|| true``) would hide what the script does after such a call on the machine.
So each refusal of something that could have succeeded there is told, and makes the verdict unknown; unless
it can be answered as done, so that what follows is seen. Not told is what programs try and do without, and
what fails on the machine as well.
"""

from __future__ import annotations

import errno
import os
import posixpath
import resource
import struct
from collections.abc import Callable

from aptguard.rehearsal.mount_plan import KERNEL_KINDS, KERNEL_PLACES
from aptguard.rehearsal.mountinfo import Mount, is_below, read_mountinfo
from aptguard.shown import shown

_I386 = 0x40000003  # linux/audit.h
_LONGEST_PATH = 4096
_PAGE = 4096
# linux/mount.h
_READ_ONLY, _REMOUNT, _BIND, _MOVE = 1, 32, 4096, 8192
_MAGIC, _MAGIC_MASK = 0xC0ED0000, 0xFFFF0000
_CLONE_OF_TREE = 1
# linux/ptrace.h: without one of these no process is traced.
_TRACE_ME, _ATTACH, _SEIZE = 0, 16, 0x4206
_CTRL_ALT_DEL = (0, 0x89ABCDEF)  # linux/reboot.h: whether the keys restart the machine
# Programs that only try whether there are namespaces, and their sandboxes that can write to no file.
_TRIED = frozenset({b"true", b"false", b":"})
_WRITABLE = frozenset(
    b"--bind --bind-try --bind-fd --dev-bind --dev-bind-try --overlay --ro-overlay --args".split()
)


class Answer:
    """``error`` is the errno for the caller, 0 for success. ``go_on``: the kernel may decide instead.

    ``tells`` is what the script would have done, for the report; None: nothing is lost by the answer.
    ``tentative``: only if the same process does not go on to mount(2), which is told by itself.
    """

    # Each rehearsal loads this anew, and making a dataclass would take half a millisecond of it.
    __slots__ = ("error", "go_on", "tells", "tentative")

    def __init__(
        self, error: int, tells: str | None = None, *, go_on: bool = False, tentative: bool = False
    ) -> None:
        self.error = error
        self.tells = tells
        self.go_on = go_on
        self.tentative = tentative


class Caller:
    """The process that waits for an answer; what it points to is read from /proc, as it is right now."""

    def __init__(self, pid: int, architecture: int) -> None:
        self.pid = pid
        self.is_i386 = architecture == _I386

    def memory(self, address: int, length: int) -> bytes:
        """Return at most ``length`` bytes of its memory, fewer or none when they cannot be read."""
        try:
            fd = os.open(b"/proc/%d/mem" % self.pid, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(fd, length, address)
            finally:
                os.close(fd)
        except (OSError, OverflowError):
            return b""

    def text(self, address: int) -> bytes | None:
        """Return the string at ``address``, None when there is none that can be read."""
        found = b""
        while address and len(found) < _LONGEST_PATH:
            # Not past the page: the next one may not be there.
            part = self.memory(address + len(found), _PAGE - (address + len(found)) % _PAGE)
            if not part:
                return None
            found += part
            if b"\0" in part:
                return found.split(b"\0", 1)[0]
        return None

    def path(self, address: int) -> bytes | None:
        """Return the absolute path at ``address``, with no links followed: looking could wait for ever."""
        named = self.text(address)
        if named is None:
            return None
        try:
            directory = b"/" if named.startswith(b"/") else os.readlink(b"/proc/%d/cwd" % self.pid)
        except OSError:
            return None
        return b"/" + posixpath.normpath(posixpath.join(directory, named)).lstrip(b"/")

    def mounts(self) -> dict[bytes, Mount]:
        """Return what is mounted, by place; the uppermost where several are. Raises OSError, ValueError."""
        with open(b"/proc/%d/mountinfo" % self.pid, "rb") as file:
            return {mount.point: mount for mount in read_mountinfo(file.read())}

    def command(self) -> list[bytes]:
        """Return the words of its command line, none when they cannot be read."""
        try:
            with open(b"/proc/%d/cmdline" % self.pid, "rb") as file:
                return file.read(1 << 16).rstrip(b"\0").split(b"\0")
        except OSError:
            return []

    def hard_limit(self, number: int) -> int:
        """Return its hard limit of a resource (getrlimit(2)). Raises OSError, ValueError."""
        return resource.prlimit(self.pid, number)[1] & (1 << 64) - 1


Arguments = tuple[int, ...]


def only_tries(command: list[bytes]) -> bool:
    """Whether a program that asks for namespaces of its own needs none of them to do harm; pure.

    ``unshare --user true`` looks whether that works; among other words ``true`` may be one that rm is given.
    bwrap that was given nothing to write to can change no file, whatever runs in it; nor can what is done
    instead.
    """
    if len(command) < 2:
        return False
    *options, last = command[1:]
    if os.path.basename(last) in _TRIED and all(word.startswith(b"-") for word in options):
        return True
    return os.path.basename(command[0]) == b"bwrap" and _WRITABLE.isdisjoint(command)


def _new_namespaces(caller: Caller, _arguments: Arguments) -> Answer:
    command = caller.command()
    if only_tries(command):
        return Answer(errno.EPERM)
    return Answer(errno.EPERM, f"would run in namespaces of its own: {shown(b' '.join(command))[:300]}")


def _mount(caller: Caller, arguments: Arguments) -> Answer:
    source, place, kind, flags = arguments[:4]
    if flags & _MAGIC_MASK == _MAGIC:
        flags &= ~_MAGIC_MASK
    target = caller.path(place)
    if target is None:
        return Answer(errno.EPERM, "would mount something")
    if flags & _REMOUNT:
        return _remount(caller, target, flags)
    what = caller.text(source) or b"something"
    if not flags & (_BIND | _MOVE) and (of_kind := caller.text(kind)):
        if of_kind in KERNEL_KINDS and _is_kernels(target):
            return Answer(errno.EPERM)
        what = of_kind if what in (b"none", b"something", of_kind) else of_kind + b" " + what
    return Answer(errno.EPERM, f"would mount {shown(what)[:200]} at {shown(target)}")


def _remount(caller: Caller, target: bytes, flags: int) -> Answer:
    told = Answer(errno.EPERM, f"would mount {shown(target)} with other options")
    try:
        mount = caller.mounts().get(target)
    except (OSError, ValueError):
        return told
    if mount is None:
        return Answer(errno.EINVAL)
    # As it is now more can be changed than after it.
    return told if mount.read_only and not flags & _READ_ONLY else Answer(0)


def _unmount(caller: Caller, arguments: Arguments) -> Answer:
    target = caller.path(arguments[0])
    if target is None:
        return Answer(errno.EPERM, "would unmount something")
    if _is_kernels(target):
        return Answer(errno.EPERM)
    try:
        if target not in caller.mounts():
            return Answer(errno.EINVAL)
    except (OSError, ValueError):
        pass
    return Answer(errno.EPERM, f"would unmount {shown(target)}")


def _is_kernels(target: bytes) -> bool:
    return any(is_below(target, place) for place in KERNEL_PLACES)


def _new_file_system(caller: Caller, arguments: Arguments) -> Answer:
    kind = caller.text(arguments[0]) or b"some"
    tells = None if kind in KERNEL_KINDS else f"would mount a file system of kind {shown(kind)}"
    return Answer(errno.ENOSYS, tells, tentative=True)


def _open_tree(caller: Caller, arguments: Arguments) -> Answer:
    if not arguments[2] & _CLONE_OF_TREE:
        return Answer(errno.ENOSYS)
    path = caller.path(arguments[1])
    named = "something" if path is None else shown(path)
    return Answer(errno.ENOSYS, f"would mount {named} at another place", tentative=True)


def _trace(_caller: Caller, arguments: Arguments) -> Answer:
    begins = arguments[0] in (_TRACE_ME, _ATTACH, _SEIZE)
    return Answer(errno.EPERM, "would trace a process" if begins else None)


def _reboot(_caller: Caller, arguments: Arguments) -> Answer:
    keys = arguments[2] & 0xFFFFFFFF in _CTRL_ALT_DEL
    return Answer(errno.EPERM, None if keys else "would stop or restart the machine")


def _set_limit(caller: Caller, arguments: Arguments) -> Answer:
    return _raise_limit(caller, arguments[0], arguments[1], "=II" if caller.is_i386 else "=QQ")


def _set_limit_of(caller: Caller, arguments: Arguments) -> Answer:
    if arguments[0] & 0xFFFFFFFF:
        return Answer(0, go_on=True)  # of another process
    return _raise_limit(caller, arguments[1], arguments[2], "=QQ")


def _raise_limit(caller: Caller, number: int, address: int, form: str) -> Answer:
    """Let the kernel decide; but say that a hard limit is higher where it would say that this is refused."""
    wanted = caller.memory(address, struct.calcsize(form))
    try:
        (_, hard) = struct.unpack(form, wanted)
        if form == "=II" and hard == 0xFFFFFFFF:
            hard = (1 << 64) - 1
        return Answer(0, go_on=hard <= caller.hard_limit(number & 0xFFFFFFFF))
    except (OSError, ValueError, struct.error):
        return Answer(0, go_on=True)


def _always(detail: str) -> Callable[[Caller, Arguments], Answer]:
    return lambda _caller, _arguments: Answer(errno.EPERM, detail)


_MODULE = _always("would change the modules of the kernel")
_KERNEL_AFTER = _always("would load another kernel")

# By the name of the call, as in seccomp.reported_calls.
ANSWERS: dict[str, Callable[[Caller, Arguments], Answer]] = {
    "clone": _new_namespaces,
    "unshare": _new_namespaces,
    "mount": _mount,
    "umount": _unmount,
    "umount2": _unmount,
    "fsopen": _new_file_system,
    "open_tree": _open_tree,
    "pivot_root": _always("would change the root of the file systems"),
    "setns": _always("would enter another namespace"),
    "ptrace": _trace,
    "reboot": _reboot,
    "setrlimit": _set_limit,
    "prlimit64": _set_limit_of,
    "delete_module": _MODULE,
    "finit_module": _MODULE,
    "init_module": _MODULE,
    "kexec_file_load": _KERNEL_AFTER,
    "kexec_load": _KERNEL_AFTER,
}
