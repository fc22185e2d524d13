# SPDX-License-Identifier: GPL-3.0-or-later
"""From the TOML of one policy file to its meaning: words, names, patterns and dates are checked here."""

from __future__ import annotations

import copy
import datetime
import re
from dataclasses import dataclass, field
from typing import Any

from aptguard.changes.model import Kind
from aptguard.policy.checks import CHECK_NAMES
from aptguard.policy.finding import Severity
from aptguard.policy.lines import Location
from aptguard.policy.model import Mode, PathRule, Place, PolicyException, WhenUnable
from aptguard.policy.policy_file import PolicyFile
from aptguard.policy.problem import PolicyProblem, one_of, quoted
from aptguard.policy.pydantic_versions import Fault, Misfit, MisfitError, field_descriptions, read_table
from aptguard.policy.reading import Amendment, Reader, dotted, kind_of
from aptguard.policy.role_tables import read_role, read_trigger
from aptguard.policy.roles import Role, TriggerRule
from aptguard.policy.schema import (
    NAMED_TABLES,
    CheckTable,
    ExceptionTable,
    LimitsTable,
    PolicyTable,
    RuleTable,
    table_at,
)

LIMIT_RANGES: dict[str, tuple[int, int]] = {
    "seconds": (1, 86_400),
    "trigger_seconds": (1, 86_400),
    "upper_mib": (16, 1 << 20),
    "memory_mib": (64, 1 << 20),
    "processes": (16, 1_000_000),
    "changes": (1_000, 100_000_000),
    "keep_days": (1, 36_500),
    "override_minutes": (1, 1_440),
}


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
    roles: tuple[Role | Amendment, ...] = ()
    triggers: tuple[TriggerRule | Amendment, ...] = ()

    def origin(self, location: Location) -> str:
        """Return ``FILE:LINE`` of the key ``location``."""
        return f"{self.file.path}:{self.file.line(location)}"

    def problem_at(self, location: Location, wrong: str, right: str) -> PolicyProblem:
        """Return the problem of the key ``location``."""
        return PolicyProblem(self.file.path, wrong, right, self.file.line(location), dotted(location))


def interpret(file: PolicyFile) -> tuple[PolicyPart, tuple[PolicyProblem, ...]]:
    """Return what ``file`` says and all that is wrong with it; with a problem the part must not be used."""
    return _Interpreter(file).part()


class _Interpreter(Reader):
    def __init__(self, file: PolicyFile) -> None:
        super().__init__(file)
        self._misfits: list[PolicyProblem] = []
        self._broken: set[str] = set()

    def part(self) -> tuple[PolicyPart, tuple[PolicyProblem, ...]]:
        table = self._well_formed(self.file.plain)
        part = PolicyPart(
            file=self.file,
            mode=self.word(Mode, ("mode",), table.mode),
            when_unable=self.word(WhenUnable, ("when_unable",), table.when_unable),
            rehearse_triggers=table.rehearse_triggers,
            limits=self._limits(table.limits),
            rules=tuple(filter(None, (self._rule(name, rule) for name, rule in table.rule.items()))),
            checks=tuple(filter(None, (self._check(name, check) for name, check in table.check.items()))),
            exceptions=tuple(self._exception(name, one) for name, one in table.exception.items()),
            roles=tuple(filter(None, (read_role(self, name, one) for name, one in table.role.items()))),
            triggers=tuple(
                filter(None, (read_trigger(self, name, one) for name, one in table.trigger.items()))
            ),
        )
        # What a table lacks is no news where a value of it could not be used.
        told = (one for one in self.problems if one in self._misfits or one.key not in self._broken)
        return part, tuple(sorted(told, key=lambda problem: problem.line or 0))

    def _well_formed(self, plain: dict[str, Any]) -> PolicyTable:
        """Return ``plain`` without what does not fit, so that all mistakes are told at once."""
        try:
            return read_table(PolicyTable, plain)
        except MisfitError as error:
            self._misfits = [self._shape_problem(misfit) for misfit in error.misfits]
            self._broken = {dotted(misfit.location[:2]) for misfit in error.misfits}
            self.problems += self._misfits
            rest = copy.deepcopy(plain)
            for misfit in error.misfits:
                _take_out(rest, misfit)
        try:
            return read_table(PolicyTable, rest)
        except MisfitError:
            return read_table(PolicyTable, {})

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
                wrong = f"it is {kind_of(_value_at(self.file.plain, location))}"
                right = known.get(str(name), "") or f"write a table, [{dotted(location)}]"
        return PolicyProblem(self.file.path, wrong, right, self.file.line(location), dotted(location))

    def _limits(self, table: LimitsTable | None) -> dict[str, int]:
        limits = {}
        for name, (least, most) in LIMIT_RANGES.items():
            value: int | None = getattr(table, name) if table is not None else None
            if value is None:
                continue
            if not least <= value <= most:
                self.wrong(("limits", name), f"{quoted(value)} is out of range", f"write {least} to {most}")
            limits[name] = value
        return limits

    def _rule(self, name: str, table: RuleTable) -> PathRule | Amendment | None:
        here: Location = ("rule", name)
        self.require_name(here, name)
        if name in CHECK_NAMES:
            self.wrong(
                here,
                f"{quoted(name)} is the name of a built-in check",
                f"write [check.{name}], or another name",
            )
        place = self.word(Place, (*here, "place"), table.place)
        severity = self.word(Severity, (*here, "severity"), table.severity)
        changes = self._changes((*here, "changes"), table.changes)
        explanation = self.sentence((*here, "because"), table.because)
        if table.place is None and table.paths is None:
            if (table.severity, table.changes, table.because) == (None, None, None):
                self.wrong(here, "the rule says nothing", "give it place, paths and because")
            return Amendment(name, self.origin(here), here, severity, changes, explanation)
        for key, value in (("place", table.place), ("paths", table.paths), ("because", table.because)):
            if value is None:
                self.wrong(
                    here, f"the key {key} is missing", field_descriptions(RuleTable)[key] or "write it"
                )
        patterns = self.patterns((*here, "paths"), table.paths or [], must=table.paths is not None)
        if place is None:
            return None
        return PathRule(
            name=name,
            place=place,
            patterns=patterns,
            explanation=explanation or "",
            severity=severity or Severity.BLOCK,
            changes=changes or frozenset(),
            origin=self.origin(here),
        )

    def _check(self, name: str, table: CheckTable) -> Amendment | None:
        here: Location = ("check", name)
        if name not in CHECK_NAMES:
            self.wrong(here, "there is no such check", one_of(name, CHECK_NAMES))
            return None
        severity = self.word(Severity, (*here, "severity"), table.severity)
        explanation = self.sentence((*here, "because"), table.because)
        if table.severity is None and table.because is None:
            self.wrong(here, "the table says nothing", 'write severity = "block", "warn" or "ignore"')
        return Amendment(name, self.origin(here), here, severity, None, explanation)

    def _exception(self, name: str, table: ExceptionTable) -> PolicyException:
        here: Location = ("exception", name)
        self.require_name(here, name)
        for key in ("packages", "rules", "paths"):
            if getattr(table, key) == []:
                self.wrong((*here, key), "the list is empty", "name something, or leave the key out for all")
        if table.packages is None and table.rules is None and table.paths is None:
            self.wrong(here, "it would allow everything", "limit it with packages, rules or paths")
        self.packages((*here, "packages"), table.packages or (), wildcards=False)
        return PolicyException(
            name=name,
            reason=self.sentence((*here, "reason"), table.reason) or "",
            packages=frozenset(table.packages or ()),
            rules=frozenset(table.rules or ()),
            paths=self.patterns((*here, "paths"), table.paths or [], must=False),
            expires=self._date((*here, "expires"), table.expires),
            origin=self.origin(here),
        )

    def _changes(self, location: Location, given: list[str] | None) -> frozenset[str] | None:
        if given is None:
            return None
        if not given:
            self.wrong(location, "the list is empty", "leave the key out for all kinds of change")
        known = [kind.value for kind in Kind]
        for index, word in enumerate(given):
            if word not in known:
                self.wrong((*location, index), f"{quoted(word)} is no kind of change", one_of(word, known))
        return frozenset(given)

    def _date(self, location: Location, given: Any) -> str | None:
        if given is None:
            return None
        if isinstance(given, datetime.date) and not isinstance(given, datetime.datetime):
            return given.isoformat()
        if isinstance(given, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", given, re.ASCII):
            try:
                return datetime.date.fromisoformat(given).isoformat()
            except ValueError:
                self.wrong(
                    location, f"there is no such day as {quoted(given)}", "write a day of the calendar"
                )
                return None
        self.wrong(
            location, f"it is {kind_of(given)}, not a date", "write year-month-day, such as 2027-12-31"
        )
        return None


def _take_out(plain: dict[str, Any], misfit: Misfit) -> None:
    """Delete the value at ``misfit``; where a key is missing, or a list has a wrong entry, what it is in."""
    location = misfit.location
    if misfit.fault is Fault.MISSING:
        location = location[:-1]
    while location and isinstance(location[-1], int):
        location = location[:-1]
    table: Any = plain
    for step in location[:-1]:
        if not isinstance(table, dict) or step not in table:
            return
        table = table[step]
    if location and isinstance(table, dict):
        table.pop(location[-1], None)


def _value_at(plain: Any, location: Location) -> Any:
    for step in location:
        try:
            plain = plain[step]
        except (KeyError, IndexError, TypeError):
            return plain
    return plain
