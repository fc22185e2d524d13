# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that may be files of a package whose list is broken: unknown where that would matter.

Standard library only. One broken list must not make every transaction unknown, nor a file of its package
nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from aptguard.policy.check_paths import PathCheck
from aptguard.policy.facts import Facts
from aptguard.policy.model import Policy
from aptguard.policy.violation import Violation
from aptguard.rehearsal.model import RehearsalResult, Unknown
from aptguard.shown import shown
from aptguard.transaction.model import Transaction

# dpkg keeps its own books there, and no package ships a file into them.
_BOOKS_OF_DPKG = b"/var/lib/dpkg/"


def unsure_owners(
    transaction: Transaction,
    result: RehearsalResult,
    facts: Facts,
    policy: Policy,
    found: Collection[Violation],
    excused: Callable[[Violation], bool],
) -> Iterator[Unknown]:
    """Yield what would break a rule if a package with a broken list owned it, and is not ``found`` anyway.

    One unknown for each such package whose list would make a difference.
    """
    unsure = {path for path in facts.owner_unsure if not path.startswith(_BOOKS_OF_DPKG)}
    if not unsure:
        return
    told = {(one.change.path, one.rule) for one in found}
    for suspect in _suspects(transaction, facts):
        supposed = replace(facts, owners={**facts.owners, **dict.fromkeys(unsure, (suspect,))})
        check = PathCheck(transaction, result.changes, supposed, policy, result.earlier_causes)
        doubtful = {
            one.change.path
            for one in check.violations()
            if one.change.path in unsure and (one.change.path, one.rule) not in told and not excused(one)
        }
        if doubtful:
            first, more = min(doubtful), len(doubtful) - 1
            yield Unknown(
                f"whose file {shown(first)} is",
                f"nobody lists it{f' and {more} more that change' if more else ''}, but dpkg's list of the "
                f"files of {shown(suspect)} is damaged or missing and might have named it",
                first,
            )


def _suspects(transaction: Transaction, facts: Facts) -> Sequence[str]:
    """Return those of the packages that stand for all: what is forbidden to do to a sibling is to others."""
    by_source = {_source(name, facts): name for name in reversed(facts.broken_lists)}
    acting = {
        _source(name, facts) for name in facts.packages if name.partition(":")[0] in transaction.packages
    }
    strangers = sorted(by_source.keys() - acting)
    return [by_source[strangers[0]]] if strangers else sorted(by_source.values())


def _source(name: str, facts: Facts) -> str:
    known = facts.packages.get(name)
    return name if known is None else known.source
