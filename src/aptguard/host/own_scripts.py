# SPDX-License-Identifier: GPL-3.0-or-later
"""What the maintainer scripts of a package name: words, and paths written out in full."""

from __future__ import annotations

import re
from functools import cached_property

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.transaction.model import Item

# The scripts that make something. Of a removed package dpkg keeps only the one that takes it away.
_MAKING = (b"postinst", b"preinst", b"config")
_TAKING = (b"postrm",)
_ALL = (b"prerm", *_TAKING)
_LARGEST = 1 << 20  # bytes of one script
_WORD = re.compile(rb"[A-Za-z0-9@%+_.,~-]+")
_NO_LONGER = rb"(?![A-Za-z0-9@%+_.,~-])"
_NO_DEEPER = rb"(?<![A-Za-z0-9@%+_.,~}])"  # but ${HOME:-/srv} names /srv


class OwnScripts:
    """The scripts by which one installed package makes things; of a removed package the one that is left."""

    def __init__(self, item: Item, database: DpkgDatabase) -> None:
        stem = database.info_directory + b"/" + database.list_name(item.package, item.architecture) + b"."
        self._stem = stem
        self._text = _read(stem, _MAKING) or _read(stem, _TAKING)

    @cached_property
    def words(self) -> frozenset[bytes]:
        """All words, the parts of paths among them."""
        return frozenset(_WORD.findall(self._text))

    @cached_property
    def all_words(self) -> frozenset[bytes]:
        """All words of all its scripts, of those that take it away as well."""
        return self.words | frozenset(_WORD.findall(_read(self._stem, _ALL)))

    def names_path(self, path: bytes) -> bool:
        """Return whether ``path`` is written out, alone or as the beginning of a longer path."""
        return re.search(_NO_DEEPER + re.escape(path) + _NO_LONGER, self._text) is not None


def _read(stem: bytes, scripts: tuple[bytes, ...]) -> bytes:
    texts = []
    for script in scripts:
        try:
            with open(stem + script, "rb") as file:
                texts.append(file.read(_LARGEST))
        except OSError:
            continue
    return b"\n".join(texts)
