# SPDX-License-Identifier: GPL-3.0-or-later
"""From the parts of one examination to the Report that every view is rendered from. Pure."""

from __future__ import annotations

from collections import Counter

from aptguard.changes.model import Change
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Judgement
from aptguard.rehearsal.model import RehearsalResult
from aptguard.report.model import ChangedPath, Report
from aptguard.transaction.fingerprint import short_id
from aptguard.transaction.model import Caller, Transaction


def build_report(
    transaction: Transaction,
    caller: Caller,
    result: RehearsalResult,
    facts: Facts,
    judgement: Judgement,
    *,
    fingerprint: str,
    time: float,
    host: str,
    mode: str,
    timing: dict[str, float],
) -> Report:
    """Return the report; ``time`` in seconds since the epoch, ``timing`` in seconds by stage."""
    names = transaction.packages
    paths = tuple(_changed_path(change, facts, names) for change in result.changes)
    return Report(
        id=short_id(fingerprint),
        fingerprint=fingerprint,
        time=time,
        host=host,
        verdict=judgement.verdict,
        transaction=transaction,
        user=caller.user,
        findings=judgement.findings,
        unknowns=judgement.unknowns,
        changes=_counts(paths),
        changed_paths=paths,
        effects=result.effects,
        notes=result.notes,
        timing=timing,
        complete=result.complete,
        mode=mode,
        scripts=result.scripts,
        lying_below=result.lying_below,
    )


def _changed_path(change: Change, facts: Facts, names: frozenset[str]) -> ChangedPath:
    node = change.before or change.after
    return ChangedPath(
        path=change.path,
        kinds=tuple(sorted(kind.value for kind in change.kinds)),
        owner_class=_owner_class(change.path, facts, names),
        size=node.size if node else 0,
        package=change.cause.package if change.cause else None,
        script=change.cause.script if change.cause else None,
        type=node.type.value if node else "file",
        mtime_ns=node.mtime_ns if node else 0,
    )


def _owner_class(path: bytes, facts: Facts, names: frozenset[str]) -> str:
    owners = {owner.partition(":")[0] for owner in facts.owners.get(path, ())}
    if owners - names:
        return "other package"
    if owners or path in facts.listed_before or path in facts.listed_after or path in facts.conffiles:
        return "transaction"
    return "unowned"


def _counts(paths: tuple[ChangedPath, ...]) -> dict[str, dict[str, int]]:
    by_kind: Counter[str] = Counter()
    by_owner: Counter[str] = Counter()
    for changed in paths:
        by_owner[changed.owner_class] += 1
        by_kind.update(changed.kinds)
    return {"kinds": dict(sorted(by_kind.items())), "owners": dict(sorted(by_owner.items()))}
