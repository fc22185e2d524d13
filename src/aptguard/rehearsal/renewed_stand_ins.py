# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins in the place of programs that the transaction itself brings, while it goes on.

The package of a program that has a stand-in (see recorders, questions) puts the real one in its place, and a
script that asks it afterwards would be answered as in a chroot, and seen by nobody. So the supervisor puts a
stand-in there again: before any program goes on that starts after such a path has changed (see Watcher), and
at the end of each step. The real one is kept under another name in the same directory, and moved back when
nothing runs any more, so that the change is told as what it is. Where nobody waits for the supervisor it may
come too late, which is an Unknown.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from aptguard.rehearsal.devices import PRIVATE
from aptguard.rehearsal.linux import openat_in_root
from aptguard.rehearsal.model import Unknown
from aptguard.rehearsal.questions import question_stand_in
from aptguard.rehearsal.recorders import ORIGINALS, StandIn, stand_in_for, stand_in_paths
from aptguard.shown import shown

_WHAT: Final = "what was asked of running services and of devices"
_MODULE, _MODULE_STAND_IN = question_stand_in()
_PATHS: Final = frozenset((*stand_in_paths(), _MODULE))
_KEPT: Final = b".%s.aptguard-rehearsal"
_NEW: Final = b".%s.aptguard-rehearsal-new"
# What ORIGINALS is to the first stand-ins: names that lead to the programs kept there, and to later ones.
_LATER: Final = PRIVATE + b"/later"

Mark = Callable[[int, bool], None]


class _Renewed(NamedTuple):
    directory: int
    identity: tuple[int, ...]
    attributes: tuple[int, ...]


class RenewedStandIns:
    """Those of one rehearsal; does nothing before ``attach``. All is done by the supervisor's one thread."""

    def __init__(self) -> None:
        self._merged = -1
        self._mark: Mark = lambda _fd, _counted: None
        self._ours: set[tuple[int, ...]] = set()
        self._renewed: dict[bytes, _Renewed] = {}
        self._unknowns: dict[Unknown, None] = {}
        self._due = False

    def attach(self, merged: int, ours: Iterable[Iterable[int]], mark: Mark) -> None:
        """Begin. ``ours`` are the identities (see Placed) of the stand-ins that there are below ``merged``.

        ``mark`` is called with a descriptor of each further one, and with whether it records each call.
        """
        self._merged, self._mark = merged, mark
        self._ours.update(map(tuple, ours))

    def changed(self, path: bytes) -> None:
        """Note that somebody has changed ``path``."""
        self._due |= path in _PATHS

    def programs_wait(self, commands: Iterable[Sequence[bytes]], in_time: bool) -> None:
        """Put stand-ins where they are due; ``commands`` are those of programs that wait for that.

        If one of these was started as the real program, it is an Unknown: there is no record of it.
        ``in_time``: none has started since the change that did not wait.
        """
        if not self._due:
            return
        renewed = set(map(os.path.basename, self._renewed_now(in_time)))
        for command in commands:
            # The interpreter of a script is a path, and is given one, after an option at most (execve(2)).
            by_path = command[1:3] if command and command[0].startswith(b"/") else ()
            called = (*command[:1], *(word for word in by_path if b"/" in word))
            for name in renewed & set(map(os.path.basename, called)):
                self._doubt(name, "was called before its calls could be recorded")

    def step_ended(self, in_time: bool) -> None:
        """Put stand-ins where they are due; ``in_time``: ``programs_wait`` was called for each change."""
        if self._merged >= 0 and (self._due or not in_time):
            self._renewed_now(in_time)

    def _renewed_now(self, in_time: bool) -> list[bytes]:
        renewed = self._renew()
        if not in_time:
            for path in renewed:
                self._doubt(
                    path, "was replaced by the transaction, and not all calls since then are recorded"
                )
        return renewed

    def give_back(self) -> tuple[Unknown, ...]:
        """Move the real programs back to where nobody has written to their stand-ins; when nothing runs.

        A changed mode or owner is theirs as well. Returns what could not be recorded, or put back.
        """
        for path, renewed in self._renewed.items():
            try:
                _give_back(os.path.basename(path), renewed)
            except OSError as error:
                self._doubt(path, f"could not be put back after the rehearsal: {error.strerror}")
            finally:
                os.close(renewed.directory)
        self._renewed.clear()
        return tuple(self._unknowns)

    def _doubt(self, path: bytes, sentence: str) -> None:
        self._note(f"{shown(path)} {sentence}")

    def _note(self, reason: str) -> None:
        self._unknowns[Unknown(_WHAT, reason)] = None

    def _renew(self) -> list[bytes]:
        """Return where a stand-in was missing."""
        self._due = False
        found: list[bytes] = []
        links: dict[bytes, bytes] = {}
        directories: dict[bytes, int] = {}
        try:
            for path in _PATHS:
                where, _, name = path.rpartition(b"/")
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    if where not in directories:
                        directories[where] = _open_directory(self._merged, where)
                    if directories[where] < 0:
                        continue
                    status = os.stat(name, dir_fd=directories[where], follow_symlinks=False)
                    if stat.S_ISLNK(status.st_mode):
                        links[name] = os.path.basename(os.readlink(name, dir_fd=directories[where]))
                    if not stat.S_ISREG(status.st_mode) or self._is_ours(directories[where], name, status):
                        continue
                    found.append(path)
                    try:
                        self._put(directories[where], path, status)
                    except OSError as error:
                        self._doubt(
                            path, f"is the real one, and its calls are not recorded: {error.strerror}"
                        )
            self._lead_further(links)
        except OSError as error:
            self._note(f"what came in the place of a stand-in is not seen: {error}")
        finally:
            for directory in directories.values():
                if directory >= 0:
                    os.close(directory)
        return found

    def _is_ours(self, directory: int, name: bytes, status: os.stat_result) -> bool:
        if _identity(status) in self._ours:
            return True
        first = _stand_in(name)
        later = _later_text(first)
        if status.st_size not in (len(first.text), len(later)):
            return False
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            return os.read(fd, len(first.text) + len(later)) in (first.text, later)
        finally:
            os.close(fd)

    def _put(self, directory: int, path: bytes, before: os.stat_result) -> None:
        """Move the program ``path`` aside and put a stand-in there, with the same owner and times."""
        name = os.path.basename(path)
        stand_in = _stand_in(name)
        kept, new = _KEPT % name, _NEW % name
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(new, flags, 0o600, dir_fd=directory)
        try:
            text = _later_text(stand_in)
            if os.write(fd, text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fchown(fd, before.st_uid, before.st_gid)
            os.fchmod(fd, stat.S_IMODE(before.st_mode) | stand_in.mode)
            os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
            self._lead(name, os.path.dirname(path) + b"/" + kept)
            os.rename(name, kept, src_dir_fd=directory, dst_dir_fd=directory)
            try:
                os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                os.rename(kept, name, src_dir_fd=directory, dst_dir_fd=directory)
                raise
            now = os.fstat(fd)
            self._ours.add(_identity(now))
            earlier = self._renewed.pop(path, None)
            if earlier is not None:
                os.close(earlier.directory)
            self._renewed[path] = _Renewed(os.dup(directory), _identity(now), _attributes(now))
            self._mark(fd, stand_in.records_all)
        finally:
            os.close(fd)

    def _lead(self, name: bytes, kept: bytes) -> None:
        """Have the name in _LATER lead to ``kept``."""
        later = openat_in_root(self._merged, PRIVATE, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.basename(_LATER), 0o755, dir_fd=later)
        finally:
            os.close(later)
        later = openat_in_root(self._merged, _LATER, os.O_RDONLY | os.O_DIRECTORY)
        originals = openat_in_root(self._merged, ORIGINALS, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fchmod(later, 0o755)
            for one in os.listdir(originals):
                with contextlib.suppress(FileExistsError):
                    os.symlink(ORIGINALS + b"/" + os.fsencode(one), one, dir_fd=later)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=later)
            os.symlink(kept, name, dir_fd=later)
        finally:
            os.close(originals)
            os.close(later)

    def _lead_further(self, links: Mapping[bytes, bytes]) -> None:
        """Give those that are kept the further names that they have by links: lvm is lvremove."""
        for place in (ORIGINALS, _LATER):
            try:
                directory = openat_in_root(self._merged, place, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # nothing was brought yet
            try:
                for name, kept in links.items():
                    if name == kept:
                        continue  # the same name in another directory
                    with contextlib.suppress(FileExistsError):
                        os.symlink(kept, name, dir_fd=directory)
            finally:
                os.close(directory)


def _stand_in(name: bytes) -> StandIn:
    return _MODULE_STAND_IN if name == os.path.basename(_MODULE) else stand_in_for(name)


def _later_text(stand_in: StandIn) -> bytes:
    return stand_in.text.replace(ORIGINALS, _LATER)


def _open_directory(merged: int, path: bytes) -> int:
    """Return a descriptor, -1 where ``path`` is a link (merged /usr), which leads to another of them."""
    try:
        return openat_in_root(merged, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT):
            return -1
        raise


def _give_back(name: bytes, renewed: _Renewed) -> None:
    directory, kept = renewed.directory, _KEPT % name
    try:
        now = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        now = None
    if now is None or _identity(now) != renewed.identity:
        os.unlink(kept, dir_fd=directory)
        return
    if _attributes(now) != renewed.attributes:
        fd = os.open(kept, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.fchown(fd, now.st_uid, now.st_gid)
            os.fchmod(fd, stat.S_IMODE(now.st_mode))
        finally:
            os.close(fd)
    os.rename(kept, name, src_dir_fd=directory, dst_dir_fd=directory)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _attributes(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mode, status.st_uid, status.st_gid
