# SPDX-License-Identifier: GPL-3.0-or-later
"""Violations of single paths into findings that can be read: one for a subtree, the worst first.

Standard library only.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from aptguard.changes.model import Change, FileType, Kind
from aptguard.policy.checks import CHECK_NAMES
from aptguard.policy.finding import Finding, Severity
from aptguard.policy.violation import Violation

_MOST_TOPS = 8  # findings for one rule and one script; more are drawn together at a common directory
_MOST_EXAMPLES = 10
_MOST_OWNERS = 3
_SEVERITY_RANK = {Severity.BLOCK: 0, Severity.WARN: 1, Severity.IGNORE: 2}
# The graver kind speaks for a path that changed in several ways.
_KIND_RANK = {
    kind: rank
    for rank, kind in enumerate(
        (
            *(Kind.DELETED, Kind.TYPE, Kind.SETUID, Kind.CONTENT, Kind.TARGET, Kind.DEVICE, Kind.OWNER),
            *(Kind.GROUP, Kind.MODE, Kind.CAPABILITY, Kind.ACL, Kind.XATTRS, Kind.FLAGS, Kind.CREATED),
        )
    )
}
_Key = tuple[str, Severity, str | None, str | None]


def group(violations: Iterable[Violation]) -> tuple[Finding, ...]:
    """Return one finding for each subtree that one script treats against one rule."""
    by_key: dict[_Key, list[Violation]] = {}
    for violation in violations:
        cause = violation.change.cause
        key = (
            violation.rule,
            violation.severity,
            None if cause is None else cause.package,
            None if cause is None else cause.script,
        )
        by_key.setdefault(key, []).append(violation)
    return tuple(
        _finding(top, members) for same in by_key.values() for top, members in _subtrees(same).items()
    )


def together(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with those that say the same of many accounts or places drawn together.

    A lost account file is one accident, not one for each account in it.
    """
    by_kind: dict[tuple[object, ...], list[Finding]] = {}
    for one in findings:
        about = "account" if one.account is not None else "path" if one.path is not None else "package"
        reason = one.reason if about == "account" else ""
        kind = (about, one.rule, one.severity, one.change, one.package, one.script, reason)
        by_kind.setdefault(kind, []).append(one)
    drawn: list[Finding] = []
    for (subject, *_), same in by_kind.items():
        if len(same) <= _MOST_TOPS or subject == "package":
            drawn += same
        elif subject == "account":
            names = [one.account for one in same if one.account is not None]
            text = f"{', '.join(names[:_MOST_OWNERS])} and {len(names) - _MOST_OWNERS} more"
            drawn.append(replace(same[0], account=text, count=len(same)))
        else:
            paths = tuple(one.path for one in same if one.path is not None)
            top = os.path.commonpath(paths)
            drawn.append(replace(same[0], path=top, count=len(same), examples=paths[:_MOST_EXAMPLES]))
    return tuple(drawn)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings by severity: top-level directories, rules on places, general checks."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (
                _SEVERITY_RANK[one.severity],
                one.rule != "top-level-directory",
                one.rule in CHECK_NAMES,
                one.change != Kind.DELETED.value,
                -one.size,
                -one.count,
                one.path or b"",
                one.rule,
            ),
        )
    )


def _subtrees(violations: list[Violation]) -> dict[bytes, list[Violation]]:
    ordered = sorted(violations, key=lambda one: one.change.path.split(b"/"))
    subtrees: dict[bytes, list[Violation]] = {}
    top: bytes | None = None
    for violation in ordered:
        path = violation.change.path
        if top is None or not path.startswith(top + b"/"):
            top = path
        subtrees.setdefault(top, []).append(violation)
    depth = max(path.count(b"/") for path in subtrees)
    while len(subtrees) > _MOST_TOPS and depth > 0:
        depth -= 1
        merged: dict[bytes, list[Violation]] = {}
        for path, members in subtrees.items():
            merged.setdefault(_cut(path, depth), []).extend(members)
        subtrees = merged
    return subtrees


def _cut(path: bytes, depth: int) -> bytes:
    parts = path.split(b"/")
    return b"/".join(parts[: depth + 1]) or b"/"


def _finding(top: bytes, violations: list[Violation]) -> Finding:
    first = violations[0]
    kinds = Counter(_gravest(one.change) for one in violations)
    change = min(kinds, key=lambda kind: (-(kinds[kind]), _KIND_RANK[kind]))
    files = [one.change for one in violations if _is_data(one.change)]
    newest = sorted(files, key=_mtime, reverse=True)
    cause = first.change.cause
    return Finding(
        rule=first.rule,
        severity=first.severity,
        reason=_reason(violations),
        change=change.value,
        path=top,
        package=None if cause is None else cause.package,
        script=None if cause is None else cause.script,
        command=() if cause is None else cause.command,
        count=len(violations),
        size=sum(_size(one) for one in files),
        newest_mtime_ns=_mtime(newest[0]) if newest else None,
        examples=_examples(top, newest, violations),
        origin=first.origin,
    )


def _examples(top: bytes, newest: list[Change], violations: list[Violation]) -> tuple[bytes, ...]:
    if len(violations) == 1 and violations[0].change.path == top:
        return ()
    paths = [change.path for change in newest] or [one.change.path for one in violations]
    return tuple(paths[:_MOST_EXAMPLES])


def _reason(violations: list[Violation]) -> str:
    owners = Counter(owner for one in violations for owner in one.owners)
    if not owners:
        return violations[0].explanation
    named = [name for name, _ in owners.most_common(_MOST_OWNERS)]
    rest = len(owners) - len(named)
    if rest:
        whose = f"{', '.join(named)} and {rest} more installed package{'s' if rest > 1 else ''}"
    elif len(named) > 1:
        whose = f"{', '.join(named[:-1])} and {named[-1]}"
    else:
        whose = named[0]
    return f"{violations[0].explanation.rstrip('.')} (of {whose})."


def _gravest(change: Change) -> Kind:
    return min(change.kinds, key=lambda kind: _KIND_RANK[kind])


def _is_data(change: Change) -> bool:
    return change.before is not None and change.before.type in (FileType.REGULAR, FileType.SYMLINK)


def _size(change: Change) -> int:
    return change.before.size if change.before is not None and change.before.type is FileType.REGULAR else 0


def _mtime(change: Change) -> int:
    return change.before.mtime_ns if change.before is not None else 0
