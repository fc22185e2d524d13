# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages of a transaction a person has named on the command line; standard library only."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from aptguard.transaction.model import Transaction

# Who says one of these leaves the choice of what goes to the package manager.
_LEFT_TO_APT = frozenset(
    {
        *("autoremove", "autopurge", "auto-remove", "--autoremove", "--auto-remove", "full-upgrade"),
        *("dist-upgrade", "dselect-upgrade", "--pending"),
    }
)
_REMOVING = frozenset({"remove", "purge", "-r", "-P", "--remove", "--purge"})
# apt-get(8): NAME, NAME:ARCH, NAME=VERSION, NAME/RELEASE, NAME+, NAME-
_DECORATION = re.compile(r"(?:[:=/].*)?[+-]?$")


class AskedFor:
    """What the command line says; apt drops quotes from it and cuts long ones off."""

    def __init__(self, transaction: Transaction) -> None:
        self._words = (transaction.command_line or "").split()[1:]
        self._names = {_DECORATION.sub("", word) for word in self._words} | set(self._words)

    @property
    def removal(self) -> bool:
        """Whether a removal was asked for."""
        return not _REMOVING.isdisjoint(self._words)

    @property
    def left_to_apt(self) -> bool:
        """Whether apt was told to choose by itself what goes, or nobody knows what was asked."""
        return not self._words or not _LEFT_TO_APT.isdisjoint(self._words)

    def names(self, package: str) -> bool:
        """Return whether ``package`` (without architecture) was named, by itself or by a pattern."""
        return package in self._names or any(
            fnmatchcase(package, name) for name in self._names if "*" in name or "?" in name
        )
