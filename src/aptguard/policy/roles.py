# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine needs somebody to do, and which packages do it; standard library only.

A role is lost with the last package that holds it, not with any of them. Which roles there are, the policy
says (``[role.NAME]``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aptguard.policy.finding import Severity


@dataclass(frozen=True, slots=True)
class Role:
    """One named role: ``packages`` by name, with ``*`` and ``?``, and ``paths``, without wildcards.

    A package holds the role by its name, or by a file of ``paths`` that it lists. ``explanation`` is a
    sentence on what is lost with the role. With ``even_if_asked`` the last holder must stay even where
    somebody named it. ``origin`` and ``overrides`` are as for a path rule.
    """

    name: str
    packages: tuple[str, ...]
    explanation: str
    paths: tuple[str, ...] = ()
    severity: Severity = Severity.BLOCK
    even_if_asked: bool = False
    origin: str = ""
    overrides: tuple[str, ...] = ()

    def holds(self, package: str) -> bool:
        """Return whether ``package`` (without architecture) has this role by its name."""
        return any(fnmatchcase(package, pattern) for pattern in self.packages)


@dataclass(frozen=True, slots=True)
class TriggerRule:
    """Packages whose triggers (deb-triggers(5)) a rehearsal runs, or leaves out since they are known.

    Where several rules name a package, the last one counts. A package of the transaction itself is always
    rehearsed.
    """

    name: str
    packages: tuple[str, ...]
    explanation: str
    rehearse: bool = False
    origin: str = ""
    overrides: tuple[str, ...] = ()


def roles_of(packages: Iterable[str], roles: Iterable[Role]) -> tuple[Role, ...]:
    """Return those of ``roles`` that any of ``packages`` has by its name, in their order."""
    names = frozenset(packages)
    return tuple(role for role in roles if any(role.holds(name) for name in names))


def left_out(rules: Iterable[TriggerRule]) -> tuple[str, ...]:
    """Return the names, with ``*`` and ``?``, of the packages whose triggers are not rehearsed.

    A name that a rule wants rehearsed is taken out again where it is written the same.
    """
    names: dict[str, bool] = {}
    for rule in rules:
        names.update(dict.fromkeys(rule.packages, rule.rehearse))
    return tuple(name for name, rehearsed in names.items() if not rehearsed)
