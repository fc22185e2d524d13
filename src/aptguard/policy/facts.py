# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge needs to know of the machine, gathered beforehand so that judging is pure.

Everything is limited to what the transaction touched: nothing here grows with the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aptguard.rehearsal.model import Unknown


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
    """What dpkg's status says of one package that the judgement may name.

    ``source`` is the name of its source package; packages of one source are siblings.
    """

    package: str
    architecture: str
    status: str  # the third word: installed, config-files, ...
    version: str
    essential: bool = False
    protected: bool = False
    important: bool = False
    priority: str = ""
    section: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The machine, as far as the transaction touches it.

    ``owners`` maps each changed path (canonical bytes) to the installed packages that list it before the
    transaction, with diversions applied; a path nobody lists is absent. ``listed_after`` are the paths that
    the packages of the transaction list afterwards (new file lists). ``conffiles`` are the conffiles of the
    packages in the transaction, before. ``directories`` are the directories which only packages of the
    transaction list, or that they made for an account of their own. ``locally_modified`` are paths below
    /etc, and conffiles, that differ from what their package shipped.
    ``alternatives`` are link paths that update-alternatives manages.
    ``packages`` are the facts of the packages in the transaction and of all owners, by the same names.

    Owners are named as dpkg does (``${binary:Package}``): with architecture only for Multi-Arch: same.
    ``listed_before`` are the paths which the packages of the transaction list before it. ``replaced`` maps
    a changed path to the installed packages that shipped it and lost it to a package of the transaction by
    Replaces. ``diverted`` maps each path
    that a package of the transaction diverts, before or after, to the place diverted to, and back.
    ``directory_owners`` maps directories above unlisted changed paths to the installed packages outside the
    transaction that list them (directories shared by very many are left out).
    ``copies`` are changed paths that nobody lists, but whose content the package which changes them ships,
    and empty directories that its scripts name;
    ``self_made`` are those which its scripts wrote, and nobody has written since.
    ``added`` are deleted files below directories of packages in /etc that are none of these, that no script
    of the acting package names, and that were not written while its scripts ran.
    ``mount_points`` are the mount points among the directories above unlisted changed paths.
    ``emptied`` are directories that stay, but lose everything in them that no package lists.
    ``role_holders`` maps each role (aptguard.policy.roles) of a package that is taken away to the packages
    that hold it afterwards, ``role_leavers`` to those that go.
    ``own_accounts`` are the vanishing accounts and groups that scripts of the transaction name.
    ``declared_accounts`` are the accounts that sysusers.d(5) declares; ``accounts_coming`` those that files
    which the transaction brings declare, and that are not there when it has ended.
    ``owner_unsure`` are changed paths that nobody lists and that may be files of the ``broken_lists``: of
    packages whose list is damaged or missing. ``problems`` is what
    could not be found out; one of these forbids ``allow``.
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
    listed_before: frozenset[bytes] = frozenset()
    replaced: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    diverted: dict[bytes, bytes] = field(default_factory=dict)
    directory_owners: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    declared_accounts: frozenset[str] = frozenset()
    own_accounts: frozenset[str] = frozenset()
    accounts_coming: tuple[Account, ...] = ()
    copies: frozenset[bytes] = frozenset()
    self_made: frozenset[bytes] = frozenset()
    added: frozenset[bytes] = frozenset()
    mount_points: frozenset[bytes] = frozenset()
    emptied: frozenset[bytes] = frozenset()
    role_holders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    role_leavers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    owner_unsure: frozenset[bytes] = frozenset()
    broken_lists: tuple[str, ...] = ()
    running_kernel: str = ""
    problems: tuple[Unknown, ...] = ()
