# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts that sysusers.d(5) declares: made when a package is installed, or else at the next boot."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aptguard.policy.facts import Account, Accounts

# In the order of precedence: a file hides those of the same name in later directories (sysusers.d(5)).
DIRECTORIES = (b"/etc/sysusers.d", b"/run/sysusers.d", b"/usr/local/lib/sysusers.d", b"/usr/lib/sysusers.d")
_WORD = re.compile(rb"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s\"']\S*)")
_DEFAULT_HOME = b"/"
_NOT_YET = 0xFFFFFFFE  # a number that nobody has: it is chosen when the account is made


@dataclass(frozen=True, slots=True)
class Declaration:
    """One line of type ``u``; ``home`` is None where none is written, which means ``/``."""

    name: str
    uid: int | None
    home: bytes | None

    @property
    def account(self) -> Account:
        """The account as it would be made."""
        uid = _NOT_YET if self.uid is None else self.uid
        home = self.home
        if home is None:
            home = b"/root" if self.uid == 0 else _DEFAULT_HOME
        return Account(self.name, uid, uid, home, b"")


def declarations(configuration: bytes) -> Iterator[Declaration]:
    """Yield the accounts that the content of a sysusers.d(5) file declares (lines of type ``u`` and ``u!``).

    A home with a specifier in it (``%S``) counts as one of its own.
    """
    for line in configuration.split(b"\n"):
        words = [next((part for part in match if part), b"") for match in _WORD.findall(line)]
        if len(words) < 2 or words[0].rstrip(b"!-+=") != b"u":
            continue
        number = words[2].partition(b":")[0] if len(words) > 2 else b""
        home = words[4] if len(words) > 4 and words[4] not in (b"-", b"") else None
        yield Declaration(
            words[1].decode("utf-8", "surrogateescape"),
            int(number) if number.isdigit() and len(number) <= 10 else None,
            home,
        )


def declared_files(root: bytes = b"") -> dict[bytes, bytes]:
    """Return the paths of the files in force and their contents; what cannot be read is left out."""
    found: dict[bytes, bytes] = {}
    hidden: set[bytes] = set()
    for directory in DIRECTORIES:
        try:
            names = sorted(name for name in os.listdir(root + directory) if name.endswith(b".conf"))
        except OSError:
            continue
        for name in names:
            if name in hidden:
                continue
            hidden.add(name)
            try:
                with open(root + directory + b"/" + name, "rb") as file:
                    found[directory + b"/" + name] = file.read()
            except OSError:
                continue
    return found


def not_yet_made(contents: Iterable[bytes], accounts: Accounts) -> tuple[Account, ...]:
    """Return the accounts that ``contents`` declare and that are not among ``accounts``, as they would be."""
    there = {account.name for account in accounts.accounts}
    coming: dict[str, Account] = {}
    for content in contents:
        for one in declarations(content):
            if one.name not in there:
                coming.setdefault(one.name, one.account)
    return tuple(coming.values())
