# SPDX-License-Identifier: GPL-3.0-or-later
"""Each incident as a full transaction through the real apt or dpkg, judged by witnesses outside the machine.

With ``APTGUARD_RECORD_INCIDENTS=DIRECTORY`` all that each judgement was made from is left there, one file for
an incident; with ``APTGUARD_INCIDENTS=all`` each is played on every Debian, else each on one of them.
"""

from __future__ import annotations

import pytest

from aptguard.policy.finding import Finding
from incidents.all_incidents import ALL, ALSO_BOOTED, PLAYS
from incidents.incident import Told
from incidents.playing import Played
from incidents.replay import judged_by_the_shipped_policy, without_directories

pytestmark = pytest.mark.needs_guest

EXIT_OF_A_STOP = {"apt-get": 100, "apt": 100, "dpkg": 2, "sh": 100}


def test_there_are_sixty_accidents_of_all_classes_and_thirty_harmless_counterparts() -> None:
    accidents = [one for one in ALL if one.source != "benign"]
    assert len(accidents) >= 60
    assert {one.source[0] for one in accidents} == set("ABCDEFGHI")
    assert len(ALL) - len(accidents) >= 30
    assert len({one.name for one in ALL}) == len(ALL)
    assert sum(play.booted for play in PLAYS) >= len(ALSO_BOOTED) > 0


@pytest.mark.parametrize("played", PLAYS, indirect=True, ids=str)
class TestIncident:
    def test_what_the_accident_needs_is_there_before_it(self, played: Played) -> None:
        incident = played.incident
        for path in (*incident.kept, *incident.gone):
            assert played.before[path], f"{path} was not there before: the incident is not set up as it says"
        for path in incident.made:
            assert not played.before[path], f"{path} was there before: the incident is not set up as it says"

    def test_the_verdict_is_what_it_must_be(self, played: Played) -> None:
        assert played.report is not None, played.story
        assert played.report.verdict.value == played.incident.verdict, played.story

    def test_every_finding_that_must_be_told_is_told_and_no_other(self, played: Played) -> None:
        assert played.report is not None, played.story
        findings = played.report.findings
        for told in played.incident.told:
            assert any(_tells(one, told) for one in findings), f"{told} is not told\n{played.story}"
        expected = {told.rule for told in played.incident.told} | played.incident.also
        assert "*" in expected or {one.rule for one in findings} <= expected, played.story
        said = " ".join(f"{one.kind}: {one.detail}" for one in played.report.effects)
        for effect in played.incident.effects:
            assert effect in said, played.story

    def test_what_is_stopped_changes_nothing_and_what_passes_is_done(self, played: Played) -> None:
        incident = played.incident
        for path in incident.kept:
            assert played.after[path], f"{path} is gone\n{played.story}"
        if stops(played):
            assert played.exit == EXIT_OF_A_STOP[incident.argv[0]], played.story
            assert played.differences == (), played.story
            assert "BLOCKED" in played.terminal, played.story
            return
        assert (played.exit != 0) == incident.fails, played.story
        for path in incident.gone:
            assert not played.after[path], f"{path} is still there\n{played.story}"
        for path in incident.made:
            assert played.after[path], f"{path} is not there\n{played.story}"

    def test_what_passes_without_findings_passes_without_a_word(self, played: Played) -> None:
        if played.incident.verdict == "allow" and not played.incident.told:
            assert "aptguard" not in played.terminal, played.story

    def test_the_recording_is_judged_the_same_again(self, played: Played) -> None:
        assert played.recording is not None, played.story
        assert judged_by_the_shipped_policy(played.recording) == without_directories(
            played.recording.judgement
        )
        assert played.report is not None
        assert played.recording.judgement.findings == played.report.findings
        assert played.recording.judgement.unknowns == played.report.unknowns


def stops(played: Played) -> bool:
    """Tell whether the operation must be stopped: a block, or an unknown verdict on a removal."""
    match played.incident.verdict:
        case "allow":
            return False
        case "block":
            return True
    assert played.report is not None, played.story
    return bool(played.report.transaction.takes_away)


def _tells(finding: Finding, told: Told) -> bool:
    path = None if told.path is None else told.path.encode()
    return (
        finding.rule == told.rule
        and finding.severity.value == told.severity
        and (path is None or path == finding.path or path in finding.examples)
        and told.account in (None, finding.account)
        and told.package in (None, finding.subject_package)
        and told.script in (None, finding.script)
    )
