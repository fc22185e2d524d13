# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rule speaks for a path, from where, and what would happen: ``aptguard policy test``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from aptguard.changes.model import Kind
from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy, PolicyException
from aptguard.policy.pattern import Pattern
from aptguard.policy.precedence import RuleBook, rank
from aptguard.policy.predict import STRANGER, Owner, predict
from aptguard.policy.roles import Role
from aptguard.policy.violation import Violation
from aptguard.transaction.model import Action

ACTS: tuple[tuple[str, Kind], ...] = (
    ("deleted", Kind.DELETED),
    ("altered", Kind.CONTENT),
    ("created", Kind.CREATED),
)


@dataclass(frozen=True, slots=True)
class MatchingRule:
    """A rule that matches, by ``pattern``; for ``package`` alone, where that is not None."""

    rule: PathRule
    pattern: Pattern
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would happen if the path were deleted, altered or created (``act``) by a package.

    ``rule`` is the name of the rule that speaks, empty where the built-in checks decide. ``severity`` is None
    where the change is allowed. ``sentence`` says it in words, without a full stop. ``unowned``, ``foreign``
    and ``own`` are the answers for a file that nobody lists, that another package lists, and that the
    package lists which acts.
    """

    act: str
    severity: Severity | None
    sentence: str
    rule: str = ""
    origin: str = ""
    unowned: Severity | None = None
    foreign: Severity | None = None
    own: Severity | None = None


@dataclass(frozen=True, slots=True)
class PathExplanation:
    """All that is said of ``path``: ``rules`` in order of precedence, ``roles`` it stands for."""

    path: bytes
    rules: tuple[MatchingRule, ...]
    outcomes: tuple[Outcome, ...]
    exceptions: tuple[PolicyException, ...] = ()
    roles: tuple[Role, ...] = ()

    @property
    def protected(self) -> bool:
        """Whether a rule on this path would block a deletion."""
        return any(
            outcome.act == "deleted" and outcome.rule and outcome.severity is Severity.BLOCK
            for outcome in self.outcomes
        )


def canonical_path(path: bytes, directory: bytes) -> bytes:
    """Return ``path``, taken from ``directory``, as changes name it; the last component may be a link."""
    absolute = os.path.join(directory, path)
    head, tail = os.path.split(absolute.rstrip(b"/") or b"/")
    if tail in (b"", b".", b".."):
        return os.path.realpath(absolute)
    return os.path.join(os.path.realpath(head), tail)


def explain_path(policy: Policy, path: bytes, packages: Iterable[str] = ()) -> PathExplanation:
    """Return what ``policy`` says of the absolute, canonical ``path`` (see canonical_path).

    With ``packages`` the answer is for a transaction with these; without, rules with ``{package}`` are
    listed with the package for which they would speak. Raises ValueError where ``path`` is not absolute.
    """
    if not path.startswith(b"/"):
        raise ValueError("a path to explain must be absolute")
    names = tuple(packages)
    found = [MatchingRule(rule, pattern) for rule, pattern in RuleBook(policy).matching(path, names)]
    if not names:
        found += _for_some_package(policy, path)
    found.sort(key=lambda one: rank(one.rule))
    rules = tuple(found)
    exceptions = tuple(one for one in policy.exceptions if _concerns(one, path, names, rules, policy))
    outcomes = tuple(explain_change(policy, path, act, kind, names, rules) for act, kind in ACTS)
    text = path.decode("utf-8", "surrogateescape")
    roles = tuple(role for role in policy.roles if text in role.paths)
    return PathExplanation(path, rules, outcomes, exceptions, roles)


def _for_some_package(policy: Policy, path: bytes) -> Iterable[MatchingRule]:
    for rule in policy.path_rules:
        for pattern in rule.patterns:
            name = pattern.package_in(path)
            if name is not None and rule.severity is not Severity.IGNORE:
                yield MatchingRule(rule, pattern, name)
                break


def _concerns(
    exception: PolicyException,
    path: bytes,
    packages: tuple[str, ...],
    rules: tuple[MatchingRule, ...],
    policy: Policy,
) -> bool:
    if exception.paths and not any(
        pattern.matches(path, packages) or pattern.package_in(path) for pattern in exception.paths
    ):
        return False
    if packages and exception.packages and not exception.packages & set(packages):
        return False
    return not exception.rules or bool(
        exception.rules & {one.rule.name for one in rules} | exception.rules & set(policy.checks)
    )


def explain_change(
    policy: Policy,
    path: bytes,
    act: str,
    kind: Kind,
    packages: tuple[str, ...],
    rules: Iterable[MatchingRule],
) -> Outcome:
    """Return what the judge would say of this kind of change to the regular file ``path``.

    ``rules`` are those that match, in order of precedence; with ``packages`` the answer is for these.
    """
    actors = packages or (STRANGER,)
    found = {owner: predict(policy, path, kind, owner, actors) for owner in Owner}
    severities = {owner: None if one is None else one.severity for owner, one in found.items()}
    unowned = found[Owner.NOBODY]
    speaking = next(
        (
            one.rule
            for one in rules
            if (packages or one.package is None) and (not one.rule.changes or kind.value in one.rule.changes)
        ),
        None,
    )
    by_rule = unowned is not None and unowned.rule not in policy.checks
    named = unowned.rule if unowned is not None and by_rule else ""
    origin = unowned.origin if unowned is not None and by_rule else ""
    if not named and unowned is None and speaking is not None:
        named, origin = speaking.name, speaking.origin
    worst = severities[Owner.NOBODY] if named else _worst(severities.values())
    conditions = [
        _by_package(policy, path, kind, one.package)
        for one in rules
        if one.package is not None and not packages
    ]
    sentence = _sentence(found, speaking, kind, bool(packages))
    if conditions and severities[Owner.NOBODY] is not None and not by_rule:
        sentence = "; ".join((*dict.fromkeys(conditions), f"otherwise {sentence}"))
    unlisted, others, its_own = (severities[owner] for owner in Owner)
    return Outcome(act, worst, sentence, named, origin, unlisted, others, its_own)


def _worst(severities: Iterable[Severity | None]) -> Severity | None:
    return min((one for one in severities if one is not None), key=list(Severity).index, default=None)


def _by_package(policy: Policy, path: bytes, kind: Kind, package: str) -> str:
    purged = predict(policy, path, kind, Owner.NOBODY, (package,))
    removed = predict(policy, path, kind, Owner.NOBODY, (package,), Action.REMOVE)
    if purged is not None:
        return f"{_result(purged.severity)} by the package {package} ({purged.rule})"
    text = f"allowed by the package {package}, which may clean up after itself here"
    if removed is None:
        return text
    return f"{text} when it is purged, {_result(removed.severity)} when it is only removed ({removed.rule})"


def _sentence(
    found: Mapping[Owner, Violation | None], speaking: PathRule | None, kind: Kind, for_packages: bool
) -> str:
    unowned, foreign, own = (found[owner] for owner in Owner)
    if unowned is None and foreign is None and own is None:
        if speaking is None:
            return "allowed: no rule names the place" if kind is Kind.CREATED else "allowed"
        match speaking.place:
            case Place.SHARED_STATE:
                return "allowed: the scripts of many packages rewrite it"
            case Place.OWN if for_packages:
                return "allowed to the package, which may clean up after itself here"
            case Place.PROTECTED | Place.DATA | Place.OWN:
                return "allowed: nothing that was there is touched" if kind is Kind.CREATED else "allowed"
        assert_never(speaking.place)
    if unowned is not None and foreign is not None and own is not None:
        return f"{_result(unowned.severity)}, whoever does it"
    if unowned is not None and speaking is not None and unowned.rule == speaking.name:
        return (
            _if("no package lists the file", unowned) + ", " + _if("it belongs to another package", foreign)
        )
    parts = [_if("no package lists it", unowned, named=True)]
    parts.append(_if("it belongs to another package", foreign, named=True))
    parts.append(f"{_result(None if own is None else own.severity)} to the package that lists it")
    return ", ".join(parts)


def _if(condition: str, violation: Violation | None, *, named: bool = False) -> str:
    if violation is None:
        return f"allowed if {condition}"
    return f"{_result(violation.severity)} if {condition}" + (f" ({violation.rule})" if named else "")


def _result(severity: Severity | None) -> str:
    match severity:
        case None:
            return "allowed"
        case Severity.BLOCK:
            return "blocked"
        case Severity.WARN:
            return "allowed with a warning"
        case Severity.IGNORE:
            return "allowed"
    assert_never(severity)
