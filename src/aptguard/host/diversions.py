# SPDX-License-Identifier: GPL-3.0-or-later
"""dpkg's diversions: where a package's file really stands (dpkg-divert(1))."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aptguard.host.errors import DpkgDatabaseError
from aptguard.shown import shown


@dataclass(frozen=True, slots=True)
class Diversion:
    """``package`` may have its file at ``path``; everyone else's goes to ``diverted_to``.

    ``package`` is None for a local diversion, which applies to all packages.
    """

    path: bytes
    diverted_to: bytes
    package: str | None


@dataclass(frozen=True, slots=True)
class Diversions:
    """All diversions, by the path and by the place diverted to; both as they are written."""

    by_path: dict[bytes, Diversion] = field(default_factory=dict)
    by_place: dict[bytes, Diversion] = field(default_factory=dict)

    def place_of(self, package: str, path: bytes) -> bytes:
        """Return where the file ``path`` of ``package`` (without architecture) really stands."""
        diversion = self.by_path.get(path)
        if diversion is None or diversion.package == package:
            return path
        return diversion.diverted_to

    def canonical(self, canonical: Callable[[bytes], bytes]) -> Diversions:
        """Return the same diversions with both ends run through ``canonical``."""
        return _tables(
            Diversion(canonical(one.path), canonical(one.diverted_to), one.package)
            for one in self.by_path.values()
        )


def read_diversions(data: bytes) -> Diversions:
    """Return the diversions in ``data``, the content of /var/lib/dpkg/diversions.

    Three lines each: the path, the place diverted to, the package or ``:`` (dpkg: lib/dpkg/db-fsys-divert.c).
    Raises DpkgDatabaseError when the lines do not come in threes or a path is not absolute.
    """
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) % 3:
        raise DpkgDatabaseError(
            f"The list of diversions has {len(lines)} lines, not a multiple of three; "
            "see /var/lib/dpkg/diversions and its copy diversions-old."
        )
    found = []
    for start in range(0, len(lines), 3):
        path, place, package = lines[start : start + 3]
        for one in (path, place):
            if not one.startswith(b"/"):
                raise DpkgDatabaseError(
                    f"The list of diversions has the line '{shown(one)[:80]}' where a path should be."
                )
        name = package.decode("utf-8", "surrogateescape")
        found.append(Diversion(path, place, None if name == ":" else name))
    return _tables(found)


def _tables(diversions: Iterable[Diversion]) -> Diversions:
    tables = Diversions()
    for one in diversions:
        tables.by_path[one.path] = one
        tables.by_place[one.diverted_to] = one
    return tables
