# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random

import pytest
from ledger_values import finding

from aptguard.ledger.override import Grantor, findings_digest
from aptguard.rehearsal.model import Unknown


def test_the_digest_does_not_depend_on_the_order_of_the_findings():
    findings = [finding(b"/srv/%d" % number) for number in range(20)]
    shuffled = random.Random(1).sample(findings, len(findings))
    assert shuffled != findings
    assert findings_digest(shuffled) == findings_digest(findings)


@pytest.mark.parametrize(
    "other",
    [
        {"rule": "protect"},
        {"path": b"/srv/other"},
        {"path": b"/srv/data\xff"},
        {"path": None},
        {"path": None, "account": "/srv/data"},
        {"path": None, "subject_package": "/srv/data"},
        {"change": "mode"},
        {"package": "other"},
        {"package": None},
        {"script": "prerm remove"},
    ],
    ids=str,
)
def test_what_was_found_changes_the_digest(other):
    assert findings_digest([finding(**other)]) != findings_digest([finding()])


def test_a_new_finding_beside_the_old_ones_changes_the_digest():
    assert findings_digest([finding(), finding(b"/srv/new")]) != findings_digest([finding()])


def test_a_subject_of_another_sort_with_the_same_name_has_another_digest():
    account = finding(path=None, account="x")
    package = finding(path=None, subject_package="x")
    assert findings_digest([account]) != findings_digest([package])


def test_sizes_counts_and_wording_do_not_change_the_digest():
    other = finding(
        count=7,
        size=9,
        newest_mtime_ns=3,
        examples=(b"/srv/data/x",),
        reason="Other words.",
        command=(b"rm",),
    )
    assert findings_digest([other]) == findings_digest([finding()])


def test_an_unknown_is_part_of_the_digest():
    unknown = Unknown("mount", "It could not be covered.", b"/data")
    assert findings_digest([finding()], [unknown]) != findings_digest([finding()])
    assert findings_digest([], [unknown]) != findings_digest([], [Unknown("mount", "", b"/other")])
    assert findings_digest([], [unknown]) == findings_digest([], [Unknown("mount", "Other words.", b"/data")])


def test_a_grantor_is_named_as_people_know_him():
    assert Grantor(0).name == "root"
    assert Grantor(0, login_uid=1000, sudo_user="alice").name == "alice (sudo)"
    assert Grantor(0, login_uid=1000).name == "root (logged in as uid 1000)"
    assert Grantor(1000, login_uid=1000).name == "uid 1000"
