# SPDX-License-Identifier: GPL-3.0-or-later
"""What one call of plain dpkg is about to do: its command line, dpkg's database and the .deb files it names.

The items say what the call is about (for the record, the fingerprint and the facts); what is rehearsed is
the call itself, so that nothing here has to guess what dpkg makes of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from aptguard.host.archive_control import control_of
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.rehearsal.dpkg_sequence import KEEP_CONFFILES
from aptguard.rehearsal.model import Step
from aptguard.transaction.dpkg_command import DpkgCommand
from aptguard.transaction.model import Action, Item, Transaction
from aptguard.transaction.package_state import PackageState

_DPKG = b"/usr/bin/dpkg"
_GONE = frozenset(("not-installed",))

States = Mapping[tuple[str, str], PackageState]


def transaction_from_dpkg(
    command: DpkgCommand, database: DpkgDatabase, cwd: bytes, text: str, purged: Sequence[bytes] = ()
) -> Transaction:
    """Return the transaction of one dpkg call that changes packages; ``text`` is its command line.

    ``purged`` are the packages that will be purged after the call has removed them (names_to_be_purged).
    Raises ArchiveError when a .deb file cannot be read, DpkgDatabaseError.
    """
    states = database.states()
    items: tuple[Item, ...]
    match command.action:
        case "install" | "unpack":
            items = tuple(_unpacked(archive, states, database) for archive in _archives(command, cwd))
        case "remove" | "purge":
            items = tuple(
                _item(
                    key,
                    Action.PURGE if command.action == "purge" or _name(key) in purged else Action.REMOVE,
                    database,
                )
                for key in _chosen(command, states)
            )
        case _:
            items = tuple(_item(key, Action.CONFIGURE, database) for key in _chosen(command, states))
    return Transaction("dpkg", items, command_line=text, dpkg_options=command.options)


def names_to_be_purged(command: DpkgCommand, database: DpkgDatabase) -> tuple[bytes, ...]:
    """Return the packages of a front end's ``--remove`` that it will purge later in its run.

    By then it has written its wishes into dpkg's selections, and first calls ``--remove`` for both kinds.
    """
    if command.action != "remove":
        return ()
    states = database.states()
    return tuple(_name(key) for key in _chosen(command, states) if states[key].selection == "purge")


def steps_of_dpkg(command: DpkgCommand, cwd: bytes, purged: Sequence[bytes] = ()) -> tuple[Step, ...]:
    """Return the call as it will be made, without what binds it to its caller; then the purge."""
    words = [_DPKG, *command.options, KEEP_CONFFILES]
    words += [b"--pending"] if command.pending else []
    words += [b"--recursive"] if command.recursive else []
    words.append(b"--" + os.fsencode(command.action or "configure"))
    operands = command.names or tuple(os.path.join(cwd, archive) for archive in command.archives)
    steps = [Step((*words, *([b"--", *operands] if operands else [])))]
    if purged:
        steps.append(Step((_DPKG, *command.options, b"--force-depends", b"--purge", b"--", *purged)))
    return tuple(steps)


def _archives(command: DpkgCommand, cwd: bytes) -> Iterator[bytes]:
    for operand in command.archives:
        path = os.path.join(cwd, operand)
        if not command.recursive:
            yield path
            continue
        for directory, _, names in os.walk(path):
            yield from (os.path.join(directory, name) for name in sorted(names) if name.endswith(b".deb"))


def _unpacked(archive: bytes, states: States, database: DpkgDatabase) -> Item:
    control = control_of(archive)
    name, version, architecture = control.package, control.version, control.architecture
    installed = next((key for key in states if key[0] == name and states[key].status not in _GONE), None)
    old = None
    if installed is not None and states[installed].status != "config-files":
        stanza = database.stanza(*installed)
        old = stanza.text(b"version") if stanza else None
    action = Action.INSTALL if old is None else Action.REINSTALL if old == version else Action.UPGRADE
    return Item(name, architecture, action, old_version=old, new_version=version, archive=archive)


def _chosen(command: DpkgCommand, states: States) -> list[tuple[str, str]]:
    if command.pending:
        return [key for key, state in states.items() if _is_pending(command.action, state)]
    chosen = []
    for word in command.names:
        name, _, architecture = os.fsdecode(word).partition(":")
        chosen += [
            key
            for key, state in states.items()
            if key[0] == name and architecture in ("", key[1]) and state.status not in _GONE
        ]
    return chosen


def _is_pending(action: str | None, state: PackageState) -> bool:
    if state.status in _GONE:
        return False
    match action:
        case "purge":
            return state.selection == "purge"
        case "remove":
            return state.selection in ("deinstall", "purge") and state.status != "config-files"
        case _:
            return state.status in ("unpacked", "half-configured", "triggers-awaited", "triggers-pending")


def _name(key: tuple[str, str]) -> bytes:
    # dpkg takes "name:all" for no package that is installed under the native architecture.
    return os.fsencode(key[0] if key[1] == "all" else f"{key[0]}:{key[1]}")


def _item(key: tuple[str, str], action: Action, database: DpkgDatabase) -> Item:
    stanza = database.stanza(*key)
    return Item(key[0], key[1], action, old_version=stanza.text(b"version") if stanza else None)
