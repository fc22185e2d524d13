# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge needs to know of the machine, gathered beforehand so that judging is pure.

Everything is limited to what the transaction touched: nothing here grows with the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Account:
    """One line of passwd(5)."""

    name: str
    uid: int
    gid: int
    home: bytes
    shell: bytes


@dataclass(frozen=True, slots=True)
class Group:
    """One line of group(5)."""

    name: str
    gid: int
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class Accounts:
    """passwd(5) and group(5); ``broken`` are lines that could not be read, escaped."""

    accounts: tuple[Account, ...] = ()
    groups: tuple[Group, ...] = ()
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """What dpkg's status says of one package that the judgement may name."""

    package: str
    architecture: str
    status: str  # the third word: installed, config-files, ...
    version: str
    essential: bool = False
    protected: bool = False
    important: bool = False
    priority: str = ""
    section: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The machine, as far as the transaction touches it.

    ``owners`` maps each changed path (canonical bytes) to the installed packages that list it before the
    transaction, with diversions applied; a path nobody lists is absent. ``listed_after`` are the paths that
    the packages of the transaction list afterwards (new file lists). ``conffiles`` are the conffiles of the
    packages in the transaction, before. ``directories`` are the directories which only packages of the
    transaction list. ``locally_modified`` are paths below /etc that differ from what their package shipped.
    ``alternatives`` are link paths that update-alternatives manages.
    ``packages`` are the facts of the packages in the transaction and of all owners.
    """

    owners: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    listed_after: frozenset[bytes] = frozenset()
    conffiles: frozenset[bytes] = frozenset()
    directories: frozenset[bytes] = frozenset()
    locally_modified: frozenset[bytes] = frozenset()
    alternatives: frozenset[bytes] = frozenset()
    accounts_before: Accounts = field(default_factory=Accounts)
    accounts_after: Accounts = field(default_factory=Accounts)
    packages: dict[str, PackageFacts] = field(default_factory=dict)
