# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a policy file: which tables and keys there are, and of which kind their values.

What the words mean is checked in aptguard.policy.interpret. The description of a field says what would be
right.
"""

# No "from __future__ import annotations": pydantic 1 reads the annotations when the class is made.

from typing import Any

from pydantic import Field, StrictBool, StrictInt, StrictStr

from aptguard.policy.pydantic_versions import Table, field_descriptions

PATHS = 'write a list of absolute patterns, such as ["/srv/**"]'
SENTENCE = "write one sentence in quotes"
PACKAGES = 'write a list of package names, such as ["openssh-server", "linux-image-*"]'


class LimitsTable(Table):
    """``[limits]``: whole numbers; ranges are in aptguard.policy.interpret."""

    seconds: StrictInt | None = Field(None, description="write a whole number of seconds, such as 120")
    trigger_seconds: StrictInt | None = Field(None, description="write a whole number of seconds, such as 60")
    upper_mib: StrictInt | None = Field(None, description="write a whole number of MiB, such as 1024")
    memory_mib: StrictInt | None = Field(None, description="write a whole number of MiB, such as 2048")
    processes: StrictInt | None = Field(None, description="write a whole number, such as 1024")
    changes: StrictInt | None = Field(None, description="write a whole number, such as 500000")
    keep_days: StrictInt | None = Field(None, description="write a whole number of days, such as 180")
    override_minutes: StrictInt | None = Field(
        None, description="write a whole number of minutes, such as 15"
    )


class RuleTable(Table):
    """``[rule.NAME]``: a rule; without ``place`` and ``paths`` it amends an earlier one."""

    place: StrictStr | None = Field(None, description='write "protected", "data", "own" or "shared-state"')
    paths: list[StrictStr] | None = Field(None, description=PATHS)
    severity: StrictStr | None = Field(None, description='write "block", "warn" or "ignore"')
    changes: list[StrictStr] | None = Field(
        None, description='write a list of kinds of change, such as ["deleted", "content"]'
    )
    because: StrictStr | None = Field(None, description=SENTENCE)


class CheckTable(Table):
    """``[check.NAME]``."""

    severity: StrictStr | None = Field(None, description='write "block", "warn" or "ignore"')
    because: StrictStr | None = Field(None, description=SENTENCE)


class ExceptionTable(Table):
    """``[exception.NAME]``."""

    reason: StrictStr = Field(description=SENTENCE)
    packages: list[StrictStr] | None = Field(
        None, description='write a list of package names, such as ["postgresql-15"]'
    )
    rules: list[StrictStr] | None = Field(
        None, description='write a list of names of rules or checks, such as ["foreign-file"]'
    )
    paths: list[StrictStr] | None = Field(None, description=PATHS)
    expires: Any = Field(None, description="write a date, such as 2027-12-31")


class RoleTable(Table):
    """``[role.NAME]``: a role; without ``packages`` it amends an earlier one."""

    packages: list[StrictStr] | None = Field(None, description=PACKAGES)
    paths: list[StrictStr] | None = Field(
        None, description='write a list of absolute paths without wildcards, such as ["/usr/sbin/sshd"]'
    )
    severity: StrictStr | None = Field(None, description='write "block", "warn" or "ignore"')
    even_if_asked: StrictBool | None = Field(None, description="write true or false, without quotes")
    because: StrictStr | None = Field(None, description=SENTENCE)


class TriggerTable(Table):
    """``[trigger.NAME]``: packages whose triggers are known; without ``packages`` it is an amendment."""

    packages: list[StrictStr] | None = Field(None, description=PACKAGES)
    rehearse: StrictBool | None = Field(None, description="write true or false, without quotes")
    because: StrictStr | None = Field(None, description=SENTENCE)


class PolicyTable(Table):
    """A whole file."""

    mode: StrictStr | None = Field(None, description='write "enforce" or "report"')
    when_unable: StrictStr | None = Field(None, description='write "cautious", "allow" or "block"')
    rehearse_triggers: StrictBool | None = Field(None, description="write true or false, without quotes")
    limits: LimitsTable | None = Field(None, description="write a table, [limits]")
    rule: dict[str, RuleTable] = Field({}, description="write a table for each rule, [rule.NAME]")
    check: dict[str, CheckTable] = Field({}, description="write a table for each check, [check.NAME]")
    exception: dict[str, ExceptionTable] = Field(
        {}, description="write a table for each exception, [exception.NAME]"
    )
    role: dict[str, RoleTable] = Field({}, description="write a table for each role, [role.NAME]")
    trigger: dict[str, TriggerTable] = Field({}, description="write a table for each, [trigger.NAME]")


NAMED_TABLES: dict[str, type[Table]] = {
    "rule": RuleTable,
    "check": CheckTable,
    "exception": ExceptionTable,
    "role": RoleTable,
    "trigger": TriggerTable,
}


def table_at(location: tuple[str | int, ...]) -> type[Table] | None:
    """Return the model of the table in which the key ``location`` stands, None where there is none."""
    match location:
        case (_,):
            return PolicyTable
        case ("limits", _):
            return LimitsTable
        case (str(kind), _, _, *_):
            return NAMED_TABLES.get(kind)
        case _:
            return None


def field_names(table: type[Table]) -> frozenset[str]:
    """Return every key that may stand in ``table`` or, for the whole file, anywhere in it."""
    names = set(field_descriptions(table))
    if table is PolicyTable:
        tables: list[type[Table]] = [LimitsTable, *NAMED_TABLES.values()]
        names.update(*(field_descriptions(inner) for inner in tables))
    return frozenset(names)
