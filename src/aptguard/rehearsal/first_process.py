# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/1 of a rehearsal: what the machine's shows, for scripts look there for signs of a chroot.

The init process of the rehearsal shows its own directory to no one (see confinement): a script that compares
/ with /proc/1/root, or asks for the name of pid 1, would go the way of a chroot. So a directory that cannot
be written to stands over it, with copies of what can be read of the machine's pid 1. What must hold: once it
stands there, nothing in the init process goes by /proc/self, nor by /proc/net and /proc/mounts, which lead
through it.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from aptguard.rehearsal import linux
from aptguard.rehearsal.model import Unknown

_PLACE: Final = b"/proc/1"
_COPIED: Final = (
    b"cgroup cmdline comm environ gid_map limits loginuid oom_score oom_score_adj sched sessionid setgroups "
    b"stat statm status uid_map"
).split()
_OF_MOUNTS: Final = (b"mountinfo", b"mounts", b"mountstats")
_NAMESPACES: Final = (b"cgroup", b"ipc", b"mnt", b"net", b"pid", b"time", b"user", b"uts")
_MOST_BYTES: Final = 1 << 20
# Not there, or not shown to us: nor is it to a script, which has no more rights than the guard.
_NOT_SHOWN: Final = (FileNotFoundError, NotADirectoryError, PermissionError, ProcessLookupError)


class FirstProcess:
    """The machine's; to be made before any namespace is left."""

    def __init__(self) -> None:
        self._files: dict[bytes, tuple[bytes, int]] = {}
        self._links: dict[bytes, bytes] = {}
        self._has_other_root = self._shares_mounts = False
        self._failure: OSError | None = None
        try:
            self._look()
        except OSError as error:
            self._failure = error

    def _look(self) -> None:
        for name in _COPIED:
            self._copy(name)
        self._copy_link(b"exe")
        try:
            same = os.path.samestat(os.stat(_PLACE + b"/root"), os.stat(b"/"))
            self._has_other_root = not same
            if same:
                self._links[b"root"] = b"/"
                self._copy_link(b"cwd")
            here = os.readlink(b"/proc/self/ns/mnt")
            self._shares_mounts = os.readlink(_PLACE + b"/ns/mnt") == here
        except _NOT_SHOWN:
            pass
        for name in _OF_MOUNTS:
            if self._shares_mounts:  # a script finds its own mounts there
                self._links[name] = b"../self/" + name
            else:
                self._copy(name)

    def _copy(self, name: bytes) -> None:
        try:
            with open(_PLACE + b"/" + name, "rb") as file:
                content = file.read(_MOST_BYTES)
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except _NOT_SHOWN:
            return
        # Who may not trace it cannot read its mounts, whatever the mode says (proc(5)).
        self._files[name] = content, 0o400 if name in _OF_MOUNTS else mode

    def _copy_link(self, name: bytes) -> None:
        try:
            self._links[name] = os.readlink(_PLACE + b"/" + name)
        except _NOT_SHOWN:
            return

    def show(self, directory: bytes, target: bytes) -> list[Unknown]:
        """Make ``directory`` and mount it on ``target``; return what scripts would see otherwise than there.

        To be called in the namespaces of the rehearsal.
        """
        try:
            if self._failure is not None:
                raise self._failure
            self._build(directory)
            linux.mount(directory, target, b"", linux.MS_BIND)
            flags = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
            linux.mount(b"none", target, b"", linux.MS_BIND | linux.MS_REMOUNT | flags)
        except OSError as error:
            reason = f"/proc/1 does not show what it does on the machine: {error.strerror}"
            return [Unknown("whether scripts take this for a chroot", reason)]
        return []

    def _build(self, directory: bytes) -> None:
        os.mkdir(directory)
        for name, (content, mode) in self._files.items():
            _write(directory + b"/" + name, content, mode)
        for name, aim in self._links.items():
            os.symlink(aim, directory + b"/" + name)
        if self._has_other_root:  # it can be looked at, and is not the root of any script
            os.mkdir(directory + b"/root")
        if self._shares_mounts:  # scripts ask whether they are in the same ones
            os.mkdir(directory + b"/ns")
            for name in _NAMESPACES:
                os.symlink(os.readlink(b"/proc/self/ns/" + name), directory + b"/ns/" + name)
            os.chmod(directory + b"/ns", 0o511)
        before = os.lstat(_PLACE)
        os.chmod(directory, 0o555)
        os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))


def _write(path: bytes, content: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
