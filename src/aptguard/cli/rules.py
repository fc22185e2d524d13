# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands policy show, policy test and policy check; they read the policy files themselves."""

from __future__ import annotations

import argparse
import os
import sys
from typing import assert_never

from aptguard.cli.output import print_json, stdout_style
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
from aptguard.policy.problem import Gravity

_PROTECTED, _INVALID = 10, 2


def show(arguments: argparse.Namespace) -> int:
    """Print the rules in force, merged, with where each is written: 2 when a file was refused."""
    loaded = _load()
    if arguments.json:
        problems = [problem_as_plain(problem) for problem in loaded.problems]
        print_json({**policy_as_plain(loaded.policy), "degraded": loaded.degraded, "problems": problems})
    else:
        print(stdout_style().fit(policy_text(loaded.policy)).rstrip("\n"))
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
    problems = check_files(arguments.files)
    invalid = any(_is_error(problem.gravity) for problem in problems)
    if arguments.json:
        print_json({"valid": not invalid, "problems": [problem_as_plain(problem) for problem in problems]})
    else:
        for problem in problems:
            print(problem.sentence(), file=sys.stderr if _is_error(problem.gravity) else sys.stdout)
        if not problems:
            print("The policy is valid.")
    return _INVALID if invalid else 0


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
