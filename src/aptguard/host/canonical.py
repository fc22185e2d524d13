# SPDX-License-Identifier: GPL-3.0-or-later
"""Canonical paths: every directory resolved, the last component never (realpath(dirname)/basename).

dpkg lists paths as the package shipped them (``/bin/tool``), a rehearsal reports where they really stand
(``/usr/bin/tool``). Both sides are compared in the canonical form.
"""

from __future__ import annotations

import os

_MOST_LINKS = 40  # as the kernel's MAXSYMLINKS, path_resolution(7)


class Canonicaliser:
    """Resolves directories below ``root`` as a process in that root would; remembers each of them."""

    def __init__(self, root: bytes = b"/") -> None:
        self.root = root.rstrip(b"/")
        self._directories: dict[bytes, bytes] = {b"/": b"/", b"": b"/"}

    def path(self, path: bytes) -> bytes:
        """Return ``path`` (absolute) with its directories resolved; what does not exist stays as written."""
        if path in (b"/", b"/."):
            return b"/"
        parent, _, name = path.rstrip(b"/").rpartition(b"/")
        if name in (b".", b".."):
            return self.directory(path)
        resolved = self.directory(parent)
        return (b"/" if resolved == b"/" else resolved + b"/") + name

    def directory(self, path: bytes) -> bytes:
        """Return ``path`` resolved including its last component."""
        return self._resolve(path, _MOST_LINKS)

    def _resolve(self, path: bytes, links_left: int) -> bytes:
        known = self._directories.get(path)
        if known is not None:
            return known
        parent, _, name = path.rstrip(b"/").rpartition(b"/")
        above = self._resolve(parent, links_left)
        if name in (b"", b"."):
            resolved = above
        elif name == b"..":
            resolved = above.rpartition(b"/")[0] or b"/"
        else:
            plain = (b"/" if above == b"/" else above + b"/") + name
            target = self._target(plain)
            if target is None or links_left == 0:
                resolved = plain
            else:
                joined = target if target.startswith(b"/") else above.rstrip(b"/") + b"/" + target
                resolved = self._resolve(joined, links_left - 1)
        self._directories[path] = resolved
        return resolved

    def _target(self, path: bytes) -> bytes | None:
        try:
            return os.readlink(self.root + path)
        except (OSError, ValueError):  # no link, nothing there, or a NUL byte
            return None
