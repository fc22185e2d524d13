# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that mean something else where a file system knows no case: EFI and efi on a FAT are one directory.

A copy that stands in for such a file system in a rehearsal does tell them apart. So what scripts and programs
name there is looked up in either way; where that makes a difference, the outcome is unknown.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

from aptguard.changes.model import Change
from aptguard.rehearsal import linux
from aptguard.rehearsal.lower_entries import LowerLayer
from aptguard.rehearsal.model import Unknown
from aptguard.rehearsal.mountinfo import is_below
from aptguard.shown import shown

Listing = Callable[[bytes], Collection[bytes]]  # the names in a directory; none where there is no such

_QUOTES = b"\"'"
_MOST_NAMED = 20
_MOST_TEXT = 1 << 20  # bytes of a script


class Layer(LowerLayer, Protocol):
    """One overlay, and whether names of the machine's own file system there know no case."""

    @property
    def ignores_case(self) -> bool:
        """Return it."""


def in_other_case(path: bytes, listing: Listing) -> bytes | None:
    """Return what ``path`` leads to where case is ignored, as far as it exists; None if it is what it says.

    Both are relative to the root of the file system, and so is what ``listing`` is asked for; pure. A
    component with a pattern of the shell's ends the search: the shell compares names by itself. At the end of
    a name dots do not count on a FAT.
    """
    place = b""
    differs = False
    for name in path.split(b"/"):
        if name in (b"", b"."):
            continue
        if name == b"..":
            place = place.rpartition(b"/")[0]
            continue
        names = () if re.search(rb"[*?\[]", name) else listing(place)
        found: bytes | None = name
        if name not in names:
            found = next((other for other in names if _folded(other) == _folded(name)), None)
            if found is None:
                break
            differs = True
        place = b"/".join(filter(None, (place, found)))
    return place if differs else None


def _folded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").rstrip(".").casefold()


def paths_named(text: bytes, point: bytes) -> Iterator[bytes]:
    """Yield the paths below the absolute ``point`` that ``text``, of a script, spells out; relative to it.

    A component of which a part is left to a variable, and what follows it, is not among them.
    """
    if point not in text:
        return
    ends = rb"\s;|&<>()$`{},=:"
    pattern = rb"(?<![\w./-])" + re.escape(point) + rb"(/[^" + ends + rb"]*)([$`{]?)"
    for match in re.finditer(pattern, text.translate(None, _QUOTES)):
        path = match[1]
        if match[2]:
            path = path[: path.rindex(b"/")]
        yield path.strip(b"/")


def paths_in_command(argv: Sequence[bytes], directory: bytes, point: bytes) -> Iterator[bytes]:
    """Yield the paths below ``point`` that a command line names, relative to it.

    ``directory`` is the working directory, empty where it is not known.
    """
    for word in argv[1:]:
        if not word.startswith(b"/"):
            yield from paths_named(word, point)  # dd's of=FILE, a shell's -c
        if word.startswith(b"/") or (directory and not word.startswith(b"-")):
            path = os.path.normpath(os.path.join(directory, word)).replace(b"//", b"/")
            if is_below(path, point):
                yield path[len(point) :].strip(b"/")


class CaselessPlaces:
    """The layers whose file systems know no case, and what was named in them."""

    def __init__(self, layers: Iterable[Layer] = ()) -> None:
        self._layers = [layer for layer in layers if layer.ignores_case]
        self._names: dict[tuple[bytes, bytes], frozenset[bytes]] = {}
        self._found: dict[tuple[bytes, bytes], Unknown] = {}

    def __bool__(self) -> bool:
        return bool(self._layers)

    def script(self, fd: int) -> None:
        """Take in the text of the script that is open as ``fd``; raises OSError."""
        text = os.pread(fd, _MOST_TEXT, 0) if self._layers else b""
        for layer in self._layers:
            for path in paths_named(text, layer.mount_point):
                self._look_up(layer, path)

    def command(self, pid: int, argv: Sequence[bytes]) -> None:
        """Take in the command line of the process ``pid``, which must still be there for its directory."""
        if not self._layers:
            return
        directory = b""
        with contextlib.suppress(OSError):
            directory = os.readlink(b"/proc/%d/cwd" % pid)
        for layer in self._layers:
            for path in paths_in_command(argv, directory, layer.mount_point):
                self._look_up(layer, path)

    def made(self, changes: Iterable[Change]) -> None:
        """Take in what stands where nothing did."""
        for layer in self._layers:
            for change in changes:
                if change.before is None and is_below(change.path, layer.mount_point):
                    self._look_up(layer, change.path[len(layer.mount_point) :].strip(b"/"))

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """Return an Unknown for each name that means something else there, at most 20."""
        return tuple(self._found.values())[:_MOST_NAMED]

    def unseen(self, reason: str) -> tuple[Unknown, ...]:
        """Return an Unknown for each place, where it was not seen what was named there."""
        return tuple(
            Unknown(
                f"the file system at {shown(layer.mount_point)}",
                f"its names know no case, and what scripts name there is not seen: {reason}",
                layer.mount_point,
            )
            for layer in self._layers
        )

    def _look_up(self, layer: Layer, path: bytes) -> None:
        real = in_other_case(path, lambda directory: self._listing(layer, directory))
        if real is None or (layer.mount_point, real) in self._found:
            return
        there, named = (layer.mount_point + b"/" + name for name in (real, path))
        reason = (
            f"upper and lower case are one there, and a script names {shown(named)}; "
            "the rehearsal tells them apart, so changes in it are not seen"
        )
        self._found[layer.mount_point, real] = Unknown(f"what becomes of {shown(there)}", reason, there)

    def _listing(self, layer: Layer, directory: bytes) -> frozenset[bytes]:
        key = layer.mount_point, directory
        if key not in self._names:
            names: frozenset[bytes] = frozenset()
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                fd = linux.openat_in_root(layer.lower, directory or b".", os.O_RDONLY | os.O_DIRECTORY)
                try:
                    names = frozenset(os.listdir(b"/proc/self/fd/%d" % fd))
                finally:
                    os.close(fd)
            self._names[key] = names
        return self._names[key]
