# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocol 3 of apt's DPkg::Pre-Install-Pkgs: from bytes to a Transaction; standard library only.

Source: apt.conf(5), and SendPkgsInfo in apt-pkg/deb/dpkgpm.cc, unchanged from apt 2.6 to 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aptguard.shown import shown
from aptguard.transaction.configuration import AptConfiguration
from aptguard.transaction.dpkg_command import DpkgCommand, DpkgCommandError, read_dpkg_command
from aptguard.transaction.frontend import is_dselect_upgrade, recognise_frontend, recorded_command_line
from aptguard.transaction.model import Action, Item, Transaction
from aptguard.transaction.other_system import (
    DATABASE,
    is_another_system,
    is_named_database,
    is_named_root,
    normal_path,
    places_of,
    why_partly_another,
)
from aptguard.transaction.package_state import PackageState
from aptguard.transaction.purge_or_remove import purge_or_remove

MAXIMUM_BYTES = 64 << 20
MAXIMUM_ITEMS = 500_000

_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9+._-]*\Z")
_VERSION = re.compile(rb"[A-Za-z0-9.+~:_-]+\Z")
_ARCHITECTURE = re.compile(rb"(?:-|[A-Za-z0-9][A-Za-z0-9-]*)\Z")
_MULTI_ARCH = frozenset((b"none", b"same", b"foreign", b"allowed"))
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ESCAPE = re.compile(rb"%(?P<hex>[0-9a-fA-F]{2})?")
_OPTIONS_OVERRIDDEN = (
    "some configuration overrides DPkg::Tools::Options for aptguard's hook; "
    "see the output of 'apt-config dump'"
)


class ProtocolError(ValueError):
    """The input is not what apt sends with protocol 3; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class AptItem:
    """One line of apt's plan. ``what`` is ``**REMOVE**``, ``**CONFIGURE**`` or the path of a .deb file."""

    package: str
    old_version: str | None
    old_architecture: str | None
    old_multi_arch: str
    direction: str  # "<" up, ">" down or away, "=" the same version
    new_version: str | None
    new_architecture: str | None
    new_multi_arch: str
    what: bytes


@dataclass(frozen=True, slots=True)
class AptInput:
    """All that apt told its hook."""

    configuration: AptConfiguration
    items: tuple[AptItem, ...]


def read_apt_input(data: bytes) -> AptInput:
    """Return what the bytes of the hook's pipe say.

    Raises ProtocolError for anything that is not complete, well-formed protocol 3.
    """
    if len(data) > MAXIMUM_BYTES:
        raise ProtocolError(
            f"apt sent more than the {MAXIMUM_BYTES} bytes that aptguard reads; split the transaction"
        )
    _check_version(data)
    header, separator, body = data.partition(b"\n\n")
    if not separator:
        raise ProtocolError(
            "apt's message ends within its configuration part (no empty line); run the apt command again"
        )
    if body and not body.endswith(b"\n"):
        raise ProtocolError("apt's message ends in the middle of a line; run the apt command again")
    configuration = AptConfiguration(
        _read_setting(line, number) for number, line in enumerate(header.split(b"\n")[1:], start=2)
    )
    lines = body.split(b"\n")[:-1]
    if len(lines) > MAXIMUM_ITEMS:
        raise ProtocolError(
            f"apt's plan has {len(lines)} lines, more than the {MAXIMUM_ITEMS} that aptguard reads"
        )
    return AptInput(
        configuration, tuple(_read_item(line, number) for number, line in enumerate(lines, start=1))
    )


def foreign_root(
    configuration: AptConfiguration,
    *,
    is_this_root: Callable[[bytes], bool] = is_named_root,
    is_this_database: Callable[[bytes], bool] = is_named_database,
) -> str | None:
    """Return why apt changes another system than this one, None when it changes anything of this one.

    With ``DPkg::Chroot-Directory`` or ``RootDir`` apt runs dpkg (and the hooks) inside that directory; with
    ``--root`` among ``DPkg::Options`` dpkg works on another one. Another ``Dir`` or status file alone is no
    reason: dpkg still changes this system (``other_database``).
    The last two arguments say of a directory whether it is this system's under another name (a bind mount,
    ``/proc/self/root``); without them names alone decide.
    """
    for tag in ("RootDir", "DPkg::Chroot-Directory"):
        value = configuration.find(tag)
        if value is not None and not is_named_root(value) and not is_this_root(value):
            return f"{tag} is set to {shown(value)}"
    command = _dpkg_options(configuration)
    if isinstance(command, DpkgCommandError):
        return None
    places = places_of(command)
    if is_another_system(places, is_this_root, is_this_database):
        return f"DPkg::Options make dpkg work on {shown(places.root)}"
    return None


def other_database(
    configuration: AptConfiguration,
    *,
    is_this_root: Callable[[bytes], bool] = is_named_root,
    is_this_database: Callable[[bytes], bool] = is_named_database,
) -> str | None:
    """Return in sentences why apt or its dpkg works by another package database than this system's.

    Or on another root without being foreign_root(); None when all is this system's own. Else dpkg does to
    this system what a plan for another one says, and the rehearsal cannot promise anything.
    """
    status = _file(configuration, "Dir::State::status")
    if status != DATABASE + b"/status":
        return f"apt plans by another package database: Dir::State::status is {shown(status)}."
    command = _dpkg_options(configuration)
    if isinstance(command, DpkgCommandError):
        return f"DPkg::Options are not understood: {command}."
    return why_partly_another(places_of(command), is_this_root, is_this_database)


def transaction_from_apt(
    apt_input: AptInput,
    states: Mapping[tuple[str, str], PackageState],
    frontend_argv: Sequence[str] = (),
) -> Transaction:
    """Return the transaction that apt announced, one item for each line and in apt's order.

    A package that is unpacked and configured so has two items. ``states`` are dpkg's, by package and
    architecture; ``frontend_argv`` is the command line of apt's process, as far as known.
    """
    configuration = apt_input.configuration
    frontend = recognise_frontend(configuration, frontend_argv)
    purge_configured = configuration.is_true("APT::Get::Purge")
    dselect_upgrade = is_dselect_upgrade(configuration, frontend_argv)
    items = []
    for line in apt_input.items:
        action, assumed = _plain_action(line), False
        if action is Action.REMOVE:
            action, assumed = purge_or_remove(
                frontend=frontend,
                purge_configured=purge_configured,
                dselect_upgrade=dselect_upgrade,
                state=states.get((line.package, line.old_architecture or "")),
            )
        items.append(_item(line, action, assumed))
    return Transaction(
        frontend=frontend,
        items=tuple(items),
        command_line=recorded_command_line(configuration),
        dpkg_options=configuration.children("DPkg::Options"),
        script_path=configuration.find("DPkg::Path"),
        # debconf's own hook, /etc/apt/apt.conf.d/70debconf (dpkg-preconfigure(8)).
        preconfigured=any(
            b"dpkg-preconfigure" in hook for hook in configuration.children("DPkg::Pre-Install-Pkgs")
        ),
    )


def _check_version(data: bytes) -> None:
    first = data[:200].partition(b"\n")[0]
    if first == b"VERSION 3":
        return
    if not data or first.startswith(b"/"):
        raise ProtocolError(
            f"apt spoke protocol 1 to aptguard's hook, which names no removals: {_OPTIONS_OVERRIDDEN}"
        )
    if first == b"VERSION 2":
        raise ProtocolError(
            f"apt spoke protocol 2 to aptguard's hook, which names no architectures: {_OPTIONS_OVERRIDDEN}"
        )
    if re.fullmatch(rb"VERSION [0-9]{1,9}", first):
        raise ProtocolError(
            f"apt spoke protocol {first[8:].decode()} to aptguard's hook, which understands protocol 3 only; "
            "update aptguard"
        )
    raise ProtocolError(f"the hook's input starts with {shown(first[:60])!r} where 'VERSION 3' should stand")


def _read_setting(line: bytes, number: int) -> tuple[bytes, bytes]:
    tag, separator, value = line.partition(b"=")
    if _CONTROL.search(line):
        raise ProtocolError(
            f"line {number} of apt's configuration has a control character: {shown(line[:80])!r}"
        )
    if not separator:
        raise ProtocolError(f"line {number} of apt's configuration has no '=': {shown(line[:80])!r}")
    return _unquoted(tag, number), _unquoted(value, number)


def _unquoted(text: bytes, number: int) -> bytes:
    def decoded(match: re.Match[bytes]) -> bytes:
        if match["hex"] is None:
            raise ProtocolError(f"line {number} of apt's configuration has a '%' that starts no %xx escape")
        if match["hex"] == b"00":  # no setting of apt's can have it, and no system call takes it
            raise ProtocolError(f"line {number} of apt's configuration has a NUL byte, as %00")
        return bytes((int(match["hex"], 16),))

    return _ESCAPE.sub(decoded, text) if b"%" in text else text


def _read_item(line: bytes, number: int) -> AptItem:
    fields = line.split(b" ", 8)
    if len(fields) != 9:
        raise ProtocolError(
            f"line {number} of apt's plan has {len(fields)} fields instead of 9: {shown(line[:80])!r}"
        )
    name, old, old_arch, old_multi, direction, new, new_arch, new_multi, what = fields
    good = (
        _NAME.match(name)
        and _VERSION.match(old)
        and _VERSION.match(new)
        and _ARCHITECTURE.match(old_arch)
        and _ARCHITECTURE.match(new_arch)
        and old_multi in _MULTI_ARCH
        and new_multi in _MULTI_ARCH
        and direction in (b"<", b">", b"=")
    )
    if not good:
        raise ProtocolError(f"line {number} of apt's plan is not a package's line: {shown(line[:80])!r}")
    item = AptItem(
        name.decode(),
        _optional(old),
        _optional(old_arch),
        old_multi.decode(),
        direction.decode(),
        _optional(new),
        _optional(new_arch),
        new_multi.decode(),
        what,
    )
    _check_tail(item, number)
    return item


def _check_tail(item: AptItem, number: int) -> None:
    """Refuse a line whose last field does not fit the others; what is not understood is not judged."""
    where = f"line {number} of apt's plan ({item.package})"
    if item.what == b"**REMOVE**":
        if None in (item.old_version, item.old_architecture) or item.new_version is not None:
            raise ProtocolError(f"{where} removes a package, but does not say which version goes")
    elif item.what == b"**ERROR**":
        # With --no-download and a repository of the kind file: it has no other name than "toy_1.0_all.deb".
        raise ProtocolError(
            f"{where}: apt has no absolute path of the .deb file, and would itself stop at it"
            " ('Pathname to install is not absolute'). Run it again without --no-download"
        )
    elif item.what == b"**CONFIGURE**" or (item.what.startswith(b"/") and b"\0" not in item.what):
        if item.new_version is None or item.new_architecture is None:
            raise ProtocolError(f"{where} brings a package, but does not say in which version")
    else:
        raise ProtocolError(
            f"{where} ends with {shown(item.what[:60])!r}, which is no action that aptguard knows"
        )


def _optional(field: bytes) -> str | None:
    return None if field == b"-" else field.decode()


def _plain_action(line: AptItem) -> Action:
    if line.what == b"**REMOVE**":
        return Action.REMOVE
    if line.what == b"**CONFIGURE**":
        return Action.CONFIGURE
    if line.old_version is None:
        return Action.INSTALL
    return {"<": Action.UPGRADE, ">": Action.DOWNGRADE, "=": Action.REINSTALL}[line.direction]


def _item(line: AptItem, action: Action, purge_assumed: bool) -> Item:
    takes_away = action.takes_away
    architecture = line.old_architecture if takes_away else line.new_architecture
    return Item(
        package=line.package,
        architecture=architecture or "",
        action=action,
        old_version=line.old_version,
        new_version=line.new_version,
        archive=line.what if action.unpacks else None,
        multi_arch=line.old_multi_arch if takes_away else line.new_multi_arch,
        purge_assumed=purge_assumed,
    )


def _file(configuration: AptConfiguration, tag: str) -> bytes:
    """Return the absolute file of ``tag``, made from its parents' values as apt's FindFile does it."""
    value = configuration.find(tag) or b""
    while not value.startswith(b"/") and "::" in tag:
        tag = tag.rpartition("::")[0]
        value = (configuration.find(tag) or b"").rstrip(b"/") + b"/" + value
    return normal_path(value)


def _dpkg_options(configuration: AptConfiguration) -> DpkgCommand | DpkgCommandError:
    try:
        return read_dpkg_command((b"dpkg", *configuration.children("DPkg::Options")))
    except DpkgCommandError as error:
        return error
