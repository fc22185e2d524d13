# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files make the policy, and in which order; standard library only."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from aptguard.policy.problem import PolicyProblem

SUFFIX = ".toml"


@dataclass(frozen=True, slots=True)
class PolicyPaths:
    """Where policy files are looked for, and where the last valid policy is kept."""

    vendor: str = "/usr/share/aptguard/policy.d"
    admin_file: str = "/etc/aptguard/policy.toml"
    admin: str = "/etc/aptguard/policy.d"
    last_valid: str = "/var/lib/aptguard/policy.last-valid"


@dataclass(frozen=True, slots=True)
class Layers:
    """The files of a policy in the order in which they are laid over each other.

    ``masked`` maps a shipped file that does not count to the administrator's file of the same name.
    """

    vendor: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()
    masked: tuple[tuple[str, str], ...] = ()
    problems: tuple[PolicyProblem, ...] = ()

    @property
    def in_force(self) -> tuple[str, ...]:
        """All files that count, in order."""
        hidden = {shipped for shipped, _ in self.masked}
        return tuple(path for path in (*self.vendor, *self.admin) if path not in hidden)


def find_layers(paths: PolicyPaths) -> Layers:
    """Return the files that are there; what cannot be listed is a problem.

    A directory that is missing is none, unless it is the shipped one.
    """
    problems: list[PolicyProblem] = []
    vendor = _drop_ins(paths.vendor, problems)
    if not vendor and not problems:
        problems.append(
            PolicyProblem(
                paths.vendor, "there is no shipped policy in it", "install the package aptguard again"
            )
        )
    drop_ins = _drop_ins(paths.admin, problems)
    by_name = {os.path.basename(path): path for path in drop_ins}
    masked = tuple(
        (path, by_name[os.path.basename(path)]) for path in vendor if os.path.basename(path) in by_name
    )
    admin_file = [paths.admin_file] if os.path.lexists(paths.admin_file) else []
    return Layers(tuple(vendor), (*admin_file, *drop_ins), masked, tuple(problems))


def _drop_ins(directory: str, problems: list[PolicyProblem]) -> list[str]:
    try:
        names = os.listdir(directory)
    except OSError as error:
        if error.errno != errno.ENOENT or os.path.islink(directory):
            problems.append(
                PolicyProblem(
                    directory,
                    f"the directory cannot be listed: {error.strerror}",
                    "make it a directory that root can read, or remove it",
                )
            )
        return []
    # by bytes, so that the order is the same in every locale
    chosen = sorted((n for n in names if n.endswith(SUFFIX) and not n.startswith(".")), key=os.fsencode)
    return [os.path.join(directory, name) for name in chosen]
