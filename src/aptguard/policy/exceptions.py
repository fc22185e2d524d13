# SPDX-License-Identifier: GPL-3.0-or-later
"""Which exception of the policy excuses what; standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from aptguard.policy.model import Policy, PolicyException


class Exceptions:
    """The exceptions that hold on one day, for the packages of one transaction."""

    def __init__(self, policy: Policy, packages: frozenset[str], today: date) -> None:
        self._valid = tuple(one for one in policy.exceptions if _holds(one, today))
        self._packages = packages
        self._chosen: dict[tuple[str, frozenset[str]], tuple[PolicyException, ...]] = {}

    def excuse(
        self, rule: str, path: bytes | None, packages: Iterable[str | None], *, by_dpkg: bool = False
    ) -> bool:
        """Return whether a finding of ``rule`` is excused.

        ``packages`` are who did it and whose it is. Where the doer was not seen (None), any package of the
        transaction may have been, so that an exception for some packages excuses it only where the
        transaction has no others. An exception with paths excuses nothing that has no path.
        ``by_dpkg``: it was dpkg itself, with a file that a package of the transaction lists (a conffile, for
        which it does not say whose): then one for that path and any of these packages does.
        """
        seen = frozenset(name.partition(":")[0] for name in packages if name is not None)
        who = seen or self._packages
        chosen = self._chosen.get((rule, who))
        if chosen is None:
            chosen = self._chosen[rule, who] = tuple(
                one
                for one in self._valid
                if (not one.packages or (seen & one.packages if seen else who <= one.packages))
                and (not one.rules or rule in one.rules)
            )
        if by_dpkg and not seen:
            chosen += tuple(
                one
                for one in self._valid
                if one.paths and who & one.packages and (not one.rules or rule in one.rules)
            )
        return any(
            not one.paths or (path is not None and any(each.matches(path, who) for each in one.paths))
            for one in chosen
        )


def _holds(exception: PolicyException, today: date) -> bool:
    if exception.expires is None:
        return True
    try:
        return today <= date.fromisoformat(exception.expires)
    except ValueError:
        return False  # an exception that may have run out excuses nothing
