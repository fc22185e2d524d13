# SPDX-License-Identifier: GPL-3.0-or-later
"""The names under which a package keeps its own places and accounts; standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aptguard.policy.facts import PackageFacts

# Binary packages of one program are told apart by these endings; its directories have none of them.
_ENDING = re.compile(
    r"-(?:base|bin|client|common|config|core|daemon|data|server|service|services|system|tools|utils|dkms"
    r"|dev|doc|minimal|standard|full|light|heavy|all|default|extra|plugins|modules|[0-9][0-9.]*)$"
)
_VERSION = re.compile(r"[0-9][0-9.]*$")
_SHORTEST = 3  # shorter names fit too many directories and accounts


def own_names(package: str, facts: Iterable[PackageFacts] = ()) -> tuple[str, ...]:
    """Return ``package`` itself, its source package, and both without their usual endings."""
    names = [package]
    names += [one.source for one in facts if one.package == package and one.source]
    for name in list(names):
        names += _stems(name)
    return tuple(dict.fromkeys(names))


def _stems(name: str) -> list[str]:
    stems: list[str] = []
    shorter = name
    while True:
        match = _ENDING.search(shorter) or _VERSION.search(shorter)
        if match is None or match.start() < _SHORTEST:
            return stems
        shorter = shorter[: match.start()].rstrip("-")
        stems.append(shorter)


def related_account(account: str, package: str, names: Iterable[str]) -> bool:
    """Return whether an account of this name is plausibly the package's.

    ``_chrony`` and ``Debian-exim`` are spelt after Debian policy 9.2.1 and an older habit; ``sshd`` and
    ``openssh-server``, ``postgres`` and ``postgresql-common`` share only a part.
    """
    plain = account.lstrip("_").removeprefix("Debian-").removeprefix("debian-").lower()
    for name in (package, *names):
        if len(name) >= _SHORTEST and len(plain) >= _SHORTEST and (name in plain or plain in name):
            return True
        beginning = plain[: max(_SHORTEST, len(plain) - 2)]
        if len(beginning) >= _SHORTEST and beginning in name:
            return True
    return False
