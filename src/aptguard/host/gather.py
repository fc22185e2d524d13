# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts for one judgement: what the machine says of the paths and packages that a rehearsal touched."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from aptguard.changes.model import Kind
from aptguard.host.accounts import read_accounts
from aptguard.host.conffiles import conffile_list_paths, edited_conffiles, given_up
from aptguard.host.diversions import read_diversions
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.errors import DpkgDatabaseError
from aptguard.host.file_lists import parse_list
from aptguard.host.own_files import OwnFiles, read_own_files
from aptguard.host.self_made import self_made
from aptguard.host.service_homes import own_accounts, service_homes
from aptguard.host.shipped_files import differs_from, shipped_sums
from aptguard.host.status_file import PRESENT
from aptguard.host.sysusers import declarations, declared_files, not_yet_made
from aptguard.host.what_stays import emptied_directories, role_holders
from aptguard.policy.facts import Accounts, Facts
from aptguard.policy.roles import Role
from aptguard.policy.shared_directories import SHARED_DIRECTORIES
from aptguard.rehearsal.model import RehearsalResult, Unknown
from aptguard.shown import shown
from aptguard.transaction.model import Item, Transaction

_PASSWD = b"/etc/passwd"
_GROUP = b"/etc/group"
_DIVERSIONS = b"/var/lib/dpkg/diversions"
_SYSUSERS = b"/usr/lib/sysusers.d"


def files_to_collect(transaction: Transaction, database: DpkgDatabase) -> tuple[bytes, ...]:
    """Return the files and directories whose content after the rehearsal gather_facts needs."""
    paths = [_PASSWD, _GROUP, _DIVERSIONS, _SYSUSERS]
    for item in transaction.items:
        if not item.action.takes_away:
            paths.extend((*_list_paths(item), *conffile_list_paths(item)))
    return tuple(dict.fromkeys(paths))


def gather_facts(
    transaction: Transaction, result: RehearsalResult, database: DpkgDatabase, roles: Sequence[Role] = ()
) -> Facts:
    """Return what the judge needs to know of the machine.

    ``database`` is the machine's, unchanged by the rehearsal; ``roles`` are the policy's. Raises
    DpkgDatabaseError when it cannot be read; what could not be found out of the state *after* the rehearsal
    stands in ``problems``.
    """
    problems: list[Unknown] = []
    own = read_own_files(transaction, database)
    listed_after = _listed_after(transaction, result, database, problems)
    touched = [change for change in result.changes if change.before is not None]
    foreign = {name for change in touched for name in (change.path, *change.other_names)}
    own_listed = own.listed | listed_after
    above = _directories_above(change.path for change in result.changes if change.path not in own_listed)
    asked = database.owners_as_far_as_known(foreign | above)
    owners = asked.known
    _demand_lists_of_instances(transaction, asked.broken)
    names = {name for path in foreign for name in owners.get(path, ())}
    replaced = _replaced(transaction, result, database, own)
    names.update(name for owned_by in replaced.values() for name in owned_by)
    names.update((*own.binary_packages, *asked.broken))
    others = {
        directory: outside
        for directory in above
        if (outside := tuple(one for one in owners.get(directory, ()) if one not in own.binary_packages))
    }
    made = self_made(transaction, result, database, own_listed | own.conffiles | frozenset(owners))
    accounts_before = read_accounts(_read(database, _PASSWD), _read(database, _GROUP))
    accounts_after = _accounts_after(result, database, accounts_before, problems)
    holders = role_holders(transaction, database, roles, listed_after)
    return Facts(
        owners={path: owners[path] for path in foreign if path in owners},
        listed_after=listed_after,
        conffiles=own.conffiles,
        directories=frozenset(directory for directory in above & own_listed if directory not in others)
        | service_homes(transaction, database, (above | foreign) - owners.keys(), accounts_before),
        locally_modified=_locally_modified(transaction, result, database, own)
        | edited_conffiles(transaction, result, database),
        alternatives=frozenset(database.canonical.path(link) for link in database.alternatives[0]),
        accounts_before=accounts_before,
        accounts_after=accounts_after,
        packages=database.package_facts(sorted(names)),
        listed_before=own.listed,
        replaced=replaced,
        diverted=_diverted(transaction, result, database, problems),
        declared_accounts=(frozenset() if accounts_before == accounts_after else _declared(result, database)),
        directory_owners=others,
        own_accounts=own_accounts(transaction, database, accounts_before, accounts_after),
        accounts_coming=not_yet_made(_brought_declarations(result), accounts_after),
        copies=made.copies | made.empty,
        self_made=made.written,
        added=made.added,
        mount_points=frozenset(above.intersection(result.mount_points)),
        emptied=emptied_directories(above, result, database, own_listed),
        role_holders=holders.staying,
        role_leavers=holders.leaving,
        owner_unsure=asked.unsure & foreign - own_listed - own.conffiles,
        broken_lists=asked.broken,
        running_kernel="" if database.root else os.uname().release,
        problems=tuple(problems),
    )


def _demand_lists_of_instances(transaction: Transaction, broken: Iterable[str]) -> None:
    """Raise where a list is broken of a package that the transaction has for another architecture.

    The two share files, so that a path which the one lists may be the other's all the same.
    """
    for name in broken:
        if name.partition(":")[0] in transaction.packages:
            raise DpkgDatabaseError(
                f"dpkg's list of the files of {shown(name)} is damaged or missing; reinstall the package to "
                "get a sound one."
            )


def _list_paths(item: Item) -> tuple[bytes, ...]:
    # dpkg's own command line does not say whether a package is Multi-Arch: same, so both names are wanted.
    return tuple(
        b"/var/lib/dpkg/info/" + name.encode("utf-8", "surrogateescape") + b".list"
        for name in (item.qualified, item.package)
    )


def _listed_after(
    transaction: Transaction, result: RehearsalResult, database: DpkgDatabase, problems: list[Unknown]
) -> frozenset[bytes]:
    listed: set[bytes] = set()
    diversions = database.diversions
    for item in transaction.items:
        if item.action.takes_away:
            continue
        found = [content for path in _list_paths(item) if (content := result.collected.get(path)) is not None]
        if found:
            after = parse_list(found[0])
            if after.odd_lines:
                problems.append(
                    Unknown(
                        f"file list of {item.package}",
                        f"after the rehearsal it has {after.odd_lines} lines that are no paths",
                    )
                )
            paths = after.paths
        else:
            # A run that was cut off may not have come to unpacking; then its incompleteness says so.
            if result.complete and item.action.unpacks:
                problems.append(
                    Unknown(f"file list of {item.package}", "dpkg had written none when the rehearsal ended")
                )
            paths = database.file_list(item.package, item.architecture)
        obsolete = given_up(item, result, database)
        listed.update(
            database.canonical.path(diversions.place_of(item.package, path))
            for path in paths
            if path not in obsolete
        )
    return frozenset(listed)


def _directories_above(paths: Iterable[bytes]) -> set[bytes]:
    """Return the directories above ``paths``, without those that are shared by very many packages."""
    found: set[bytes] = set()
    for path in paths:
        parent = path.rpartition(b"/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition(b"/")[0]
    return found - SHARED_DIRECTORIES


def _replaced(
    transaction: Transaction, result: RehearsalResult, database: DpkgDatabase, own: OwnFiles
) -> dict[bytes, tuple[str, ...]]:
    """Return the deleted paths that an installed package shipped, by that package (see shipped_files)."""
    deleted = {change.path for change in result.changes if change.deleted and change.path in own.listed}
    victims: set[str] = set()
    for item in transaction.items:
        stanza = database.stanza(item.package, item.architecture)
        if stanza is not None and deleted:
            victims.update(stanza.replaces - transaction.packages)
    found: dict[bytes, list[str]] = {}
    for instances in database.stanzas(victims).values():
        for stanza in instances.values():
            if stanza.status in PRESENT:
                for path in shipped_sums(database, stanza.package, stanza.architecture):
                    place = database.canonical.path(path)
                    if place in deleted:
                        found.setdefault(place, []).append(stanza.binary_package)
    return {path: tuple(sorted(names)) for path, names in found.items()}


def _locally_modified(
    transaction: Transaction, result: RehearsalResult, database: DpkgDatabase, own: OwnFiles
) -> frozenset[bytes]:
    candidates = {
        change.path
        for change in result.changes
        if change.path.startswith(b"/etc/")
        and (change.deleted or Kind.CONTENT in change.kinds)
        and change.path in own.listed
        and change.path not in own.conffiles
    }
    modified = set()
    if candidates:
        for item in transaction.items:
            for path, digest in shipped_sums(database, item.package, item.architecture).items():
                place = database.canonical.path(path)
                if place in candidates and differs_from(database.path_below_root(place), digest):
                    modified.add(place)
    return frozenset(modified)


def _diverted(
    transaction: Transaction, result: RehearsalResult, database: DpkgDatabase, problems: list[Unknown]
) -> dict[bytes, bytes]:
    tables = [database.diversions]
    after = result.collected.get(_DIVERSIONS)
    if after is not None:
        try:
            tables.append(read_diversions(after))
        except DpkgDatabaseError as error:
            problems.append(Unknown("diversions after the rehearsal", str(error)))
    counterparts: dict[bytes, bytes] = {}
    for table in tables:
        for one in table.by_path.values():
            if one.package in transaction.packages:
                path, place = database.canonical.path(one.path), database.canonical.path(one.diverted_to)
                counterparts[path], counterparts[place] = place, path
    return counterparts


def _accounts_after(
    result: RehearsalResult, database: DpkgDatabase, before: Accounts, problems: list[Unknown]
) -> Accounts:
    changed = {change.path for change in result.changes}
    contents = []
    for path in (_PASSWD, _GROUP):
        if path in result.collected:
            contents.append(result.collected[path] or b"")
        else:
            if path in changed:
                problems.append(
                    Unknown("accounts", "its content after the rehearsal was not brought out", path)
                )
                return before
            contents.append(_read(database, path))
    after = read_accounts(contents[0], contents[1])
    for line in after.broken:
        if line not in before.broken:
            problems.append(
                Unknown("accounts", f"the rehearsal left a line that cannot be read: {line[:120]}")
            )
    return after


def _declared(result: RehearsalResult, database: DpkgDatabase) -> frozenset[str]:
    after = (content for path, content in result.collected.items() if path.startswith(_SYSUSERS + b"/"))
    contents = [*declared_files(database.root).values(), *filter(None, after)]
    return frozenset(one.name for content in contents for one in declarations(content))


def _brought_declarations(result: RehearsalResult) -> list[bytes]:
    """Return the contents of the files in sysusers.d that are new or altered after the rehearsal."""
    changed = {change.path for change in result.changes if not change.deleted}
    return [
        content
        for path, content in result.collected.items()
        if content is not None and path in changed and path.startswith(_SYSUSERS + b"/")
    ]


def _read(database: DpkgDatabase, path: bytes) -> bytes:
    try:
        with open(database.path_below_root(path), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise DpkgDatabaseError(f"Cannot read {shown(path)}: {error.strerror}.") from error
