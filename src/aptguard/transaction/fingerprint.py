# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes two transactions the same one, and the short name people read out; standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from aptguard.shown import shown
from aptguard.transaction.model import Transaction

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 signs; no 0 O 1 I
_LENGTH = 8


def fingerprint(transaction: Transaction, archive_digests: Mapping[bytes, str]) -> str:
    """Return 64 hexadecimal digits, equal for transactions that would do the same to the machine.

    That is: the same actions on the same versions, the same contents of .deb files wherever they lie, the
    same options and PATH given to dpkg, in whatever order and through whichever front end.
    ``archive_digests`` maps each archive of the transaction to its SHA-256; ValueError names one that lacks.
    """
    items = set()
    for item in transaction.items:
        digest = ""
        if item.archive is not None:
            try:
                digest = archive_digests[item.archive]
            except KeyError:
                raise ValueError(
                    f"the archive {shown(item.archive)} has no digest, so it cannot be told apart"
                ) from None
        items.add(
            (
                item.package,
                item.architecture,
                item.action.value,
                item.old_version or "",
                item.new_version or "",
                digest,
            )
        )
    path = transaction.script_path
    plain = {
        "items": sorted(items),
        "options": [_text(option) for option in transaction.dpkg_options],
        "path": None if path is None else _text(path),
    }
    return hashlib.sha256(
        json.dumps(plain, sort_keys=True, separators=(",", ":")).encode("ascii")
    ).hexdigest()


def short_id(full: str) -> str:
    """Return the first 40 bits of a fingerprint as ``7F3K-92QX``."""
    bits = int(full[:10], 16)
    signs = "".join(ALPHABET[bits >> shift & 31] for shift in range(35, -1, -5))
    return f"{signs[:4]}-{signs[4:]}"


def normalize_id(text: str) -> str:
    """Return the ID that a person typed in its one form; raises ValueError when it cannot be one."""
    signs = "".join(text.upper().replace("-", "").split())
    if not text.isascii() or len(signs) != _LENGTH or any(sign not in ALPHABET for sign in signs):
        raise ValueError(
            f"'{shown(text[:40])}' is no ID of a transaction, which is eight of the signs {ALPHABET}, "
            "as in 7F3K-92QX; 'aptguard log' lists them"
        )
    return f"{signs[:4]}-{signs[4:]}"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
