# SPDX-License-Identifier: GPL-3.0-or-later
"""What the walk carries from step to step: a directory to read, a path to judge; standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from aptguard.changes.entry import Entry, join
from aptguard.changes.layer import OpenLayer
from aptguard.changes.marks import Marks


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory still to be read; ``upper``, ``lower``: whether it stands there, ``origin``: see above."""

    layer: OpenLayer
    path: bytes
    upper: bool
    lower: bool
    origin: bytes | None

    @property
    def is_merged(self) -> bool:
        """Whether what the upper does not hold is as it was."""
        return self.upper and self.lower and self.origin == self.path


@dataclass(frozen=True, slots=True)
class Pair:
    """One path: what stood there, what stands there now, and where that comes from."""

    directory: Directory
    path: bytes
    lower: Entry | None
    after: Entry | None  # None: nothing
    marks: Marks | None  # None: it is a lower entry that shows here
    xattrs: dict[str, bytes] | None
    origin: bytes | None  # the lower path of its content or of its entries

    @property
    def renamed_from(self) -> bytes | None:
        """The absolute path it came from, None if it did not move."""
        if self.origin is None or self.origin == self.path:
            return None
        return self.directory.layer.full_path(self.origin)


def redirected(redirect: bytes, parent: bytes | None) -> bytes | None:
    """Return the lower path a redirect names; None for a name beside an origin that does not exist.

    overlayfs.rst, "Renaming directories": absolute from the root of the overlay, or one name.
    """
    if redirect.startswith(b"/"):
        return redirect.strip(b"/")
    return None if parent is None else join(parent, redirect)
