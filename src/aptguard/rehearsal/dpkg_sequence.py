# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of dpkg that apt makes for a transaction, in apt's order; pure.

Source: pkgDPkgPM::Go in apt's apt-pkg/deb/dpkgpm.cc (2.6 and 3.0 agree). It differs in these ways:

* Nobody can answer in a rehearsal: a conffile question leaves the installed file, unless one of dpkg's
  options says otherwise (`KEEP_CONFFILES`).
* ``config`` scripts that apt has run before dpkg, by a hook of debconf's, are run without apt's pipe.
* apt has already asked about Essential and Protected packages, so their removal is always allowed (apt
  passes these two options only where they are needed; elsewhere they mean nothing).
* apt calls ``--configure --pending`` before the purge too. Even with ``--no-triggers`` that call runs all
  pending triggers, which cost more than everything else; here it names the packages that wait for it, and
  the triggers come last.
* apt purges by ``--purge --pending``, and has the selections of all other installed packages be ``install``
  meanwhile. Here the call names what it purges; older wishes that apt fulfils are items of the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

from aptguard.rehearsal.model import Step
from aptguard.transaction.model import Action, Item, Transaction

DPKG = b"/usr/bin/dpkg"
# Answers what a person would be asked, and nothing else: --force-confnew and --force-confdef go before it
# (promptconfaction in dpkg's configure.c), also those of dpkg.cfg and DPKG_FORCE, which only dpkg knows.
KEEP_CONFFILES = b"--force-confold"
# apt's hook may outlive debconf. A config script that fails is no failure of this program; if this one fails,
# which apt's hook would hide, nobody has seen what those scripts do.
_PRECONFIGURE = (
    b"/bin/sh",
    b"-c",
    b'[ ! -x /usr/sbin/dpkg-preconfigure ] || /usr/sbin/dpkg-preconfigure "$@"',
    b"sh",
)
_REMOVE = (
    b"--force-depends",
    b"--force-remove-essential",
    b"--force-remove-protected",
    b"--abort-after=1",
    b"--remove",
)


def steps(
    transaction: Transaction, *, triggers: bool, left_out: Iterable[str] = (), preconfigured: bool = False
) -> tuple[Step, ...]:
    """Return the calls in order; with ``triggers`` the last one runs the pending triggers.

    That is apt's own last call, ``dpkg --configure --pending``; all before it carry ``--no-triggers``.
    Where some packages are ``left_out`` (names with ``*`` and ``?``), it becomes ``dpkg --triggers-only``
    of the others, named when it is known who waits; a package that the transaction brings is never left out.
    ``preconfigured``: the ``config`` scripts of its archives run first (dpkg-preconfigure(8)).
    """
    options = _options(transaction)
    quiet = (DPKG, *options, b"--no-triggers")
    selections = _selections(transaction.items)
    calls: list[Step] = []
    archives = [item.archive for item in transaction.items if item.archive is not None]
    if preconfigured and archives:
        calls.append(Step((*_PRECONFIGURE, *archives)))
    if selections:
        calls.append(_set_selections(options, selections))
    for words in _groups(transaction.items):
        calls.append(Step((*quiet, *words)))
    if any(item.action is Action.PURGE for item in transaction.items):
        # A removal has set the selection of its package to deinstall; apt writes its own once more.
        calls.append(_set_selections(options, selections))
        purged = [_name(item).encode() for item in transaction.items if item.action is Action.PURGE]
        words = (b"--force-depends", b"--abort-after=1", b"--purge", *dict.fromkeys(purged))
        calls.append(Step((*quiet, *words)))
    if triggers:
        calls.append(_triggers(transaction, options, tuple(left_out)))
    return tuple(calls)


def _triggers(transaction: Transaction, options: tuple[bytes, ...], left_out: tuple[str, ...]) -> Step:
    if not left_out:
        return Step((DPKG, *options, b"--configure", b"--pending"), triggers=True)
    # A purge of one package alone (aptguard audit) leaves others without what they depend on.
    force = (b"--force-depends",) if transaction.takes_away else ()
    return Step(
        (DPKG, *options, *force, b"--triggers-only"),
        triggers=True,
        left_out=tuple(name.encode() for name in left_out),
        brought=tuple(item.package.encode() for item in transaction.items if not item.action.takes_away),
    )


def _options(transaction: Transaction) -> tuple[bytes, ...]:
    return (*transaction.dpkg_options, KEEP_CONFFILES)


def _selections(items: Iterable[Item]) -> bytes:
    lines = [
        f"{_name(item)} {'purge' if item.action is Action.PURGE else 'deinstall'}\n"
        for item in items
        if item.action.takes_away
    ]
    return "".join(lines).encode()


def _set_selections(options: tuple[bytes, ...], selections: bytes) -> Step:
    return Step((DPKG, *options, b"--set-selections"), stdin=selections)


def _groups(items: tuple[Item, ...]) -> Iterable[tuple[bytes, ...]]:
    """Yield one call's words for each run of equal operations.

    A package that the plan configures before something else is unpacked (for a Pre-Depends) is configured
    there; all others come last, in one call.
    """
    last = max((place for place, item in enumerate(items) if item.action is not Action.CONFIGURE), default=-1)
    waiting: dict[bytes, None] = {}
    operation: bytes = b""
    operands: list[bytes] = []
    for place, item in enumerate(items):
        if item.action is Action.CONFIGURE or (item.action.unpacks and item.archive is not None):
            waiting[_name(item).encode()] = None
        if place > last:
            continue
        if item.action is Action.CONFIGURE:
            del waiting[_name(item).encode()]
        if item.action.takes_away:
            wanted, operand = b"remove", _name(item).encode()
        elif item.action is Action.CONFIGURE:
            wanted, operand = b"configure", _name(item).encode()
        elif item.archive is not None:
            wanted, operand = b"unpack", item.archive
        else:
            continue
        if wanted != operation and operands:
            yield _call(operation, operands)
            operands = []
        operation = wanted
        if operand not in operands:
            operands.append(operand)
    if operands:
        yield _call(operation, operands)
    if waiting:
        yield _call(b"configure", list(waiting))


def _call(operation: bytes, operands: list[bytes]) -> tuple[bytes, ...]:
    if operation == b"remove":
        return (*_REMOVE, *operands)
    if operation == b"unpack":
        return (b"--unpack", b"--auto-deconfigure", *operands)
    return (b"--configure", *operands)


def _name(item: Item) -> str:
    # dpkg takes "name:all" for no package that is installed under the native architecture.
    return item.package if item.architecture in ("all", "") else item.qualified
