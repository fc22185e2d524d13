# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands policy show, policy test and policy check; they read the policy files themselves."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import sys
from typing import assert_never

from aptguard.cli.output import print_json, stdout_style
from aptguard.guard.errors import GuardError
from aptguard.host.installed import installed_packages
from aptguard.policy.check import check_files
from aptguard.policy.describe import (
    explanation_as_plain,
    explanation_text,
    policy_as_plain,
    policy_text,
    problem_as_plain,
)
from aptguard.policy.explain import canonical_path, explain_path
from aptguard.policy.load import LoadedPolicy, load_policy
from aptguard.policy.model import Policy
from aptguard.policy.problem import Gravity
from aptguard.shown import shown

_PROTECTED, _INVALID = 10, 2


def show(arguments: argparse.Namespace) -> int:
    """Print the rules in force, merged, with where each is written: 2 when a file was refused."""
    loaded = _load()
    policy = _only(loaded.policy, arguments.rules) if arguments.rules else loaded.policy
    if arguments.json:
        problems = [problem_as_plain(problem) for problem in loaded.problems]
        print_json({**policy_as_plain(policy), "degraded": loaded.degraded, "problems": problems})
    else:
        text = policy_text(policy)
        if arguments.rules:  # without the settings at its head and the list of files at its end
            text = "\n\n".join(part for part in text.split("\n\n")[1:-1] if part.strip())
        print(stdout_style().fit(text).rstrip("\n"))
    return _INVALID if loaded.degraded else 0


def test(arguments: argparse.Namespace) -> int:
    """Say which rule speaks for each path: 10 when one of them is protected."""
    policy = _load().policy
    here = os.getcwdb()
    explanations = [explain_path(policy, canonical_path(os.fsencode(path), here)) for path in arguments.paths]
    if arguments.json:
        print_json({"paths": [explanation_as_plain(explanation) for explanation in explanations]})
    else:
        texts = (explanation_text(explanation).rstrip("\n") for explanation in explanations)
        print(stdout_style().fit("\n\n".join(texts)))
    return _PROTECTED if any(explanation.protected for explanation in explanations) else 0


def check(arguments: argparse.Namespace) -> int:
    """Say what is wrong with policy files (those in force when none is named): 2 when one is invalid."""
    problems = check_files(arguments.files, installed=installed_packages)
    invalid = any(_is_error(problem.gravity) for problem in problems)
    if arguments.json:
        print_json({"valid": not invalid, "problems": [problem_as_plain(problem) for problem in problems]})
    else:
        for problem in problems:
            print(problem.sentence(), file=sys.stderr if _is_error(problem.gravity) else sys.stdout)
        if not problems:
            print("The policy is valid.")
    return _INVALID if invalid else 0


def _only(policy: Policy, names: list[str]) -> Policy:
    """Return ``policy`` with the named rules, checks and exceptions only; GuardError for an unknown name."""
    known = {rule.name for rule in policy.path_rules} | set(policy.checks)
    known |= {exception.name for exception in policy.exceptions}
    known |= {role.name for role in policy.roles} | {rule.name for rule in policy.triggers}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else "see: aptguard policy show"
            raise GuardError("InvalidParameter", f"There is no rule '{shown(name)}'; {hint}")
    return dataclasses.replace(
        policy,
        path_rules=tuple(rule for rule in policy.path_rules if rule.name in names),
        checks={name: check for name, check in policy.checks.items() if name in names},
        exceptions=tuple(exception for exception in policy.exceptions if exception.name in names),
        roles=tuple(role for role in policy.roles if role.name in names),
        triggers=tuple(rule for rule in policy.triggers if rule.name in names),
    )


def _load() -> LoadedPolicy:
    loaded = load_policy(remember=False)
    for problem in loaded.problems:
        print(f"aptguard: {problem.sentence()}", file=sys.stderr)
    return loaded


def _is_error(gravity: Gravity) -> bool:
    match gravity:
        case Gravity.ERROR:
            return True
        case Gravity.WARNING:
            return False
        case _:
            assert_never(gravity)
