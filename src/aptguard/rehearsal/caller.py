# SPDX-License-Identifier: GPL-3.0-or-later
"""The process whose call waits for the supervisor's answer, and the answer.

Whatever a call points to is read from /proc as it is right now: the caller, and others of its memory, may
change it in that instant. So it is told, and decides nothing that matters outside.
"""

from __future__ import annotations

import errno
import os
import posixpath
import resource

from aptguard.rehearsal.model import REFUSED
from aptguard.rehearsal.mountinfo import Mount, read_mountinfo

_I386 = 0x40000003  # linux/audit.h
_LONGEST_PATH = 4096
_PAGE = 4096
_HERE = 0xFFFFFF9C  # AT_FDCWD, linux/fcntl.h

Arguments = tuple[int, ...]


class Answer:
    """``error`` is the errno for the caller, 0 for success. ``go_on``: the kernel may decide instead.

    ``tells`` is what the script would have done, for the report; None: nothing is lost by the answer.
    ``kind`` is that of the effect that tells so; REFUSED makes the verdict unknown.
    ``tentative``: only if the same process does not go on to mount(2), which is told by itself.
    """

    # Each rehearsal loads this anew, and making a dataclass would take half a millisecond of it.
    __slots__ = ("error", "go_on", "kind", "tells", "tentative")

    def __init__(
        self,
        error: int,
        tells: str | None = None,
        *,
        go_on: bool = False,
        kind: str = REFUSED,
        tentative: bool = False,
    ) -> None:
        self.error = error
        self.tells = tells
        self.go_on = go_on
        self.kind = kind
        self.tentative = tentative


class Caller:
    """The process that waits.

    ``is_closed``: its memory was asked for, and nobody may read it. ``mounts_anew``: it has tried fsopen(2)
    before, and would not have come to mount(2) on the machine.
    """

    def __init__(self, pid: int, architecture: int) -> None:
        self.pid = pid
        self.is_i386 = architecture == _I386
        self.is_closed = self.mounts_anew = False

    def is_root(self) -> bool:
        """Whether it has root's rights, as far as its user tells (proc_pid(5)); False once it is gone."""
        try:
            return os.stat(b"/proc/%d" % self.pid).st_uid == 0
        except OSError:
            return False

    def memory(self, address: int, length: int) -> bytes:
        """Return at most ``length`` bytes of its memory, fewer or none when they cannot be read."""
        try:
            fd = os.open(b"/proc/%d/mem" % self.pid, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(fd, length, address)
            finally:
                os.close(fd)
        except OSError as error:
            # At an address where nothing is it is EIO. process_vm_readv(2) is bound to the same right.
            self.is_closed |= error.errno in (errno.EPERM, errno.EACCES)
        except OverflowError:
            pass
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

    def path(self, address: int, directory: int = _HERE) -> bytes | None:
        """Return the absolute path at ``address``, with no links followed: looking could wait for ever.

        It is the one outside of a chroot, which its caller may be in. ``directory`` is the descriptor that a
        relative one goes out from (openat(2)).
        """
        named = self.text(address)
        if named is None:
            return None
        try:
            if not named.startswith(b"/"):
                directory &= 0xFFFFFFFF
                link = b"cwd" if directory == _HERE else b"fd/%d" % directory
                return _normal(os.readlink(b"/proc/%d/%s" % (self.pid, link)) + b"/" + named)
            return _normal(self._root() + _normal(named))
        except OSError:
            return None

    def mounts(self) -> dict[bytes, Mount]:
        """Return what is mounted in the rehearsal, by place; the uppermost where several are.

        Of a caller in a chroot only what is below it. Raises OSError, ValueError.
        """
        root = self._root()
        return {_normal(root + point): mount for point, mount in _mounted(b"%d" % self.pid).items()}

    def _root(self) -> bytes:
        return os.readlink(b"/proc/%d/root" % self.pid)

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


def machine_mounts() -> dict[bytes, Mount]:
    """Return what is mounted on the machine, whose mount namespace the supervisor is in, by place.

    Raises OSError, ValueError.
    """
    return _mounted(b"self")


def _mounted(process: bytes) -> dict[bytes, Mount]:
    with open(b"/proc/%s/mountinfo" % process, "rb") as file:
        return {mount.point: mount for mount in read_mountinfo(file.read())}


def _normal(path: bytes) -> bytes:
    return b"/" + posixpath.normpath(path).lstrip(b"/")
