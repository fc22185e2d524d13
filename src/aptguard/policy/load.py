# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy in force: the files of all layers, or, where one is broken, the last that was valid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from aptguard.changes.model import Kind
from aptguard.policy.checks import BUILT_IN, DEFAULT_CHECKS
from aptguard.policy.file_bytes import PolicyFileError
from aptguard.policy.finding import Severity
from aptguard.policy.interpret import PolicyPart, interpret
from aptguard.policy.last_valid import load_last_valid, made_of, save_last_valid
from aptguard.policy.layers import PolicyPaths, find_layers
from aptguard.policy.loaded import Basis, LoadedPolicy
from aptguard.policy.merge import merge
from aptguard.policy.model import PathRule, Place, Policy
from aptguard.policy.pattern import Pattern
from aptguard.policy.policy_file import read_policy_file
from aptguard.policy.problem import Gravity, PolicyProblem
from aptguard.policy.real_places import with_real_places

_BROKEN = "The policy files are broken, and"


def _last_resort(name: str, place: Place, words: str, because: str, changes: frozenset[str]) -> PathRule:
    return PathRule(
        name=name,
        place=place,
        patterns=tuple(map(Pattern, words.split())),
        changes=changes,
        explanation=because,
        severity=Severity.BLOCK,
        origin=BUILT_IN,
    )


# Used beside what is left of the shipped files when those are broken and no valid policy was ever kept. What
# dpkg and apt write in each run is among it: or nothing could be installed that mends the files.
LAST_RESORT = (
    _last_resort(
        "last-resort",
        Place.DATA,
        "/home/** /root/** /srv/** /var/lib/mysql/** /var/lib/postgresql/** /var/mail/** /var/www/**",
        f"{_BROKEN} this place usually holds somebody's data.",
        frozenset(),
    ),
    _last_resort(
        "last-resort-database",
        Place.PROTECTED,
        "/var/lib/dpkg /var/lib/dpkg/status /var/lib/dpkg/info",
        f"{_BROKEN} without dpkg's database nothing can be repaired.",
        frozenset({Kind.DELETED.value, Kind.TYPE.value}),
    ),
    _last_resort(
        "last-resort-bookkeeping",
        Place.SHARED_STATE,
        "/var/lib/dpkg/** /var/log/dpkg.log* /var/lib/apt/** /var/cache/apt/** /var/log/apt/**"
        " /var/cache/debconf/** /etc/alternatives/** /var/log/alternatives.log*"
        " /var/lib/systemd/deb-systemd-*/**",
        f"{_BROKEN} the package managers keep their own books here.",
        frozenset(),
    ),
)


def load_policy(paths: PolicyPaths = PolicyPaths(), *, remember: bool = True) -> LoadedPolicy:  # noqa: B008
    """Return the policy in force; raises nothing for broken files.

    With an error in any file none of them counts: the last valid policy stays in force, and where none was
    kept, the shipped files alone. ``remember`` keeps a copy of a valid policy; leave it off where only
    something is shown.
    """
    loaded = load_as_written(paths, remember=remember)
    return replace(loaded, policy=with_real_places(loaded.policy))


def load_as_written(paths: PolicyPaths, *, remember: bool = True) -> LoadedPolicy:
    """Return the same as load_policy, but without the patterns for the real places of links."""
    layers = find_layers(paths)
    parts, problems = read_parts(layers.in_force)
    problems = [*layers.problems, *problems]
    policy, misfits = merge(parts)
    problems += misfits
    if not has_errors(problems):
        sources = None if problems else made_of([(part.file.path, part.file.digest) for part in parts])
        if remember and (warning := save_last_valid(paths.last_valid, policy, sources)) is not None:
            problems.append(warning)
        return LoadedPolicy(policy, tuple(problems))
    kept, problem = load_last_valid(paths.last_valid)
    if kept is not None:
        return LoadedPolicy(kept, tuple(problems), True, Basis.LAST_VALID)
    if problem is not None:
        problems.append(problem)
    policy, basis = _vendor_alone(layers.vendor)
    return LoadedPolicy(policy, tuple(problems), True, basis)


def read_parts(files: Iterable[str]) -> tuple[list[PolicyPart], list[PolicyProblem]]:
    """Return the parts of the ``files`` that are valid, in order, and all problems of the others."""
    parts: list[PolicyPart] = []
    problems: list[PolicyProblem] = []
    for path in files:
        try:
            part, wrong = interpret(read_policy_file(path))
        except PolicyFileError as error:
            problems.append(error.problem)
            continue
        problems += wrong
        if not wrong:
            parts.append(part)
    return parts, problems


def has_errors(problems: Iterable[PolicyProblem]) -> bool:
    """Whether one of ``problems`` makes a policy unusable."""
    return any(problem.gravity is Gravity.ERROR for problem in problems)


def _vendor_alone(files: tuple[str, ...]) -> tuple[Policy, Basis]:
    parts, problems = read_parts(files)
    policy, misfits = merge(parts)
    if parts and not has_errors([*problems, *misfits]):
        return policy, Basis.VENDOR
    checks = DEFAULT_CHECKS if not parts else policy.checks
    rest = replace(policy, path_rules=(*policy.path_rules, *LAST_RESORT), checks=dict(checks))
    return rest, Basis.BUILT_IN


__all__ = [
    "LAST_RESORT",
    "Basis",
    "LoadedPolicy",
    "PolicyPaths",
    "has_errors",
    "load_as_written",
    "load_policy",
    "read_parts",
]
