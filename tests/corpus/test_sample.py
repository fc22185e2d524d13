# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of the corpus: 25 real packages come and go, each by itself and together, without a word."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from aptguard.policy.finding import Verdict
from aptguard.report.model import Report
from corpus.__main__ import listed
from corpus.results import HERE
from corpus.trial import APT, ENVIRONMENT, reports
from testbed.guest import Guest
from testbed.server import install_aptguard
from testbed.trees import Tree, guest_tree_with

pytestmark = pytest.mark.needs_guest

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


@pytest.fixture(scope="module")
def judged(machine: Guest) -> tuple[dict[str, object], list[Report]]:
    """What the audit says of each package, and the reports of the installation and the purge of them all."""
    audited = machine.run(["aptguard", "audit", "--json", *SAMPLE], check=False, timeout=400)
    assert audited.returncode in (0, 10), audited.stdout + audited.stderr
    machine.run(f"{APT} purge {' '.join(SAMPLE)}".split(), env=ENVIRONMENT, timeout=400, check=False)
    machine.run(f"{APT} autoremove --purge".split(), env=ENVIRONMENT, timeout=400, check=False)
    return json.loads(audited.stdout), reports(machine)


def test_the_sample_is_of_the_corpus() -> None:
    assert len(SAMPLE) == 25 and len(listed()) >= 300
    assert set(SAMPLE) <= set(listed()), f"see packages.txt in {HERE}"


def test_each_package_may_go_by_itself(judged: tuple[dict[str, object], list[Report]]) -> None:
    audit, _ = judged
    assert audit["rehearsed"] == 25
    assert audit["land_mines"] == [] and audit["unknown"] == [], json.dumps(audit, indent=1)


def test_they_may_come_and_go_together(judged: tuple[dict[str, object], list[Report]]) -> None:
    _, found = judged
    ours = [one for one in found if len(one.transaction.items) > 1]
    assert len(ours) >= 3
    told = [
        (one.transaction.command_line, one.findings, one.unknowns)
        for one in ours
        if one.findings or one.unknowns
    ]
    assert told == []
    assert {one.verdict for one in ours} == {Verdict.ALLOW}


def test_they_are_gone(machine: Guest, judged: tuple[dict[str, object], list[Report]]) -> None:
    left = machine.run(["dpkg-query", "-W", "-f", "${Package}\\n"]).stdout.split()
    assert not set(SAMPLE) & set(left)
