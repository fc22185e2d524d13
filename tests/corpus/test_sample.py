# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of the corpus: 25 real packages come and go, each by itself and together, without a word.

The purge of them all is compared with its rehearsal, path by path, by a witness outside of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from aptguard.policy.finding import Verdict
from aptguard.report.model import Report
from corpus.__main__ import listed
from corpus.fidelity import Fidelity, cause_of, compare, recording_since
from corpus.results import HERE
from corpus.trial import APT, ENVIRONMENT, RECORDINGS, reports
from corpus.witness import listing
from testbed.guest import Guest
from testbed.server import install_aptguard
from testbed.trees import Tree, guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian(together=True)]

# The archive of each of them and of all that they need is a few hundred KiB at most.
SAMPLE = (
    *("nginx-light", "lighttpd", "haproxy", "dnsmasq", "chrony", "rsyslog", "cron", "logrotate", "screen"),
    *(
        "nullmailer",
        "memcached",
        "stunnel4",
        "tinyproxy",
        "privoxy",
        "nano",
        "molly-guard",
        "ucf",
        "ssl-cert",
    ),
    *("tcpd", "fortune-mod", "sgml-base", "xml-core", "at", "acct", "procmail"),
)


@pytest.fixture(scope="module")
def machine(needs_guest: None, version: str, aptguard_deb: str) -> Iterator[Guest]:
    """A booted machine with the sample, installed under guard."""
    setup = f"{APT} --download-only install {' '.join(SAMPLE)}"
    tree: Tree = guest_tree_with(version, [], setup)
    with Guest(version, tree=tree, network="private") as guest:
        install_aptguard(guest, aptguard_deb)
        guest.run(f"{APT} install {' '.join(SAMPLE)}".split(), env=ENVIRONMENT, timeout=400)
        yield guest


@dataclass(frozen=True)
class Judged:
    """What the audit says of each package, the reports of all runs, and how the purge was foretold."""

    audit: dict[str, object]
    reports: list[Report]
    fidelity: Fidelity
    scripts: int


@pytest.fixture(scope="module")
def judged(machine: Guest) -> Judged:
    """The audit of the packages, their purge under guard, and the reports of all that."""
    audited = machine.run(["aptguard", "audit", "--json", *SAMPLE], check=False, timeout=400)
    assert audited.returncode in (0, 10), audited.stdout + audited.stderr
    machine.run(f"install -d -m 700 {RECORDINGS}")
    upper, below = machine.upper()
    before = listing(upper, below)
    machine.run(f"{APT} purge {' '.join(SAMPLE)}".split(), env=ENVIRONMENT, timeout=400, check=False)
    after = listing(upper, below, before)
    recording = recording_since(machine.path(RECORDINGS), {})
    assert recording is not None
    fidelity = compare(recording, before, after)
    machine.run(f"{APT} autoremove --purge".split(), env=ENVIRONMENT, timeout=400, check=False)
    scripts = len({run.package for run in recording.result.scripts if run.package in SAMPLE})
    return Judged(json.loads(audited.stdout), reports(machine), fidelity, scripts)


def test_the_sample_is_of_the_corpus() -> None:
    assert len(SAMPLE) == 25 and len(listed()) >= 300
    assert set(SAMPLE) <= set(listed()), f"see packages.txt in {HERE}"


def test_each_package_may_go_by_itself(judged: Judged) -> None:
    audit = judged.audit
    assert audit["rehearsed"] == 25
    assert audit["land_mines"] == [] and audit["unknown"] == [], json.dumps(audit, indent=1)


def test_they_may_come_and_go_together(judged: Judged) -> None:
    ours = [one for one in judged.reports if len(one.transaction.items) > 1]
    assert len(ours) >= 3
    told = [
        (one.transaction.command_line, one.findings, one.unknowns)
        for one in ours
        if one.findings or one.unknowns
    ]
    assert told == []
    assert {one.verdict for one in ours} == {Verdict.ALLOW}


def test_all_that_the_purge_deletes_was_foretold_and_nothing_else(judged: Judged) -> None:
    found = judged.fidelity
    assert found.problem == "" and judged.scripts >= 15
    assert found.deletions > 1000
    # What a rehearsal cannot know, as it stops no service, has its name in CAUSES.
    assert found.agreed_deletions == found.said_deletions, f"{found}"
    unforeseen = [line for line in found.missed if line.startswith("deleted ") and cause_of(line) is None]
    assert unforeseen == [] and found.deletions - found.agreed_deletions <= 3, f"{found}"


def test_all_other_changes_were_foretold_but_those_with_a_known_cause(judged: Judged) -> None:
    found = judged.fidelity
    assert [line for line in (*found.missed, *found.invented) if cause_of(line) is None] == []
    assert found.agreed >= 0.995 * found.changes and found.agreed >= 0.995 * found.said, f"{found}"


def test_they_are_gone(machine: Guest, judged: Judged) -> None:
    assert judged.audit["rehearsed"] == 25
    left = machine.run(["dpkg-query", "-W", "-f", "${Package}\\n"]).stdout.split()
    assert not set(SAMPLE) & set(left)
