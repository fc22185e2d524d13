# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: who is tried, what counts as harm, what is kept when it is interrupted, and how it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from dpkg_roots import Root

from aptguard.guard import audit
from aptguard.guard.audit import base_system, find_candidates
from aptguard.guard.audit_progress import FILE, AuditProgress, policy_digest
from aptguard.guard.errors import GuardError
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Finding, Judgement, Severity, Verdict
from aptguard.policy.model import Mode, PathRule, Place, Policy
from aptguard.rehearsal.model import RehearsalResult, Unknown
from aptguard.report.audit import Audit, audit_as_plain, audit_page, audit_text
from aptguard.report.audited import Audited, Candidate, Outcome
from aptguard.report.build import build_report
from aptguard.report.model import Report
from aptguard.report.style import Style
from aptguard.transaction.model import Action, Caller, Item, Transaction

TOY = Candidate("toy", "amd64", "1", "installed")
EVIL_NAME = b"/srv/<script>alert(1)</script>\x1b[2J"
HARM = Finding(
    rule="local-data",
    severity=Severity.BLOCK,
    reason="It is somebody's.",
    change="deleted",
    path=EVIL_NAME,
    package="toy",
    script="postrm purge",
    command=(b"rm", b"-rf", b"/srv"),
    count=3,
    size=5000,
)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(str(tmp_path / "root"))
    made.package("base-files", [b"/etc"], fields="Essential: yes\nPre-Depends: awk\n")
    made.package("mawk", [b"/usr/bin/mawk"], fields="Provides: awk (= 1)\nDepends: libc6 (>= 2), x | y\n")
    made.package("libc6", [b"/usr/lib/libc.so.6"], same=True)
    made.package("init", [b"/usr/sbin/init"], fields="Protected: yes\n")
    made.package("toy", [b"/usr/bin/toy"])
    made.package("old", [], status="deinstall ok config-files")
    made.package("gone", [], status="purge ok not-installed")
    return made


def report(*findings: Finding, unknowns: tuple[Unknown, ...] = ()) -> Report:
    item = Item("toy", "amd64", Action.PURGE, old_version="1")
    return build_report(
        Transaction(audit.FRONTEND, (item,)),
        Caller(pid=1, uid=0, user="root"),
        RehearsalResult(steps=(), changes=(), complete=True),
        Facts(),
        Judgement(Verdict.BLOCK if findings else Verdict.ALLOW, findings, unknowns),
        fingerprint="0" * 64,
        time=0.0,
        host="here",
        mode=Mode.ENFORCE.value,
        timing={},
    )


def summed_up(*findings: Finding, unknowns: tuple[Unknown, ...] = ()) -> Audited:
    return audit._summed_up(TOY, report(*findings, unknowns=unknowns), frozenset({b"/opt/toy/own"}))


def test_all_that_can_be_purged_is_tried_but_not_what_the_base_system_stands_on(root: Root) -> None:
    found = find_candidates(DpkgDatabase(root.path))
    assert [one.name for one in found.tried] == ["old:amd64", "toy:amd64"]
    assert found.base == ("base-files", "init", "libc6", "mawk")
    assert [one.status for one in found.tried] == ["config-files", "installed"]


def test_a_dependency_is_followed_through_what_provides_it(root: Root) -> None:
    names = ["base-files", "mawk", "libc6", "init", "toy"]
    assert base_system(DpkgDatabase(root.path), names) == {"base-files", "mawk", "libc6", "init"}


def test_a_package_that_is_named_is_tried_wherever_it_stands(root: Root) -> None:
    found = find_candidates(DpkgDatabase(root.path), ["libc6:amd64", "toy"])
    assert [one.name for one in found.tried] == ["libc6:amd64", "toy:amd64"]
    with pytest.raises(GuardError, match="nosuch is not installed"):
        find_candidates(DpkgDatabase(root.path), ["toy", "nosuch"])


def test_a_script_that_deletes_what_is_somebodys_makes_a_land_mine() -> None:
    assert summed_up(HARM).outcome is Outcome.LAND_MINE
    assert summed_up(HARM).findings == (HARM,)


def test_what_the_plan_breaks_and_what_is_only_warned_of_is_no_land_mine() -> None:
    plan = Finding("protected-package", Severity.BLOCK, "x", "removed", subject_package="toy")
    assert summed_up(plan, replace(HARM, severity=Severity.WARN)).outcome is Outcome.HARMLESS


def test_dpkg_taking_the_packages_own_files_is_no_land_mine_but_a_script_doing_so_is() -> None:
    own = replace(HARM, path=b"/opt/toy/own", script=None)
    assert summed_up(own).outcome is Outcome.HARMLESS
    assert summed_up(replace(own, script="prerm remove")).outcome is Outcome.LAND_MINE
    assert summed_up(replace(own, examples=(b"/opt/toy/own", b"/opt/toy/x"))).outcome is Outcome.LAND_MINE


def test_what_could_not_be_rehearsed_is_not_called_harmless() -> None:
    assert summed_up(unknowns=(Unknown("a", "b"),)).outcome is Outcome.UNKNOWN
    assert summed_up(HARM, unknowns=(Unknown("a", "b"),)).outcome is Outcome.LAND_MINE


def test_an_interrupted_audit_goes_on_and_a_finished_one_does_not(tmp_path: Path) -> None:
    first = AuditProgress(str(tmp_path), Policy())
    first.keep(Audited(TOY, Outcome.LAND_MINE, (HARM,)))
    first.close()
    second = AuditProgress(str(tmp_path), Policy())
    assert second.results == {TOY: Audited(TOY, Outcome.LAND_MINE, (HARM,))}
    second.finish()
    assert AuditProgress(str(tmp_path), Policy()).results == {}


def test_results_do_not_hold_for_other_rules_another_version_or_another_day(tmp_path: Path) -> None:
    first = AuditProgress(str(tmp_path), Policy())
    first.keep(Audited(TOY, Outcome.HARMLESS))
    first.close()
    path = tmp_path / FILE
    again = AuditProgress(str(tmp_path), Policy())
    assert replace(TOY, version="2") not in again.results and TOY in again.results
    again.close()
    header = json.loads(path.read_text().split("\n")[0])
    later = {**header, "begun": header["begun"] - 90_000}
    path.write_text(path.read_text().replace(json.dumps(header), json.dumps(later)))
    assert AuditProgress(str(tmp_path), Policy()).results == {}


def test_other_rules_begin_anew(tmp_path: Path) -> None:
    first = AuditProgress(str(tmp_path), Policy())
    first.keep(Audited(TOY, Outcome.HARMLESS))
    first.close()
    assert AuditProgress(str(tmp_path), Policy(mode=Mode.REPORT)).results == {}


def test_a_result_that_was_cut_off_is_left_out_and_the_next_one_is_whole(tmp_path: Path) -> None:
    first = AuditProgress(str(tmp_path), Policy())
    first.keep(Audited(TOY, Outcome.HARMLESS))
    first.close()
    with open(tmp_path / FILE, "ab") as file:
        file.write(b'{"candidate": {"pack')
    other = replace(TOY, package="other")
    second = AuditProgress(str(tmp_path), Policy())
    assert set(second.results) == {TOY}
    second.keep(Audited(other, Outcome.HARMLESS))
    second.close()
    assert set(AuditProgress(str(tmp_path), Policy()).results) == {TOY, other}


def test_a_second_audit_at_the_same_time_leaves_the_first_ones_results_alone(tmp_path: Path) -> None:
    first = AuditProgress(str(tmp_path), Policy())
    second = AuditProgress(str(tmp_path), Policy())
    assert second.problem == "another audit is going on"
    second.keep(Audited(TOY, Outcome.HARMLESS))
    second.finish()
    assert os.path.exists(tmp_path / FILE) and first.problem is None


def whole(*results: Audited, dormant: tuple[Finding, ...] = ()) -> Audit:
    return Audit("here", 0.0, 2.0, results, ("libc6",), dormant)


def test_the_text_names_package_path_script_command_and_rule_and_nothing_is_forged() -> None:
    told = audit_text(whole(Audited(TOY, Outcome.LAND_MINE, (HARM,))), Style())
    for word in (
        "toy:amd64",
        "postrm purge",
        "rm -rf /srv",
        "local-data",
        "3 paths",
        "4.9 KiB",
        "1 land mine",
    ):
        assert word in told
    assert "\x1b" not in told


def test_a_removed_package_is_said_to_be_removed() -> None:
    old = Audited(replace(TOY, status="config-files"), Outcome.LAND_MINE, (HARM,))
    assert "removed before" in audit_text(whole(old), Style())


def test_what_is_not_known_is_told_and_is_no_danger() -> None:
    unknown = whole(Audited(TOY, Outcome.UNKNOWN, unknowns=(Unknown("the step", "long " * 200),)))
    told = audit_text(unknown, Style())
    assert "toy:amd64: the step" in told and "1 unknown" in told and "not tried" in told.lower()
    assert max(map(len, told.split("\n"))) < 300
    assert unknown.dangers == 0


def test_dormant_accounts_are_dangers() -> None:
    account = Finding("account-home", Severity.WARN, "Its home is /.", "home", account="obsolete")
    found = whole(Audited(TOY, Outcome.HARMLESS), dormant=(account,))
    assert found.dangers == 1
    assert "obsolete: Its home is /." in audit_text(found, Style())
    assert audit_as_plain(found)["dormant"][0]["account"] == "obsolete"


def test_the_json_document_has_every_result_once() -> None:
    plain = audit_as_plain(
        whole(
            Audited(TOY, Outcome.LAND_MINE, (HARM,)),
            Audited(replace(TOY, package="a"), Outcome.HARMLESS),
            Audited(replace(TOY, package="b"), Outcome.UNKNOWN, unknowns=(Unknown("x", "y"),)),
        )
    )
    assert [one["package"] for one in plain["land_mines"]] == ["toy"]
    assert plain["harmless"] == ["a:amd64"] and plain["not_tried"] == ["libc6"]
    assert plain["unknown"][0]["unknowns"] == [{"what": "x", "reason": "y"}]
    json.dumps(plain)


def test_the_page_is_one_document_in_which_nothing_is_forged() -> None:
    page = audit_page(whole(Audited(TOY, Outcome.LAND_MINE, (HARM,))))
    assert page.startswith("<!DOCTYPE html>") and "toy:amd64" in page
    assert "<script" not in page and "http://" not in page and "\x1b" not in page


def test_the_digest_of_the_rules_is_the_same_in_every_process() -> None:
    # Sets are walked in another order in each process (PYTHONHASHSEED).
    rule = PathRule(
        "x", Place.DATA, (), "y", changes=frozenset({"deleted", "content", "mode", "owner", "acl"})
    )
    expected = policy_digest(Policy(path_rules=(rule,)))
    script = (
        "from aptguard.guard.audit_progress import policy_digest; from aptguard.policy.model import *\n"
        "changes = frozenset({'deleted', 'content', 'mode', 'owner', 'acl'})\n"
        "print(policy_digest(Policy(path_rules=(PathRule('x', Place.DATA, (), 'y', changes=changes),))))"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected
