# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit asks whether the purge of a package, by itself, would do harm on this machine today.

Every package that has files or configuration here is a candidate, also one that was removed and whose
postrm still waits for its purge. Not tried is what the base system stands on: nothing can be run without
it, so a rehearsal would tell nothing, and apt takes it away only after a sentence that has to be typed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aptguard.guard.caller import caller_from_request
from aptguard.guard.errors import GuardError
from aptguard.guard.examination import examine
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.status_file import PRESENT, Stanza
from aptguard.policy.finding import Finding, Severity
from aptguard.policy.model import Policy
from aptguard.rehearsal.model import Unknown
from aptguard.report.audited import Audited, Candidate, Outcome
from aptguard.report.model import Report
from aptguard.shown import shown
from aptguard.transaction.model import Action, Item, Transaction

FRONTEND = "aptguard audit"
_RELATION = re.compile(r"\s*([a-z0-9][a-z0-9.+-]*)")


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is to be tried, in the order of names, and what stands below everything and is left out."""

    tried: tuple[Candidate, ...]
    base: tuple[str, ...]


def find_candidates(database: DpkgDatabase, names: Sequence[str] = ()) -> Candidates:
    """Return the candidates, all or those with ``names`` (``PACKAGE`` or ``PACKAGE:ARCHITECTURE``).

    A package that is named is tried even if the base system needs it. Raises GuardError for a name that
    dpkg does not know.
    """
    states = database.states()
    candidates = []
    for package, architecture in sorted(states):
        status = states[package, architecture].status
        if status in PRESENT or status == "config-files":
            stanza = database.stanza(package, architecture)
            version = "" if stanza is None else stanza.version
            candidates.append(Candidate(package, architecture, version, status))
    if names:
        wanted = set(names)
        chosen = [one for one in candidates if {one.package, one.name} & wanted]
        missing = wanted - {one.package for one in chosen} - {one.name for one in chosen}
        if missing:
            raise GuardError(
                "InvalidParameter", f"{shown(min(missing))} is not installed here; see: dpkg-query --list"
            )
        return Candidates(tuple(chosen), ())
    base = base_system(database, {package for package, _ in states})
    return Candidates(
        tuple(one for one in candidates if one.package not in base),
        tuple(sorted({one.package for one in candidates if one.package in base})),
    )


def base_system(database: DpkgDatabase, packages: Iterable[str]) -> frozenset[str]:
    """Return the Essential and Protected packages with all that they depend on (Debian policy 3.8, 7.2)."""
    stanzas = {
        name: [one for one in instances.values() if one.status in PRESENT]
        for name, instances in database.stanzas(packages).items()
    }
    providers: dict[str, list[str]] = {}
    for name, instances in stanzas.items():
        for stanza in instances:
            for provided in _names(stanza.text(b"provides").replace("|", ",")):
                providers.setdefault(provided, []).append(name)
    found: set[str] = set()
    waiting = [
        name
        for name, instances in stanzas.items()
        if any("yes" in (one.text(b"essential"), one.text(b"protected")) for one in instances)
    ]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for stanza in stanzas[name]:
            for needed in _depends(stanza):
                waiting += [needed] if stanzas.get(needed) else providers.get(needed, [])
    return frozenset(found)


def audit_package(candidate: Candidate, policy: Policy) -> Audited:
    """Rehearse the purge of ``candidate`` alone and return what it would do; never raises."""
    item = Item(candidate.package, candidate.architecture, Action.PURGE, old_version=candidate.version)
    transaction = Transaction(FRONTEND, (item,), command_line=f"purge {candidate.package}")
    surroundings = {"environment": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    caller = caller_from_request(surroundings, pid=os.getpid(), uid=os.getuid())
    try:
        database = DpkgDatabase()
        report = examine(transaction, caller, policy, database=database)
        listed = frozenset(
            database.canonical.path(database.diversions.place_of(candidate.package, path))
            for path in database.file_list(candidate.package, candidate.architecture)
        )
    except Exception as error:
        failed = Unknown("the audit", str(error) or type(error).__name__)
        return Audited(candidate, Outcome.UNKNOWN, unknowns=(failed,))
    return _summed_up(candidate, report, listed)


def _summed_up(candidate: Candidate, report: Report, listed: frozenset[bytes]) -> Audited:
    # What the plan of a removal breaks is for apt's own question; the audit is about files and accounts.
    harm = tuple(
        finding
        for finding in report.findings
        if finding.severity is Severity.BLOCK
        and finding.subject_package is None
        and not _is_its_own_file(finding, listed)
    )
    if harm:
        return Audited(candidate, Outcome.LAND_MINE, harm, report.unknowns)
    if report.unknowns:
        return Audited(candidate, Outcome.UNKNOWN, unknowns=report.unknowns)
    return Audited(candidate, Outcome.HARMLESS)


def _is_its_own_file(finding: Finding, listed: frozenset[bytes]) -> bool:
    """Whether dpkg itself takes away what the package brought: that is what purging it means."""
    return (
        finding.script is None
        and finding.path is not None
        and finding.path in listed
        and all(path in listed for path in finding.examples)
    )


def _depends(stanza: Stanza) -> list[str]:
    return [name for field in (b"pre-depends", b"depends") for name in _names(stanza.text(field))]


def _names(relations: str) -> list[str]:
    """Return the first name of each alternative in a list of relations."""
    return [
        match[1]
        for group in relations.split(",")
        for relation in group.split("|")
        if (match := _RELATION.match(relation))
    ]
