# SPDX-License-Identifier: GPL-3.0-or-later
"""dpkg's file lists (/var/lib/dpkg/info/*.list), as they stand and searched in one pass."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aptguard.host.canonical import Canonicaliser
from aptguard.host.errors import DpkgDatabaseError
from aptguard.shown import shown

# For a canonical path: (name of the list, path as the list has it).
Listings = dict[bytes, list[tuple[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class ListFile:
    """One list: ``name`` is the package as dpkg names the file (``libc6:amd64``).

    The rest tells one version of the list from the next.
    """

    name: bytes
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class FileList:
    """The paths of one list in dpkg's order, and how many lines of it are no paths."""

    paths: tuple[bytes, ...]
    odd_lines: int


def parse_list(data: bytes) -> FileList:
    """Return the paths in ``data``; ``/.`` stands for the root directory and is left out.

    dpkg itself refuses a list with an empty line or without a final newline (lib/dpkg/db-fsys-files.c):
    those, and what is not absolute, are counted as odd.
    """
    lines = data.split(b"\n")
    odd = 0
    if lines[-1]:
        odd += 1
    lines.pop()
    paths = tuple(line for line in lines if line.startswith(b"/") and line != b"/.")
    odd += sum(1 for line in lines if not line.startswith(b"/"))
    return FileList(paths, odd)


def list_files(directory: bytes) -> Iterator[ListFile]:
    """Yield each list in dpkg's info directory; raises DpkgDatabaseError when that cannot be read."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(b".list"):
                    status = entry.stat(follow_symlinks=False)
                    yield ListFile(entry.name[:-5], status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        raise _unreadable(directory, error) from error


def read_list(directory: bytes, name: bytes) -> FileList:
    """Return the list of ``name``; raises DpkgDatabaseError when it is not there or cannot be read."""
    path = directory + b"/" + name + b".list"
    try:
        with open(path, "rb") as file:
            return parse_list(file.read())
    except OSError as error:
        raise _unreadable(path, error) from error


def search_lists(
    directory: bytes, wanted: frozenset[bytes], canonical: Canonicaliser, expected: Iterable[bytes] = ()
) -> tuple[Listings, frozenset[bytes]]:
    """Return (for each of ``wanted`` that is listed: (list's name, path as written) pairs, odd lists' names).

    A list that is ``expected`` but missing, or that cannot be read, counts as odd. Reads every list once:
    about 50 ms for 900 packages, the same for one path as for a hundred thousand.
    """
    names_wanted = {path.rpartition(b"/")[2] for path in wanted}
    found: Listings = {}
    odd = set(expected)
    for file in list_files(directory):
        odd.discard(file.name)
        try:
            file_list = read_list(directory, file.name)
        except DpkgDatabaseError:
            odd.add(file.name)
            continue
        if file_list.odd_lines:
            odd.add(file.name)
        for path in file_list.paths:
            if path.rpartition(b"/")[2] in names_wanted:
                real = canonical.path(path)
                if real in wanted:
                    found.setdefault(real, []).append((file.name, path))
    return found, frozenset(odd)


def _unreadable(path: bytes, error: OSError) -> DpkgDatabaseError:
    return DpkgDatabaseError(
        f"Cannot read {shown(path)} of dpkg's database: {error.strerror}; "
        "without it nobody can say which package a file belongs to."
    )
