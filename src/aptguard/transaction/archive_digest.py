# SPDX-License-Identifier: GPL-3.0-or-later
"""The contents of .deb files by digest; thin edge, standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from aptguard.shown import shown


def archive_digests(paths: Iterable[bytes]) -> Mapping[bytes, str]:
    """Return the SHA-256 of each file in hexadecimal, by path.

    Raises OSError that names the file when one cannot be read.
    """
    return {path: _digest(path) for path in dict.fromkeys(paths)}


def _digest(path: bytes) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OSError(error.errno, f"cannot read the archive {shown(path)}: {error.strerror}") from error
