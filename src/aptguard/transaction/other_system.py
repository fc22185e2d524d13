# SPDX-License-Identifier: GPL-3.0-or-later
"""Which system a call of dpkg works on: this one, another one, or parts of both; standard library only.

dpkg(1): --root and --instdir say below which root files are put, --root and --admindir which package database
is used, and maintainer scripts are run inside of another root unless script-chrootless is forced.
hooks/dpkg-hook asks the same, in shell.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from aptguard.shown import shown
from aptguard.transaction.dpkg_command import DpkgCommand

DATABASE = b"/var/lib/dpkg"


@dataclass(frozen=True, slots=True)
class Places:
    """Where a call of dpkg works; ``scripts_outside``: scripts are run outside of that root."""

    root: bytes = b"/"
    database: bytes = DATABASE
    scripts_outside: bool = False


def places_of(command: DpkgCommand) -> Places:
    """Return where ``command`` makes dpkg work, as far as its words tell."""
    return Places(command.instdir or b"/", command.admindir or DATABASE, command.scripts_outside)


def is_named_root(path: bytes) -> bool:
    """Whether an absolute path is the root directory by its name alone."""
    return normal_path(path) == b"/"


def is_named_database(path: bytes) -> bool:
    """Whether an absolute path is this system's package database by its name alone."""
    return normal_path(path) == DATABASE


def is_another_system(
    places: Places,
    is_this_root: Callable[[bytes], bool] = is_named_root,
    is_this_database: Callable[[bytes], bool] = is_named_database,
) -> bool:
    """Whether the call changes another system and nothing of this one.

    The other two arguments say of a directory whether it is this system's, by whatever name.
    """
    return not (places.scripts_outside or is_this_root(places.root) or is_this_database(places.database))


def why_partly_another(
    places: Places,
    is_this_root: Callable[[bytes], bool] = is_named_root,
    is_this_database: Callable[[bytes], bool] = is_named_database,
) -> str | None:
    """Return in sentences why the call works on parts of two systems, None where it works on one.

    There plan, package database and files do not belong together, and no rehearsal tells anything.
    """
    if is_this_root(places.root):
        if is_this_database(places.database):
            return None
        return f"dpkg works by another package database: its directory is {shown(places.database)}."
    if is_this_database(places.database):
        return (
            f"dpkg works on {shown(places.root)}, but by this machine's own package database. "
            "For another root say --root, which takes the database there."
        )
    if places.scripts_outside:
        return (
            f"dpkg works on {shown(places.root)}, but its scripts would run outside of that root: "
            "script-chrootless, as --force-all has it. Force what is needed by name; if it is meant, "
            "let it pass: aptguard pause --for 30min --reason TEXT."
        )
    return None


def normal_path(path: bytes) -> bytes:
    """Return ``path`` without what does not matter in it, two leading slashes among it, unlike normpath()."""
    normal = posixpath.normpath(path)
    return b"/" + normal.lstrip(b"/") if normal.startswith(b"/") else normal
