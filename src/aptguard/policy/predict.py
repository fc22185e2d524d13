# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge would say of one change that nobody has made; pure, standard library only."""

from __future__ import annotations

from enum import Enum

from aptguard.changes.model import Change, FileType, Kind, Node
from aptguard.policy.check_paths import PathCheck
from aptguard.policy.facts import Facts, PackageFacts
from aptguard.policy.model import Policy
from aptguard.policy.violation import Violation
from aptguard.transaction.model import Action, Item, Transaction

STRANGER = "0"  # no package can have this name (Debian policy 5.6.1)
_OTHER = "1"


class Owner(Enum):
    """Whose file it is."""

    NOBODY = "nobody"
    ANOTHER = "another package"
    ITSELF = "the package that acts"


def predict(
    policy: Policy,
    path: bytes,
    kind: Kind,
    owner: Owner,
    packages: tuple[str, ...] = (STRANGER,),
    action: Action = Action.PURGE,
) -> Violation | None:
    """Return what breaks a rule when one of ``packages`` changes the regular file ``path`` in this ``kind``.

    The file has something in it, and is at its canonical place; exceptions are not looked at.
    """
    node = Node(FileType.REGULAR, 0o644, 0, 0, 1, 0)
    change = Change(
        path,
        frozenset({kind}),
        None if kind is Kind.CREATED else node,
        None if kind is Kind.DELETED else node,
        None,
    )
    mine = frozenset({path}) if owner is Owner.ITSELF else frozenset[bytes]()
    facts = Facts(
        owners={} if owner is Owner.NOBODY else {path: packages if mine else (_OTHER,)},
        listed_before=mine,
        listed_after=frozenset() if kind is Kind.DELETED else mine,
        packages={name: PackageFacts(name, "all", "installed", "1") for name in (*packages, _OTHER)},
    )
    plan = Transaction("", tuple(Item(name, "all", action, "1", "2") for name in packages))
    return next(PathCheck(plan, (change,), facts, policy).violations(), None)
