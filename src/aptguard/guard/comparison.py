# SPDX-License-Identifier: GPL-3.0-or-later
"""The real run beside its rehearsal: what became of the packages and paths that it was about.

Cost is in proportion to the change: dpkg's status is read once, and each path that was expected to go or to
stay is looked at once. Who owns a path and what the policy says of it is asked only of those that are gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from aptguard.guard.expectation import DPKG_LOG, Expectation, ExpectedPackage
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.errors import DpkgDatabaseError
from aptguard.policy.explain import explain_path
from aptguard.policy.finding import Severity
from aptguard.policy.model import Policy
from aptguard.report.model import Divergence, DivergenceKind, RealRun, RunEnd
from aptguard.report.quantity import plural

MOST_DIVERGENCES = 200  # that are said of one run
_LARGEST_LOG = 8 << 20  # bytes of dpkg's log that are looked at
_BEGINNINGS = frozenset((b"install", b"upgrade", b"configure", b"remove", b"purge", b"trigproc"))


def compare(expected: Expectation, policy: Policy, database: DpkgDatabase, now: float) -> RealRun:
    """Return how the run ended that has just ended; ``now`` in seconds since the epoch.

    ``database`` is read anew, after the run. Raises DpkgDatabaseError.
    """
    if expected.unclear:
        return RealRun(now, RunEnd.NOT_COMPARED, expected.unclear)
    database.stanzas(expected.names)  # all at once: each look-up by itself reads the whole of dpkg's status
    states = {one: _state(database, one) for one in expected.packages}
    undone = [one for one, state in states.items() if not _is_as_expected(one, state)]
    untouched = [one for one in undone if states[one] == (one.status, one.version)]
    begun = len(undone) < len(states) or len(untouched) < len(undone) or _appears_in_log(expected)
    gone = list(_gone(expected, states, policy, database))
    if undone:
        divergences = gone + [
            Divergence(DivergenceKind.STATE, _how_it_stands(one, *states[one]), package=_name(one))
            for one in undone
            if begun
        ]
        end = RunEnd.HALF_WAY if begun else RunEnd.DIVERGED if gone else RunEnd.NOT_BEGUN
        reason = _about_packages(len(undone), len(states)) if begun else "dpkg has changed no package"
        return _run(now, end, reason, divergences, expected, len(expected.staying))
    divergences = gone + list(_still_there(expected, states, database))
    looked = len(expected.staying) + len(expected.going)
    if divergences:
        reason = f"{plural(len(divergences), 'thing')} went otherwise than in the rehearsal"
        return _run(now, RunEnd.DIVERGED, reason, divergences, expected, looked)
    return _run(now, RunEnd.AS_REHEARSED, "packages and paths are as in the rehearsal", [], expected, looked)


def _run(
    now: float, end: RunEnd, reason: str, divergences: list[Divergence], expected: Expectation, looked: int
) -> RealRun:
    left_out = max(0, len(divergences) - MOST_DIVERGENCES)
    kept = tuple(divergences[:MOST_DIVERGENCES])
    return RealRun(now, end, reason, kept, paths=looked, omitted=expected.omitted + left_out)


def _state(database: DpkgDatabase, one: ExpectedPackage) -> tuple[str, str]:
    stanza = database.stanza(one.package, one.architecture)
    return ("not-installed", "") if stanza is None else (stanza.status, stanza.version)


def _is_as_expected(one: ExpectedPackage, state: tuple[str, str]) -> bool:
    status, version = state
    return status in one.after and one.version_after in (None, version)


def _about_packages(undone: int, all_of_them: int) -> str:
    return f"of {plural(all_of_them, 'package')} {undone} did not get where the rehearsal got"


def _how_it_stands(one: ExpectedPackage, status: str, version: str) -> str:
    """Return a sentence on a package that is not as it should be, without a full stop."""
    match status:
        case "half-configured":
            return "it is half-configured: its configuration failed or was interrupted (postinst configure)"
        case "half-installed":
            return "it is half-installed: unpacking or removing it failed or was interrupted"
        case "unpacked":
            return "it was unpacked and not configured"
        case "config-files" if one.after == ("not-installed",):
            return "it was removed and not purged: its purge failed or was interrupted (postrm purge)"
        case "installed" if one.after[0] != "installed":
            return "it is still installed: its removal failed or was not begun (prerm remove)"
        case _:
            wanted = f"{' or '.join(one.after)}{f' {one.version_after}' if one.version_after else ''}"
            return f"it is {status}{f' {version}' if version else ''}, and not {wanted}"


def _name(one: ExpectedPackage) -> str:
    return one.package if one.architecture in ("", "all") else f"{one.package}:{one.architecture}"


def _appears_in_log(expected: Expectation) -> bool:
    """Whether dpkg has begun with a package of the transaction since, by its log (dpkg(1), --log)."""
    if expected.log_size is None:
        return False
    try:
        with open(DPKG_LOG, "rb") as file:
            file.seek(expected.log_size)
            lines = file.read(_LARGEST_LOG).split(b"\n")
    except OSError:
        return False
    names = {os.fsencode(name) for name in expected.names}
    words = (line.split(b" ", 4) for line in lines)
    return any(len(one) > 3 and one[2] in _BEGINNINGS and one[3].partition(b":")[0] in names for one in words)


def _gone(
    expected: Expectation,
    states: dict[ExpectedPackage, tuple[str, str]],
    policy: Policy,
    database: DpkgDatabase,
) -> Iterator[Divergence]:
    """Yield the paths that were to stay, do not, and are not of the kind that comes and goes."""
    if any(one.open and states[one][0] == "not-installed" for one in states):
        return  # purged after all, by another verdict
    gone = [path for path in expected.staying if not os.path.lexists(path)]
    if not gone:
        return
    try:
        owners = database.owners(gone)
    except DpkgDatabaseError:
        owners = {}
    for path in gone:
        if path in owners:
            reason = "it was to stay and is gone"
            yield Divergence(DivergenceKind.GONE, reason, path, owners[path][0])
        elif _is_blocked(policy, path, expected.names):
            yield Divergence(DivergenceKind.GONE, "it was to stay and is gone; no package lists it", path)


def _is_blocked(policy: Policy, path: bytes, names: tuple[str, ...]) -> bool:
    """Whether the policy minds that somebody deletes ``path``."""
    return any(
        outcome.act == "deleted" and outcome.severity is Severity.BLOCK
        for outcome in explain_path(policy, path, names).outcomes
    )


def _still_there(
    expected: Expectation, states: dict[ExpectedPackage, tuple[str, str]], database: DpkgDatabase
) -> Iterator[Divergence]:
    """Yield the paths that were to go and have not even been touched.

    What has been made anew, by a service or a trigger, has a later time of change (inode(7), ctime).
    """
    removed_only = {one.package for one in states if one.open and states[one][0] != "not-installed"}
    for going in expected.going:
        if removed_only and (going.package is None or going.package in removed_only):
            continue  # the worse was rehearsed
        try:
            status = os.lstat(going.path)
        except OSError:
            continue
        if status.st_ctime < expected.began:
            reason = "it was to go and is still there"
            yield Divergence(DivergenceKind.STILL_THERE, reason, going.path, going.package)
