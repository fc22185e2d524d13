# SPDX-License-Identifier: GPL-3.0-or-later
"""Removals of which nobody can tell yet whether they will be purges. Pure.

At apt's hook some front ends leave no trace of it (aptguard.transaction.purge_or_remove). The worse is
rehearsed first. Where that would be stopped, the removal is rehearsed too; where the removal may pass, the
run goes on, but without leave for these packages: dpkg's own hook asks again, before the first of them is
touched, when dpkg's selections tell the truth.
"""

from __future__ import annotations

from dataclasses import replace

from aptguard.transaction.model import Action, Item, Transaction


def as_removals(transaction: Transaction) -> Transaction | None:
    """Return the transaction with each assumed purge as a plain removal; None when none is assumed.

    None too where something is unpacked: apt may do that first, and dpkg's hook would stop the run half-way.
    """
    if not any(item.purge_assumed for item in transaction.items):
        return None
    if any(item.action.unpacks for item in transaction.items):
        return None
    return replace(transaction, items=tuple(map(_as_removal, transaction.items)))


def to_be_settled(transaction: Transaction) -> list[str]:
    """Return the packages, with architecture, whose removal dpkg's hook has to look at again."""
    return [item.qualified for item in transaction.items if item.purge_assumed]


def _as_removal(item: Item) -> Item:
    return replace(item, action=Action.REMOVE, purge_assumed=False) if item.purge_assumed else item
