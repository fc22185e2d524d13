# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rule speaks for a path, from where, and what would happen: ``aptguard policy test``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from aptguard.changes.model import Kind
from aptguard.policy.finding import Severity
from aptguard.policy.model import PathRule, Place, Policy, PolicyException
from aptguard.policy.pattern import Pattern
from aptguard.policy.precedence import RuleBook, rank
from aptguard.policy.roles import Role

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
    where the change is allowed. ``sentence`` says it in words, without a full stop.
    """

    act: str
    severity: Severity | None
    sentence: str
    rule: str = ""
    origin: str = ""


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
    outcomes = tuple(_outcome(act, kind, rules, policy) for act, kind in ACTS)
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


def _outcome(act: str, kind: Kind, rules: tuple[MatchingRule, ...], policy: Policy) -> Outcome:
    conditions: list[str] = []
    for one in rules:
        rule = one.rule
        if rule.changes and kind.value not in rule.changes:
            continue
        outcome = _by_rule(act, one, policy)
        if one.package is None or rule.place in (Place.PROTECTED, Place.DATA):
            return _with_conditions(outcome, conditions)
        conditions.append(outcome.sentence)
    return _with_conditions(_by_checks(act, kind, policy), conditions)


def _with_conditions(outcome: Outcome, conditions: list[str]) -> Outcome:
    if not conditions:
        return outcome
    sentence = "; ".join((*conditions, f"otherwise {outcome.sentence}"))
    return Outcome(outcome.act, outcome.severity, sentence, outcome.rule, outcome.origin)


def _by_rule(act: str, one: MatchingRule, policy: Policy) -> Outcome:
    rule = one.rule
    by = f" by the package {one.package}" if one.package else ""
    match rule.place:
        case Place.PROTECTED:
            sentence = f"{_result(rule.severity)}, whoever does it{by}"
            return Outcome(act, rule.severity, sentence, rule.name, rule.origin)
        case Place.DATA:
            if act == "created":
                return Outcome(
                    act, None, "allowed: nothing that was there is touched", rule.name, rule.origin
                )
            foreign = policy.checks["foreign-file"].severity
            sentence = (
                f"{_result(rule.severity)} if no package lists the file, "
                f"{_result(foreign)} if it belongs to another package"
            )
            return Outcome(act, rule.severity, sentence, rule.name, rule.origin)
        case Place.OWN:
            sentence = f"allowed{by}, which may clean up after itself here"
            return Outcome(act, None, sentence, rule.name, rule.origin)
        case Place.SHARED_STATE:
            sentence = "allowed: the scripts of many packages rewrite it"
            return Outcome(act, None, sentence, rule.name, rule.origin)
    assert_never(rule.place)


def _by_checks(act: str, kind: Kind, policy: Policy) -> Outcome:
    if kind is Kind.CREATED:
        return Outcome(act, None, "allowed: no rule names the place")
    foreign, unowned = policy.checks["foreign-file"], policy.checks["unowned-file"]
    sentence = (
        f"{_result(unowned.severity)} if no package lists it (unowned-file), "
        f"{_result(foreign.severity)} if it belongs to another package (foreign-file), "
        "allowed to the package that lists it"
    )
    worst = min((foreign.severity, unowned.severity), key=list(Severity).index)
    return Outcome(act, None if worst is Severity.IGNORE else worst, sentence)


def _result(severity: Severity) -> str:
    match severity:
        case Severity.BLOCK:
            return "blocked"
        case Severity.WARN:
            return "allowed with a warning"
        case Severity.IGNORE:
            return "allowed"
    assert_never(severity)
