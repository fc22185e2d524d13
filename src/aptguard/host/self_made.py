# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that no package lists, but that the acting package made itself and nobody has changed since.

Maintainer scripts copy templates into place and write small configuration files, and take them away at
the end. Two kinds of evidence that nothing of anybody's is lost with such a file:

* its content is one that the package ships (deb-md5sums(5), or the sums of its conffiles), or
* a script of the package names the file, and it was written last while dpkg ran the package's scripts.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from aptguard.changes.model import Change, FileType
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.dpkg_log import Interval, script_runs
from aptguard.host.own_scripts import OwnScripts
from aptguard.host.shipped_files import shipped_sums
from aptguard.policy.by_products import original_names
from aptguard.policy.shared_directories import SHARED_DIRECTORIES
from aptguard.rehearsal.model import RehearsalResult
from aptguard.transaction.model import Item, Transaction

_MOST_CANDIDATES = 1000  # who deletes more than this does not tidy up after itself
_MOST_READ = 200
_MOST_EMPTY = 20
_LARGEST_READ = 1 << 20  # bytes
_SETTLING = 60.0  # seconds in which a service that was just started makes its files
_CONFIGURING = 300.0  # seconds from the unpacking of a package to the end of its configuration


@dataclass(frozen=True, slots=True)
class SelfMade:
    """``copies`` have a content that the package ships; ``written`` were written last by its scripts.

    ``empty`` are deleted directories that had nothing in them and that its scripts name in full. ``added``
    are deleted files below a directory of a package in /etc of which nothing of the kind is known.
    """

    copies: frozenset[bytes] = frozenset()
    written: frozenset[bytes] = frozenset()
    empty: frozenset[bytes] = frozenset()
    added: frozenset[bytes] = frozenset()


def self_made(
    transaction: Transaction, result: RehearsalResult, database: DpkgDatabase, known: frozenset[bytes]
) -> SelfMade:
    """Return the changed paths outside ``known`` that the package which changed them made itself.

    ``known`` are the paths that somebody lists. Where the rehearsal did not see who changed a path, one of
    the transaction's packages must have made it. Raises DpkgDatabaseError when sums cannot be read.
    """
    candidates = [
        change
        for change in result.changes
        if change.before is not None
        and change.kinds
        and change.path not in known
        and change.before.type in (FileType.REGULAR, FileType.SYMLINK)
    ]
    if len(candidates) > _MOST_CANDIDATES:
        return SelfMade()
    items = {item.package: item for item in transaction.items}
    copies, written = _copies(candidates, items, database), _written(candidates, items, database)
    left = [change for change in candidates if change.path not in copies | written]
    return SelfMade(
        copies, written, _empty(result, known, items, database), added_files(left, items, database)
    )


def _copies(candidates: Iterable[Change], items: dict[str, Item], database: DpkgDatabase) -> frozenset[bytes]:
    """Return the candidates whose content their package ships."""
    shipped: dict[str, frozenset[bytes]] = {}
    found = set()
    left = _MOST_READ
    for change in candidates:
        node = change.before
        if (
            node is None
            or node.type is not FileType.REGULAR
            or not 0 < node.size <= _LARGEST_READ
            or not left
        ):
            continue
        left -= 1
        digest = _digest(database.path_below_root(change.path))
        for package in _actors(change, items):
            if package not in shipped:
                shipped[package] = _sums(items[package], database)
            if digest in shipped[package]:
                found.add(change.path)
    return frozenset(found)


def _written(
    candidates: Iterable[Change], items: dict[str, Item], database: DpkgDatabase
) -> frozenset[bytes]:
    """Return the candidates that a script of their package names and that were last written while it ran."""
    words: dict[str, frozenset[bytes]] = {}
    named: list[tuple[Change, str]] = []
    for change in candidates:
        name = change.path.rpartition(b"/")[2]
        for package in _actors(change, items):
            if package not in words:
                words[package] = OwnScripts(items[package], database).words
            if name in words[package]:
                named.append((change, package))
    if not named:
        return frozenset()
    runs = script_runs(database, {package for _, package in named})
    return frozenset(change.path for change, package in named if _during(change, runs.get(package, ())))


def added_files(
    candidates: Iterable[Change], items: dict[str, Item], database: DpkgDatabase
) -> frozenset[bytes]:
    """Return the deleted files below /etc/NAME that a person must have put there.

    No script of the package that deletes them names them, the package brings no file of that name, and they
    were written at another time than it was installed or configured (a service that it starts may write a
    little later).
    """
    found = [
        change
        for change in candidates
        if change.deleted
        and change.before is not None
        and change.before.type is FileType.REGULAR
        and change.before.size > 0
        and change.path.startswith(b"/etc/")
        and change.path.count(b"/") > 2
        and change.path.rpartition(b"/")[0] not in SHARED_DIRECTORIES
    ]
    if not found:
        return frozenset()
    packages = {package for change in found for package in _actors(change, items)}
    names = {package: _known_names(items[package], database) for package in packages}
    runs = {package: _installations(items[package], database) for package in packages}
    for package, logged in script_runs(database, packages).items():
        runs[package] += tuple((start, end + _SETTLING) for start, end in logged)
    return frozenset(
        change.path
        for change in found
        if not any(
            not names[package].isdisjoint(_names_of(change.path)) or _during(change, runs[package])
            for package in _actors(change, items)
        )
    )


def _names_of(path: bytes) -> list[bytes]:
    """Return the last component of ``path``, and of what it may be a copy of."""
    return [one.rpartition(b"/")[2] for one in (path, *original_names(path))]


def _known_names(item: Item, database: DpkgDatabase) -> frozenset[bytes]:
    """Return the words of the package's scripts, and the last components of the paths that it lists."""
    listed = database.file_list(item.package, item.architecture)
    return OwnScripts(item, database).all_words | frozenset(path.rpartition(b"/")[2] for path in listed)


def _installations(item: Item, database: DpkgDatabase) -> tuple[Interval, ...]:
    """Return when dpkg last unpacked the package, by its list: what the log does not tell any more."""
    name = database.list_name(item.package, item.architecture)
    try:
        written = os.stat(database.info_directory + b"/" + name + b".list").st_mtime
    except OSError:
        return ()
    return ((written - _SETTLING, written + _CONFIGURING),)


def _empty(
    result: RehearsalResult, known: frozenset[bytes], items: dict[str, Item], database: DpkgDatabase
) -> frozenset[bytes]:
    """Return the deleted directories in which nothing was, and which scripts of their package name."""
    filled = {change.path.rpartition(b"/")[0] for change in result.changes if change.before is not None}
    found = set()
    for change in result.changes:
        if (
            change.deleted
            and change.before is not None
            and change.before.type is FileType.DIRECTORY
            and change.path not in known
            and change.path not in filled
            and any(
                OwnScripts(items[package], database).names_path(change.path)
                for package in _actors(change, items)
            )
        ):
            found.add(change.path)
            if len(found) == _MOST_EMPTY:
                break
    return frozenset(found)


def _actors(change: Change, items: dict[str, Item]) -> list[str]:
    if change.cause is not None and change.cause.package is not None:
        package = change.cause.package.partition(":")[0]
        return [package] if package in items else []
    return list(items)


def _during(change: Change, runs: tuple[Interval, ...]) -> bool:
    if change.before is None:
        return False
    written = change.before.mtime_ns / 1e9
    return any(start <= written < end for start, end in runs)


def _sums(item: Item, database: DpkgDatabase) -> frozenset[bytes]:
    stanza = database.stanza(item.package, item.architecture)
    conffiles = b"" if stanza is None else stanza.fields.get(b"conffiles", b"")
    return frozenset(shipped_sums(database, item.package, item.architecture).values()) | frozenset(
        line.split()[1] for line in conffiles.split(b"\n") if len(line.split()) > 1
    )


def _digest(path: bytes) -> bytes:
    try:
        # The machine goes on while it is judged: the path may have become a FIFO or a link.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            content = file.read(_LARGEST_READ)
    except OSError:
        return b""
    return hashlib.md5(content, usedforsecurity=False).hexdigest().encode()
