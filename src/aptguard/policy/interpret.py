# SPDX-License-Identifier: GPL-3.0-or-later
"""From the TOML of one policy file to its meaning: words, names, patterns and dates are checked here."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from aptguard.changes.model import Kind
from aptguard.policy.checks import CHECK_NAMES
from aptguard.policy.finding import Severity
from aptguard.policy.lines import Location
from aptguard.policy.model import Mode, PathRule, Place, PolicyException, WhenUnable
from aptguard.policy.pattern import Pattern
from aptguard.policy.pattern_syntax import PatternError, checked
from aptguard.policy.policy_file import PolicyFile
from aptguard.policy.problem import PolicyProblem, one_of, quoted
from aptguard.policy.pydantic_versions import Fault, Misfit, MisfitError, field_descriptions, read_table
from aptguard.policy.schema import (
    NAMED_TABLES,
    CheckTable,
    ExceptionTable,
    LimitsTable,
    PolicyTable,
    RuleTable,
    table_at,
)

E = TypeVar("E", bound=Enum)

LIMIT_RANGES: dict[str, tuple[int, int]] = {
    "seconds": (1, 86_400),
    "upper_mib": (16, 1 << 20),
    "memory_mib": (64, 1 << 20),
    "processes": (16, 1_000_000),
    "changes": (1_000, 100_000_000),
    "keep_days": (1, 36_500),
    "override_minutes": (1, 1_440),
}

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # Debian policy 5.6.1
_LONGEST_NAME = 64
_LONGEST_SENTENCE = 400


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a later file changes of a rule or a check it does not write anew; None leaves what was."""

    name: str
    origin: str
    location: Location
    severity: Severity | None = None
    changes: frozenset[str] | None = None
    explanation: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """What one file says; ``limits`` holds only those that are written."""

    file: PolicyFile
    mode: Mode | None = None
    when_unable: WhenUnable | None = None
    rehearse_triggers: bool | None = None
    limits: dict[str, int] = field(default_factory=dict)
    rules: tuple[PathRule | Amendment, ...] = ()
    checks: tuple[Amendment, ...] = ()
    exceptions: tuple[PolicyException, ...] = ()

    def problem_at(self, location: Location, wrong: str, right: str) -> PolicyProblem:
        """Return the problem of the key ``location``."""
        return PolicyProblem(self.file.path, wrong, right, self.file.line(location), dotted(location))


def interpret(file: PolicyFile) -> tuple[PolicyPart, tuple[PolicyProblem, ...]]:
    """Return what ``file`` says and all that is wrong with it; with a problem the part must not be used."""
    return _Interpreter(file).part()


def dotted(location: Location) -> str:
    """Return ``location`` as it is shown: ``rule.databases.paths[2]``, counted from 1 for the reader."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step + 1}]"
        else:
            plain = re.fullmatch(r"[A-Za-z0-9_-]+", step)
            text += ("." if text else "") + (step if plain else quoted(step))
    return text


class _Interpreter:
    def __init__(self, file: PolicyFile) -> None:
        self._file = file
        self._problems: list[PolicyProblem] = []

    def part(self) -> tuple[PolicyPart, tuple[PolicyProblem, ...]]:
        try:
            table = read_table(PolicyTable, self._file.plain)
        except MisfitError as error:
            self._problems += [self._shape_problem(misfit) for misfit in error.misfits]
            return PolicyPart(self._file), tuple(self._problems)
        part = PolicyPart(
            file=self._file,
            mode=self._word(Mode, ("mode",), table.mode),
            when_unable=self._word(WhenUnable, ("when_unable",), table.when_unable),
            rehearse_triggers=table.rehearse_triggers,
            limits=self._limits(table.limits),
            rules=tuple(filter(None, (self._rule(name, rule) for name, rule in table.rule.items()))),
            checks=tuple(filter(None, (self._check(name, check) for name, check in table.check.items()))),
            exceptions=tuple(self._exception(name, one) for name, one in table.exception.items()),
        )
        return part, tuple(sorted(self._problems, key=lambda problem: problem.line or 0))

    def _wrong(self, location: Location, wrong: str, right: str) -> None:
        self._problems.append(
            PolicyProblem(self._file.path, wrong, right, self._file.line(location), dotted(location))
        )

    def _origin(self, location: Location) -> str:
        return f"{self._file.path}:{self._file.line(location)}"

    def _shape_problem(self, misfit: Misfit) -> PolicyProblem:
        location = misfit.location
        model = table_at(location)
        known = field_descriptions(model) if model is not None else {}
        name = location[2] if len(location) > 2 and location[0] in NAMED_TABLES else location[-1]
        if location[0] == "limits" and len(location) > 1:
            name = location[1]
        match misfit.fault:
            case Fault.UNKNOWN_KEY:
                wrong, right = "there is no such key here", one_of(str(location[-1]), known)
            case Fault.MISSING:
                wrong, right = f"the key {name} is missing", known.get(str(name), "write it")
            case Fault.KIND:
                wrong = f"it is {_kind(_value_at(self._file.plain, location))}"
                right = known.get(str(name), "") or f"write a table, [{dotted(location)}]"
        return PolicyProblem(self._file.path, wrong, right, self._file.line(location), dotted(location))

    def _word(self, words: type[E], location: Location, given: str | None) -> E | None:
        if given is None:
            return None
        try:
            return words(given)
        except ValueError:
            self._wrong(
                location, f"{quoted(given)} is not known", one_of(given, (str(w.value) for w in words))
            )
            return None

    def _limits(self, table: LimitsTable | None) -> dict[str, int]:
        limits = {}
        for name, (least, most) in LIMIT_RANGES.items():
            value: int | None = getattr(table, name) if table is not None else None
            if value is None:
                continue
            if not least <= value <= most:
                self._wrong(("limits", name), f"{quoted(value)} is out of range", f"write {least} to {most}")
            limits[name] = value
        return limits

    def _rule(self, name: str, table: RuleTable) -> PathRule | Amendment | None:
        here: Location = ("rule", name)
        self._check_name(here, name)
        if name in CHECK_NAMES:
            self._wrong(
                here,
                f"{quoted(name)} is the name of a built-in check",
                f"write [check.{name}], or another name",
            )
        place = self._word(Place, (*here, "place"), table.place)
        severity = self._word(Severity, (*here, "severity"), table.severity)
        changes = self._changes((*here, "changes"), table.changes)
        explanation = self._sentence((*here, "because"), table.because)
        if table.place is None and table.paths is None:
            if severity is None and changes is None and explanation is None:
                self._wrong(here, "the rule says nothing", "give it place, paths and because")
            return Amendment(name, self._origin(here), here, severity, changes, explanation)
        for key, value in (("place", table.place), ("paths", table.paths), ("because", table.because)):
            if value is None:
                self._wrong(
                    here, f"the key {key} is missing", field_descriptions(RuleTable)[key] or "write it"
                )
        patterns = self._patterns((*here, "paths"), table.paths or [], must=table.paths is not None)
        if place is None:
            return None
        return PathRule(
            name=name,
            place=place,
            patterns=patterns,
            explanation=explanation or "",
            severity=severity or Severity.BLOCK,
            changes=changes or frozenset(),
            origin=self._origin(here),
        )

    def _check(self, name: str, table: CheckTable) -> Amendment | None:
        here: Location = ("check", name)
        if name not in CHECK_NAMES:
            self._wrong(here, "there is no such check", one_of(name, CHECK_NAMES))
            return None
        severity = self._word(Severity, (*here, "severity"), table.severity)
        explanation = self._sentence((*here, "because"), table.because)
        if table.severity is None and table.because is None:
            self._wrong(here, "the table says nothing", 'write severity = "block", "warn" or "ignore"')
        return Amendment(name, self._origin(here), here, severity, None, explanation)

    def _exception(self, name: str, table: ExceptionTable) -> PolicyException:
        here: Location = ("exception", name)
        self._check_name(here, name)
        for key in ("packages", "rules", "paths"):
            if getattr(table, key) == []:
                self._wrong((*here, key), "the list is empty", "name something, or leave the key out for all")
        if table.packages is None and table.rules is None and table.paths is None:
            self._wrong(here, "it would allow everything", "limit it with packages, rules or paths")
        for index, package in enumerate(table.packages or ()):
            if not _PACKAGE.fullmatch(package):
                self._wrong(
                    (*here, "packages", index),
                    f"{quoted(package)} is no name of a package",
                    'write it as dpkg does, without architecture or version, such as "postgresql-15"',
                )
        return PolicyException(
            name=name,
            reason=self._sentence((*here, "reason"), table.reason) or "",
            packages=frozenset(table.packages or ()),
            rules=frozenset(table.rules or ()),
            paths=self._patterns((*here, "paths"), table.paths or [], must=False),
            expires=self._date((*here, "expires"), table.expires),
            origin=self._origin(here),
        )

    def _check_name(self, location: Location, name: str) -> None:
        if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            self._wrong(
                location,
                f"{quoted(name)} cannot be a name",
                f"use up to {_LONGEST_NAME} small letters and digits, with single hyphens between words",
            )

    def _changes(self, location: Location, given: list[str] | None) -> frozenset[str] | None:
        if given is None:
            return None
        if not given:
            self._wrong(location, "the list is empty", "leave the key out for all kinds of change")
        known = [kind.value for kind in Kind]
        for index, word in enumerate(given):
            if word not in known:
                self._wrong((*location, index), f"{quoted(word)} is no kind of change", one_of(word, known))
        return frozenset(given)

    def _sentence(self, location: Location, given: str | None) -> str | None:
        if given is None:
            return None
        if not given.strip():
            self._wrong(location, "it is empty", "write one sentence")
        elif not given.isprintable():
            self._wrong(
                location, "it has a line break or a control character in it", "write one line of text"
            )
        elif len(given) > _LONGEST_SENTENCE:
            self._wrong(location, f"it has {len(given)} characters", f"write at most {_LONGEST_SENTENCE}")
        return given

    def _patterns(self, location: Location, texts: Iterable[str], *, must: bool) -> tuple[Pattern, ...]:
        patterns = []
        for index, text in enumerate(texts):
            try:
                patterns.append(Pattern(checked(text)))
            except PatternError as error:
                self._wrong((*location, index), error.wrong, error.right)
        if must and not texts:
            self._wrong(
                location,
                "the list is empty",
                'name a path, or write severity = "ignore" to switch the rule off',
            )
        return tuple(patterns)

    def _date(self, location: Location, given: Any) -> str | None:
        if given is None:
            return None
        if isinstance(given, datetime.date) and not isinstance(given, datetime.datetime):
            return given.isoformat()
        if isinstance(given, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", given, re.ASCII):
            try:
                return datetime.date.fromisoformat(given).isoformat()
            except ValueError:
                self._wrong(
                    location, f"there is no such day as {quoted(given)}", "write a day of the calendar"
                )
                return None
        self._wrong(location, f"it is {_kind(given)}, not a date", "write year-month-day, such as 2027-12-31")
        return None


def _value_at(plain: Any, location: Location) -> Any:
    for step in location:
        try:
            plain = plain[step]
        except (KeyError, IndexError, TypeError):
            return plain
    return plain


def _kind(value: Any) -> str:
    """Return the words for ``value`` in a message."""
    match value:
        case bool():
            return f"the value {str(value).lower()}"
        case int() | float():
            return f"the number {quoted(value)}"
        case str():
            return f"the text {quoted(value)}"
        case list():
            return "a list"
        case Mapping():
            return "a table"
        case datetime.datetime() | datetime.time():
            return f"the time {quoted(value)}"
        case datetime.date():
            return f"the date {value}"
        case _:
            return f"a {type(value).__name__}"
