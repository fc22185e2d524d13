# SPDX-License-Identifier: GPL-3.0-or-later
"""What a package shipped, by its md5sums (/var/lib/dpkg/info/*.md5sums, deb-md5sums(5)).

Unlike the list of files it keeps a path after another package took the file over by Replaces. It has
neither conffiles nor symbolic links.
"""

from __future__ import annotations

import hashlib

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.errors import DpkgDatabaseError
from aptguard.shown import shown

_LARGEST = 64 << 20  # bytes; no configuration file is larger


def shipped_sums(database: DpkgDatabase, package: str, architecture: str = "") -> dict[bytes, bytes]:
    """Return {path as written: MD5 in hex} of the package, empty when it came without sums."""
    path = database.info_directory + b"/" + database.list_name(package, architecture) + b".md5sums"
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DpkgDatabaseError(f"Cannot read {shown(path)}: {error.strerror}.") from error
    sums = {}
    for line in data.split(b"\n"):
        digest, blank, name = line.partition(b"  ")
        if blank:
            sums[b"/" + name.removeprefix(b"./").lstrip(b"/")] = digest
    return sums


def differs_from(path: bytes, digest: bytes) -> bool:
    """Return whether the regular file ``path`` is there and has another MD5 than ``digest``."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST)
    except OSError:
        return False
    return hashlib.md5(content, usedforsecurity=False).hexdigest().encode() != digest
