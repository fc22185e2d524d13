# SPDX-License-Identifier: GPL-3.0-or-later
"""``aptguard policy check``: all that is wrong, or probably not meant, in policy files."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from aptguard.policy.finding import Severity
from aptguard.policy.glob_bounded import matches_something
from aptguard.policy.interpret import PolicyPart
from aptguard.policy.layers import Layers, PolicyPaths, find_layers
from aptguard.policy.lines import Location
from aptguard.policy.load import read_parts
from aptguard.policy.merge import merge
from aptguard.policy.model import PathRule, Place, Policy
from aptguard.policy.pattern_syntax import components, literal_prefix
from aptguard.policy.precedence import rank
from aptguard.policy.problem import Gravity, PolicyProblem
from aptguard.policy.real_places import real_text
from aptguard.policy.roles import Role, TriggerRule

Installed = Callable[[], frozenset[str] | None]


def check_files(
    files: Sequence[str] = (),
    paths: PolicyPaths = PolicyPaths(),  # noqa: B008
    *,
    today: datetime.date | None = None,
    installed: Installed | None = None,
) -> list[PolicyProblem]:
    """Return the errors and warnings of ``files``, laid over the policy of this machine.

    By default of all its files; problems of files that were not asked for are left out. Warnings are for
    the administrator's files and for those asked for: the shipped ones name many places that one machine
    does not have. ``installed`` returns the names of the installed packages, None where nobody can tell.
    """
    layers = find_layers(paths)
    asked = [os.path.abspath(file) for file in files]
    below = [path for path in layers.in_force if os.path.abspath(path) not in asked]
    concerned = set(asked) or {*layers.in_force, *(problem.file for problem in layers.problems)}
    parts, problems = read_parts([*below, *asked] if asked else layers.in_force)
    policy, misfits = merge(parts)
    problems += misfits
    if not asked:
        problems += layers.problems
        problems += _masked(layers)
    spoken_for = set(asked) - {*layers.vendor} if asked else {*layers.admin}
    problems += _warnings(parts, policy, spoken_for, today or datetime.date.today(), installed)
    return sorted(
        (problem for problem in problems if problem.file in concerned),
        key=lambda problem: (problem.file, problem.line or 0, problem.key),
    )


def _masked(layers: Layers) -> list[PolicyProblem]:
    return [
        PolicyProblem(
            admin,
            f"it takes the place of {shipped}, all of it",
            "give it another name to add to the shipped rules",
            gravity=Gravity.WARNING,
        )
        for shipped, admin in layers.masked
    ]


def _warnings(
    parts: Sequence[PolicyPart],
    policy: Policy,
    files: set[str],
    today: datetime.date,
    installed: Installed | None,
) -> list[PolicyProblem]:
    problems: list[PolicyProblem] = []
    for part in parts:
        if part.file.path not in files:
            continue
        problems += _writable_by_others(part)
        for rule in part.rules:
            if not isinstance(rule, PathRule):
                continue
            problems += _taking_the_place(part, rule, policy, files)
            if all(rule.patterns != one.patterns for one in policy.path_rules if one.name == rule.name):
                problems.append(_overridden(part, rule, policy))
                continue
            for index, pattern in enumerate(rule.patterns):
                location: Location = ("rule", rule.name, "paths", index)
                problems += _of_place(part, location, pattern.text)
                problems += _contradictions(part, location, rule, pattern.text, policy)
        problems += _held_by_nobody(part, installed)
        for exception in part.exceptions:
            if exception.expires is not None and exception.expires < today.isoformat():
                problems.append(
                    _warning(
                        part,
                        ("exception", exception.name, "expires"),
                        f"the exception expired on {exception.expires}",
                        "remove it, or give it a later date",
                    )
                )
            for index, pattern in enumerate(exception.paths):
                problems += _of_place(part, ("exception", exception.name, "paths", index), pattern.text)
    return problems


def _warning(part: PolicyPart, location: Location, wrong: str, right: str) -> PolicyProblem:
    file = part.file
    problem = part.problem_at(location, wrong, right)
    return PolicyProblem(file.path, wrong, right, problem.line, problem.key, Gravity.WARNING)


def _writable_by_others(part: PolicyPart) -> list[PolicyProblem]:
    try:
        status = os.stat(part.file.path)
    except OSError:
        return []
    if part.file.masks or (status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022):
        return []
    return [
        _warning(part, (), "others than root can write this file", "chown it to root and chmod it to 0644")
    ]


def _taking_the_place(
    part: PolicyPart, rule: PathRule, policy: Policy, files: set[str]
) -> list[PolicyProblem]:
    """Return a warning where a rule replaces one of the shipped files, which are not in ``files``."""
    now = next((one for one in policy.path_rules if one.name == rule.name), None)
    if now is None or now.origin != part.origin(("rule", rule.name)) or not now.overrides:
        return []
    if now.overrides[-1].rpartition(":")[0] in files:
        return []  # there it is told that it has no effect
    return [
        _warning(
            part,
            ("rule", rule.name),
            f"it takes the place of the rule of this name at {now.overrides[-1]}, all of it",
            "give it another name to add to that rule, or leave out place and paths to change only the rest",
        )
    ]


def _held_by_nobody(part: PolicyPart, installed: Installed | None) -> list[PolicyProblem]:
    """Return warnings for roles and triggers that mean no package of this machine."""
    named: list[tuple[Location, tuple[str, ...]]] = [
        *((("role", one.name), one.packages) for one in part.roles if isinstance(one, Role)),
        *((("trigger", one.name), one.packages) for one in part.triggers if isinstance(one, TriggerRule)),
    ]
    names = installed() if named and installed is not None else None
    if names is None:
        return []
    return [
        _warning(
            part,
            (*location, "packages"),
            f"no package that is installed here is called {' or '.join(packages[:3])}",
            "check the spelling; it still holds for what comes later",
        )
        for location, packages in named
        if not any(fnmatchcase(name, pattern) for name in names for pattern in packages)
    ]


def _overridden(part: PolicyPart, rule: PathRule, policy: Policy) -> PolicyProblem:
    later = next((one.origin for one in policy.path_rules if one.name == rule.name), "another file")
    return _warning(
        part,
        ("rule", rule.name),
        f"the rule has no effect as written, since {later} overrides it",
        "remove one of the two, or give one another name",
    )


def _of_place(part: PolicyPart, location: Location, text: str) -> list[PolicyProblem]:
    """Return a warning where nothing on this machine is meant, or where the path leads through a link."""
    if matches_something(text) is False and matches_something(real_text(text) or text) is False:
        return [
            _warning(
                part,
                location,
                f"{text} matches nothing on this machine",
                "check the spelling; it still holds for what comes later",
            )
        ]
    return []


def _contradictions(
    part: PolicyPart, location: Location, rule: PathRule, text: str, policy: Policy
) -> list[PolicyProblem]:
    if rule.severity is Severity.IGNORE:
        return []
    problems = []
    for other in policy.path_rules:
        if other.name == rule.name or other.severity is Severity.IGNORE or other.place is rule.place:
            continue
        first, second = sorted((rule, other), key=rank)
        same = any(pattern.text == text for pattern in other.patterns)
        if not _silences(first, second):
            if same and _permits(second) and (kinds := _shared_kinds(first, second)):
                problems.append(
                    _warning(
                        part,
                        location,
                        f"{text} is {rule.place.value} here and {other.place.value} in the rule {other.name} "
                        f"({other.origin}); for {kinds} {first.name} speaks, {second.name} does not",
                        "take it out of one of the two, or give it other changes",
                    )
                )
            continue
        if same:
            problems.append(
                _warning(
                    part,
                    location,
                    f"{text} is {rule.place.value} here and {other.place.value} in the rule {other.name} "
                    f"({other.origin}); {first.name} speaks, {second.name} does not",
                    "take it out of one of the two",
                )
            )
        elif (
            _permits(rule) and rank(other) < rank(rule) and any(_covers(p.text, text) for p in other.patterns)
        ):
            problems.append(
                _warning(
                    part,
                    location,
                    f"the rule never speaks for {text}, since the rule {other.name} ({other.origin}) "
                    f"makes all of it {other.place.value}",
                    f"write an exception to {other.name}, or take the path out of it",
                )
            )
    return problems


def _silences(first: PathRule, second: PathRule) -> bool:
    """Whether ``first`` leaves no kind of change to ``second`` where both match."""
    return not first.changes or (bool(second.changes) and second.changes <= first.changes)


def _shared_kinds(first: PathRule, second: PathRule) -> str:
    """Return for which kinds of change both rules are made, as words."""
    kinds = first.changes & second.changes if second.changes else first.changes
    return ", ".join(sorted(kinds))


def _permits(rule: PathRule) -> bool:
    return rule.place in (Place.OWN, Place.SHARED_STATE)


def _covers(wide: str, narrow: str) -> bool:
    """Whether ``wide`` is a directory with all below it, and ``narrow`` lies in it."""
    parts = components(wide)
    prefix = literal_prefix(wide)
    return (
        parts[-1:] == ["**"]
        and len(prefix) == len(parts) - 1
        and literal_prefix(narrow)[: len(prefix)] == prefix
    )
