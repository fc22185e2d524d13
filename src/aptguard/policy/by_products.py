# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that editors, dpkg and ucf give to copies of a configuration file; standard library only."""

from __future__ import annotations


def original_names(path: bytes) -> list[bytes]:
    """Return the files whose by-product ``path`` could be.

    The endings that dpkg itself purges (dpkg.h, REMOVECONFFEXTS), and those of ucf(1) and
    dpkg-maintscript-helper(1).
    """
    directory, slash, name = path.rpartition(b"/")
    found = [path.removesuffix(ending) for ending in _BY_PRODUCTS if path.endswith(ending)]
    if len(name) > 2 and name.startswith(b"#") and name.endswith(b"#"):
        found.append(directory + slash + name[1:-1])
    beginning, tilde, number = path.removesuffix(b"~").rpartition(b"~")
    if tilde and path.endswith(b"~") and number.isdigit():
        found.append(beginning)
    return found


_BY_PRODUCTS = (
    *(b"~", b".bak", b"%", b".dpkg-tmp", b".dpkg-new", b".dpkg-old", b".dpkg-dist"),
    *(b".ucf-old", b".ucf-new", b".ucf-dist", b".ucf-tmp"),
    *(b".dpkg-bak", b".dpkg-backup", b".dpkg-remove"),
    b".disabled",  # how packages put a part of their configuration out of force when they are removed
)
