# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables ``[role.NAME]`` and ``[trigger.NAME]`` of a policy file, and how later files change them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from aptguard.policy.checks import CHECK_NAMES
from aptguard.policy.finding import Severity
from aptguard.policy.lines import Location
from aptguard.policy.pattern_syntax import components, literal_prefix
from aptguard.policy.problem import quoted
from aptguard.policy.pydantic_versions import Table, field_descriptions
from aptguard.policy.reading import Amendment, Reader
from aptguard.policy.roles import Role, TriggerRule
from aptguard.policy.schema import RoleTable, TriggerTable


def read_role(reader: Reader, name: str, table: RoleTable) -> Role | Amendment | None:
    """Return the role that ``table`` writes, or what it changes of an earlier one; None for a broken one."""
    here: Location = ("role", name)
    reader.require_name(here, name)
    if name in CHECK_NAMES:
        reader.wrong(here, f"{quoted(name)} is the name of a built-in check", "write another name")
    severity = reader.word(Severity, (*here, "severity"), table.severity)
    explanation = reader.sentence((*here, "because"), table.because)
    if table.packages is None and table.paths is None:
        if (table.severity, table.because, table.even_if_asked) == (None, None, None):
            reader.wrong(here, "the role says nothing", "give it packages and because")
        return Amendment(name, reader.origin(here), here, severity, None, explanation, table.even_if_asked)
    _require(reader, here, table, ("packages", "because"))
    return Role(
        name=name,
        packages=_packages(reader, here, table.packages),
        explanation=explanation or "",
        paths=_plain_paths(reader, (*here, "paths"), table.paths or ()),
        severity=severity or Severity.BLOCK,
        even_if_asked=bool(table.even_if_asked),
        origin=reader.origin(here),
    )


def read_trigger(reader: Reader, name: str, table: TriggerTable) -> TriggerRule | Amendment | None:
    """Return the rule on triggers that ``table`` writes, or what it changes of an earlier one."""
    here: Location = ("trigger", name)
    reader.require_name(here, name)
    explanation = reader.sentence((*here, "because"), table.because)
    if table.packages is None:
        if table.because is None and table.rehearse is None:
            reader.wrong(here, "the table says nothing", "give it packages and because, or rehearse = true")
        return Amendment(name, reader.origin(here), here, None, None, explanation, table.rehearse)
    _require(reader, here, table, ("because",))
    return TriggerRule(
        name=name,
        packages=_packages(reader, here, table.packages),
        explanation=explanation or "",
        rehearse=bool(table.rehearse),
        origin=reader.origin(here),
    )


def amended_role(role: Role, amendment: Amendment) -> Role:
    """Return ``role`` with what a later file changes of it."""
    return replace(
        role,
        severity=amendment.severity or role.severity,
        explanation=amendment.explanation or role.explanation,
        even_if_asked=role.even_if_asked if amendment.switch is None else amendment.switch,
        origin=amendment.origin,
        overrides=(*role.overrides, role.origin),
    )


def amended_trigger(rule: TriggerRule, amendment: Amendment) -> TriggerRule:
    """Return ``rule`` with what a later file changes of it."""
    return replace(
        rule,
        explanation=amendment.explanation or rule.explanation,
        rehearse=rule.rehearse if amendment.switch is None else amendment.switch,
        origin=amendment.origin,
        overrides=(*rule.overrides, rule.origin),
    )


def _require(reader: Reader, here: Location, table: Table, keys: Iterable[str]) -> None:
    for key in keys:
        if getattr(table, key) is None:
            advice = field_descriptions(type(table))[key] or "write it"
            reader.wrong(here, f"the key {key} is missing", advice)


def _packages(reader: Reader, here: Location, names: list[str] | None) -> tuple[str, ...]:
    if names == []:
        reader.wrong((*here, "packages"), "the list is empty", "name a package")
    return reader.packages((*here, "packages"), names or (), wildcards=True)


def _plain_paths(reader: Reader, location: Location, texts: Iterable[str]) -> tuple[str, ...]:
    found = reader.patterns(location, texts, must=False)
    for index, pattern in enumerate(found):
        if len(literal_prefix(pattern.text)) != len(components(pattern.text)):
            reader.wrong(
                (*location, index),
                f"{quoted(pattern.text)} has a wildcard in it",
                'write each path in full, such as "/usr/sbin/sshd"',
            )
    return tuple(pattern.text for pattern in found)
