# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy, its problems and its answers, as plain values for JSON and as text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from aptguard.policy.checks import BUILT_IN
from aptguard.policy.explain import PathExplanation
from aptguard.policy.model import PathRule, Place, Policy, PolicyException
from aptguard.policy.pattern import Pattern
from aptguard.policy.problem import PolicyProblem
from aptguard.policy.roles import Role, TriggerRule
from aptguard.shown import shown


def policy_as_plain(policy: Policy) -> dict[str, Any]:
    """Return the merged policy with its origins, for ``policy show --json``."""
    return {
        "mode": policy.mode.value,
        "when_unable": policy.when_unable.value,
        "rehearse_triggers": policy.rehearse_triggers,
        "limits": asdict(policy.limits),
        "origins": dict(policy.origins),
        "rules": [_rule_as_plain(rule) for rule in policy.path_rules],
        "checks": [
            {
                "name": check.name,
                "severity": check.severity.value,
                "because": check.explanation,
                "origin": check.origin,
            }
            for _, check in sorted(policy.checks.items())
        ],
        "exceptions": [_exception_as_plain(exception) for exception in policy.exceptions],
        "roles": [_role_as_plain(role) for role in policy.roles],
        "triggers": [_trigger_as_plain(rule) for rule in policy.triggers],
        "sources": list(policy.sources),
    }


def problem_as_plain(problem: PolicyProblem) -> dict[str, Any]:
    """Return ``problem`` for JSON."""
    return {
        "file": shown(problem.file),
        "line": problem.line,
        "key": problem.key,
        "severity": problem.gravity.value,
        "wrong": problem.wrong,
        "right": problem.right,
    }


def explanation_as_plain(explanation: PathExplanation) -> dict[str, Any]:
    """Return ``explanation`` for ``policy test --json``."""
    return {
        "path": shown(explanation.path),
        "protected": explanation.protected,
        "rules": [
            {
                "rule": one.rule.name,
                "place": one.rule.place.value,
                "severity": one.rule.severity.value,
                "because": one.rule.explanation,
                "origin": one.rule.origin,
                "pattern": shown(one.pattern.written or one.pattern.text),
                "real_pattern": shown(one.pattern.text) if one.pattern.written else None,
                "package": one.package,
            }
            for one in explanation.rules
        ],
        "outcomes": [
            {
                "change": outcome.act,
                "severity": outcome.severity.value if outcome.severity else None,
                "rule": outcome.rule or None,
                "origin": outcome.origin or None,
                "sentence": outcome.sentence,
            }
            for outcome in explanation.outcomes
        ],
        "exceptions": [_exception_as_plain(exception) for exception in explanation.exceptions],
        "roles": [_role_as_plain(role) for role in explanation.roles],
    }


def policy_text(policy: Policy) -> str:
    """Return the merged policy for ``policy show``: lines without control characters, ending in a newline."""
    return "\n".join(shown(line) for line in _policy_lines(policy)) + "\n"


def explanation_text(explanation: PathExplanation) -> str:
    """Return ``explanation`` for ``policy test``: lines without control characters, ending in a newline."""
    lines = [explanation.path.decode("utf-8", "surrogateescape")]
    lines += [f"  {outcome.act + ':':<9} {outcome.sentence}" for outcome in explanation.outcomes]
    if not explanation.rules:
        lines.append("  no rule names this path; the built-in checks decide")
    for order, one in enumerate(explanation.rules):
        only = f", for the package {one.package} only" if one.package else ""
        lines.append(f"  {'rule' if order == 0 else 'also'} {one.rule.name} ({_weight(one.rule)}{only})")
        lines.append(f"       {one.rule.explanation}")
        lines.append(f"       {one.rule.origin}: {_pattern_text(one.pattern)}")
    for role in explanation.roles:
        lines.append(f"  role {role.name} ({_role_weight(role)}): {role.explanation}")
        lines.append(f"       {role.origin}: the last package that brings this file stays unless it is named")
    for exception in explanation.exceptions:
        lines.append(
            f"  exception {exception.name}{_expiry(exception)}: {exception.reason} ({exception.origin})"
        )
    return "\n".join(shown(line) for line in lines) + "\n"


def _policy_lines(policy: Policy) -> Iterator[str]:
    for name, value in (
        ("mode", policy.mode.value),
        ("when_unable", policy.when_unable.value),
        ("rehearse_triggers", str(policy.rehearse_triggers).lower()),
    ):
        yield f"{name} = {value}  ({policy.origins.get(name, BUILT_IN)})"
    for name, value in asdict(policy.limits).items():
        yield f"limits.{name} = {value}  ({policy.origins.get(f'limits.{name}', BUILT_IN)})"
    for rule in policy.path_rules:
        yield ""
        yield f"rule {rule.name}: {_weight(rule)}  ({rule.origin})"
        yield f"  {rule.explanation}"
        if rule.changes:
            yield f"  for changes: {', '.join(sorted(rule.changes))}"
        for pattern in rule.patterns:
            yield f"  {_pattern_text(pattern)}"
        for origin in rule.overrides:
            yield f"  overrides {origin}"
    yield ""
    for name, check in sorted(policy.checks.items()):
        yield f"check {name}: {check.severity.value}  ({check.origin})"
    for role in policy.roles:
        yield ""
        yield f"role {role.name}: {_role_weight(role)}  ({role.origin})"
        yield f"  {role.explanation}"
        yield f"  packages: {', '.join(role.packages)}"
        yield from (f"  {path}" for path in role.paths)
        yield from (f"  overrides {origin}" for origin in role.overrides)
    for known in policy.triggers:
        yield ""
        yield f"trigger {known.name}: {'rehearsed' if known.rehearse else 'left out'}  ({known.origin})"
        yield f"  {known.explanation}"
        yield f"  packages: {', '.join(known.packages)}"
        yield from (f"  overrides {origin}" for origin in known.overrides)
    for exception in policy.exceptions:
        yield ""
        yield f"exception {exception.name}{_expiry(exception)}  ({exception.origin})"
        yield f"  {exception.reason}"
        for label, names in (("packages", exception.packages), ("rules", exception.rules)):
            if names:
                yield f"  {label}: {', '.join(sorted(names))}"
        for pattern in exception.paths:
            yield f"  {_pattern_text(pattern)}"
    yield ""
    yield "read, in this order:"
    yield from (f"  {source}" for source in policy.sources or ("nothing",))


def _weight(rule: PathRule) -> str:
    if rule.severity.value == "ignore":
        return f"{rule.place.value}, switched off"
    if rule.place in (Place.OWN, Place.SHARED_STATE):
        return str(rule.place.value)
    return f"{rule.place.value}, {rule.severity.value}"


def _role_weight(role: Role) -> str:
    if role.severity.value == "ignore":
        return "switched off"
    return f"{role.severity.value}, even if asked" if role.even_if_asked else role.severity.value


def _pattern_text(pattern: Pattern) -> str:
    return pattern.text + (f" (the real place of {pattern.written})" if pattern.written else "")


def _expiry(exception: PolicyException) -> str:
    return f", until {exception.expires}" if exception.expires else ""


def _texts(patterns: Iterable[Pattern]) -> list[str]:
    return [shown(pattern.text) for pattern in patterns if not pattern.written]


def _real_places(patterns: Iterable[Pattern]) -> list[dict[str, str]]:
    return [
        {"pattern": shown(pattern.written), "real": shown(pattern.text)}
        for pattern in patterns
        if pattern.written
    ]


def _rule_as_plain(rule: PathRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "place": rule.place.value,
        "paths": _texts(rule.patterns),
        "real_places": _real_places(rule.patterns),
        "severity": rule.severity.value,
        "changes": sorted(rule.changes),
        "because": rule.explanation,
        "origin": rule.origin,
        "overrides": list(rule.overrides),
    }


def _role_as_plain(role: Role) -> dict[str, Any]:
    return {
        "name": role.name,
        "packages": list(role.packages),
        "paths": [shown(path) for path in role.paths],
        "severity": role.severity.value,
        "even_if_asked": role.even_if_asked,
        "because": role.explanation,
        "origin": role.origin,
        "overrides": list(role.overrides),
    }


def _trigger_as_plain(rule: TriggerRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "packages": list(rule.packages),
        "rehearse": rule.rehearse,
        "because": rule.explanation,
        "origin": rule.origin,
        "overrides": list(rule.overrides),
    }


def _exception_as_plain(exception: PolicyException) -> dict[str, Any]:
    return {
        "name": exception.name,
        "reason": exception.reason,
        "packages": sorted(exception.packages),
        "rules": sorted(exception.rules),
        "paths": _texts(exception.paths),
        "expires": exception.expires,
        "origin": exception.origin,
    }
