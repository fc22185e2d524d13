# SPDX-License-Identifier: GPL-3.0-or-later
"""Laying the files of a policy over each other: a later one speaks louder. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aptguard.policy.checks import DEFAULT_CHECKS
from aptguard.policy.interpret import PolicyPart
from aptguard.policy.model import PathRule, Policy, PolicyException
from aptguard.policy.precedence import rank
from aptguard.policy.problem import Gravity, PolicyProblem, one_of
from aptguard.policy.reading import Amendment
from aptguard.policy.role_tables import amended_role, amended_trigger
from aptguard.policy.roles import Role, TriggerRule


def merge(parts: Sequence[PolicyPart]) -> tuple[Policy, tuple[PolicyProblem, ...]]:
    """Return the policy that ``parts``, in this order, make together, and what does not fit together.

    The path rules come in their order of precedence.

    A rule with paths replaces an earlier one of its name; one without changes only what it names, and it is
    an error if there is nothing to change. Checks always change the built-in ones. An exception replaces an
    earlier one of its name; naming a rule that does not exist is a warning, since it allows nothing.
    """
    rules: dict[str, PathRule] = {}
    roles: dict[str, Role] = {}
    triggers: dict[str, TriggerRule] = {}
    exceptions: dict[str, tuple[PolicyException, PolicyPart]] = {}
    policy = Policy(checks=dict(DEFAULT_CHECKS))
    problems: list[PolicyProblem] = []
    for part in parts:
        policy = _with_settings(policy, part)
        for written, kept, amended in (
            (part.rules, rules, _amended),
            (part.roles, roles, amended_role),
            (part.triggers, triggers, amended_trigger),
        ):
            problems += _lay_over(part, written, kept, amended)
        for check in part.checks:
            before = policy.checks[check.name]
            policy.checks[check.name] = replace(
                before,
                severity=check.severity or before.severity,
                explanation=check.explanation or before.explanation,
                origin=check.origin,
            )
        for exception in part.exceptions:
            exceptions[exception.name] = (exception, part)
    known = {*rules, *roles, *policy.checks}
    for exception, part in exceptions.values():
        problems += _unknown_rules(exception, part, known)
    merged = replace(
        policy,
        path_rules=tuple(sorted(rules.values(), key=rank)),
        exceptions=tuple(exception for exception, _ in exceptions.values()),
        roles=tuple(roles.values()),
        triggers=tuple(triggers.values()),
        sources=tuple(part.file.path for part in parts),
    )
    return merged, tuple(problems)


def _with_settings(policy: Policy, part: PolicyPart) -> Policy:
    origins = dict(policy.origins)
    for name in ("mode", "when_unable", "rehearse_triggers"):
        if getattr(part, name) is not None:
            origins[name] = f"{part.file.path}:{part.file.line((name,))}"
    for name in part.limits:
        origins[f"limits.{name}"] = f"{part.file.path}:{part.file.line(('limits', name))}"
    return replace(
        policy,
        mode=part.mode or policy.mode,
        when_unable=part.when_unable or policy.when_unable,
        rehearse_triggers=policy.rehearse_triggers
        if part.rehearse_triggers is None
        else part.rehearse_triggers,
        limits=replace(policy.limits, **part.limits),
        origins=origins,
    )


def _lay_over(part: PolicyPart, written: Any, kept: dict[str, Any], amended: Any) -> list[PolicyProblem]:
    """Put what a file has ``written`` over what earlier ones had; return what has nothing to change."""
    problems = []
    for one in written:
        earlier = kept.get(one.name)
        if not isinstance(one, Amendment):
            kept[one.name] = one if earlier is None else replace(one, overrides=_origins(earlier))
        elif earlier is not None:
            kept[one.name] = amended(earlier, one)
        else:
            problems.append(_nothing_to_amend(part, one, kept))
    return problems


def _origins(rule: Any) -> tuple[str, ...]:
    return (*rule.overrides, rule.origin)


def _amended(rule: PathRule, amendment: Amendment) -> PathRule:
    return replace(
        rule,
        severity=amendment.severity or rule.severity,
        changes=rule.changes if amendment.changes is None else amendment.changes,
        explanation=amendment.explanation or rule.explanation,
        origin=amendment.origin,
        overrides=_origins(rule),
    )


def _nothing_to_amend(part: PolicyPart, amendment: Amendment, rules: dict[str, Any]) -> PolicyProblem:
    kind = str(amendment.location[0])
    needed = "place, paths and because" if kind == "rule" else "packages and because"
    return part.problem_at(
        amendment.location,
        f"no earlier file has a {kind} of this name to change",
        (one_of(amendment.name, rules) if rules else "check the name") + f", or add {needed} for a new one",
    )


def _unknown_rules(exception: PolicyException, part: PolicyPart, known: set[str]) -> list[PolicyProblem]:
    written = part.file.plain["exception"][exception.name].get("rules", [])
    return [
        replace(
            part.problem_at(
                ("exception", exception.name, "rules", index),
                f'there is no rule or check "{name}"',
                one_of(name, known),
            ),
            gravity=Gravity.WARNING,
        )
        for index, name in enumerate(written)
        if name not in known
    ]
