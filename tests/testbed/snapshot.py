# SPDX-License-Identifier: GPL-3.0-or-later
"""A witness from outside: every file of a machine by content, mode and owner, before and after."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# Views of the kernel and of running processes, not files of the machine.
NOT_FILES = (b"/proc", b"/sys", b"/dev", b"/run")

# Clocks and logs: they change by themselves, or because somebody only looked. Nothing else may.
MAY_CHANGE = (
    ("/var/log/*", "logs"),
    ("/var/log", "logs come and go"),
    ("/var/lib/systemd/*", "time stamps of timers, random seed"),
    ("/var/lib/systemd", "the same"),
    ("/var/lib/dhcp/*", "leases"),
    ("/var/lib/aptguard/*", "the guard's own record of what it judged"),
    ("/var/lib/aptguard", "the same"),
    ("/var/cache/apt/*", "what apt computes from its lists, and what it downloaded"),
    ("/var/cache/apt", "the same"),
    ("/var/lib/apt/*", "package lists and marks of apt itself"),
    ("/var/lib/apt", "the same"),
    ("/var/lib/dpkg/lock*", "lock files, made on first use"),
    ("/var/lib/dpkg/status-old", "the backup copy that dpkg makes when it is only asked"),
    ("/var/lib/dpkg/triggers/Lock", "the same"),
    ("/var/tmp/systemd-private-*", "private directories of services"),
    ("/tmp/systemd-private-*", "the same"),
    ("/etc/resolv.conf", "given by the test bed"),
    ("*.pyc", "compiled when first imported"),
    ("*/__pycache__", "the same"),
)

# A running PostgreSQL: may be written, must not vanish.
POSTGRESQL_WRITES = (
    ("/var/lib/postgresql/*/pg_wal/*", "the write-ahead log"),
    ("/var/lib/postgresql/*/global/pg_control", "holds the time of the last checkpoint"),
    ("/var/lib/postgresql/*/pg_internal.init", "a cache made when a session starts"),
    ("/var/lib/postgresql/*/pg_stat*", "statistics"),
    ("/var/lib/postgresql/*/pg_logical/*", "written at each checkpoint"),
    ("/var/lib/postgresql/*/postmaster.pid", "the state of the server"),
    ("/var/lib/postgresql/*/base/*", "hint bits and visibility maps; the test asks for the rows themselves"),
    ("/var/lib/postgresql/*/global/*", "the same"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one path is: its type, permissions, owner, and content (a digest, or where a link leads)."""

    kind: str
    mode: int
    uid: int
    gid: int
    content: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that is not as it was."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


Snapshot = dict[bytes, Entry]


def take(root: str | bytes, below: Iterable[str] = ("/",)) -> Snapshot:
    """Return every file of the machine whose root the host sees at ``root`` (``guest.path("/")``).

    Times of modification are not part of it. Mounted file systems are entered, except views of the
    kernel. A file that vanishes while it is read is left out.
    """
    top = os.fsencode(root).rstrip(b"/")
    found: Snapshot = {}
    for start in below:
        for path in _walk(top, os.fsencode(start)):
            try:
                found[path] = _entry(top + path)
            except FileNotFoundError:
                continue
    return found


def differences(before: Snapshot, after: Snapshot) -> list[Difference]:
    """Return all differences, sorted by path."""
    found = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        shown = os.fsdecode(path)
        if new is None:
            found.append(Difference(shown, "vanished"))
        elif old is None:
            found.append(Difference(shown, f"appeared ({new.kind})"))
        else:
            parts = [part for part in Entry.__slots__ if getattr(old, part) != getattr(new, part)]
            found.append(Difference(shown, f"changed ({', '.join(parts)})"))
    return found


def harm(before: Snapshot, after: Snapshot, writes: Iterable[tuple[str, str]] = ()) -> list[Difference]:
    """Return the differences that clocks and logs do not explain.

    :param writes: pairs of pattern and reason for files that a running service may write; if such
        a file is not there any more, it is reported all the same.
    """
    return [
        difference
        for difference in differences(before, after)
        if not _matches(difference.path, MAY_CHANGE)
        and not (difference.what != "vanished" and _matches(difference.path, writes))
    ]


def vanished(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the paths that are gone and not among clocks and logs."""
    return [d.path for d in harm(before, after) if d.what == "vanished"]


def _matches(path: str, patterns: Iterable[tuple[str, str]]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern, _ in patterns)


def _walk(top: bytes, start: bytes) -> Iterator[bytes]:
    waiting = [start.rstrip(b"/")]
    while waiting:
        directory = waiting.pop()
        if directory in NOT_FILES:
            continue
        if directory:
            yield directory
        try:
            with os.scandir(top + directory + b"/") as entries:
                for entry in entries:
                    path = directory + b"/" + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(path)
                    else:
                        yield path
        except (FileNotFoundError, NotADirectoryError):
            continue


def _entry(path: bytes) -> Entry:
    status = os.lstat(path)
    kind, content = "special", f"{status.st_rdev}"
    if stat.S_ISREG(status.st_mode):
        kind = "file"
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha1").hexdigest()
    elif stat.S_ISDIR(status.st_mode):
        kind, content = "directory", ""
    elif stat.S_ISLNK(status.st_mode):
        kind, content = "link", os.fsdecode(os.readlink(path))
    return Entry(kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, content)
