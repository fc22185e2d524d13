# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import pytest
from ledger_values import GRANTOR, NOW, finding, grant, report

from aptguard.ledger.override import OverrideState, Pause, findings_digest
from aptguard.ledger.store import Ledger
from aptguard.policy.finding import Verdict
from aptguard.report.model import Divergence, DivergenceKind, RealRun, RunEnd

DIGEST = findings_digest([finding()])


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(str(tmp_path / "state"))
    yield ledger
    ledger.close()


def test_a_recorded_report_comes_back_the_same_after_a_restart(ledger, tmp_path):
    kept = report(path=b"/srv/\xff\n", user="\udcff alice", changed=3)
    ledger.record(kept)
    ledger.close()
    assert Ledger(str(tmp_path / "state")).report(kept.id) == kept


def test_how_a_run_ended_comes_back_with_its_report_and_goes_with_it(ledger):
    run = RealRun(
        NOW, RunEnd.DIVERGED, "one thing", (Divergence(DivergenceKind.GONE, "it is gone", b"/srv/\xff"),)
    )
    earlier, later = ledger.record(report()), ledger.record(report(time=NOW + 1))
    ledger.record_run(earlier, run)
    assert ledger.report("7F3K-92QX").real_run is None  # the later one's has not ended
    ledger.record_run(later, run)
    assert [one.real_run for one in ledger.reports()] == [run, run]
    assert ledger.report("7F3K-92QX").real_run == run
    ledger.prune(keep_days=1, max_bytes=1 << 30, now=NOW + 10 * 86400)
    assert [one.real_run for one in ledger.reports()] == [run]
    rows = ledger._database.read(lambda connection: connection.execute("SELECT report FROM runs"), "x")
    assert [row[0] for row in rows] == [later]


def test_an_id_that_was_never_given_has_no_report(ledger):
    assert ledger.report("7F3K-92QX") is None


def test_the_latest_report_speaks_for_an_id_even_when_the_clock_was_set_back(ledger):
    ledger.record(report(time=NOW))
    ledger.record(report(time=NOW - 5, verdict=Verdict.ALLOW))
    assert ledger.report("7F3K-92QX").verdict is Verdict.ALLOW


def test_each_filter_of_the_log_leaves_only_what_fits(ledger):
    ledger.record(report("AAAA-AAAA", time=NOW, package="one", path=b"/srv/a/x"))
    ledger.record(report("BBBB-BBBB", time=NOW + 10, package="two", verdict=Verdict.ALLOW, path=b"/srv/ab"))
    ledger.record(report("CCCC-CCCC", time=NOW + 20, package="o\x00ne", path=b"/srv/a"))

    def ids(**filters):
        return [found.id for found in ledger.reports(**filters)]

    assert ids() == ["CCCC-CCCC", "BBBB-BBBB", "AAAA-AAAA"]
    assert ids(limit=2) == ["CCCC-CCCC", "BBBB-BBBB"]
    assert ids(since=NOW + 10) == ["CCCC-CCCC", "BBBB-BBBB"]
    assert ids(verdict=Verdict.ALLOW) == ["BBBB-BBBB"]
    assert ids(package="one") == ["AAAA-AAAA"]
    assert ids(path=b"/srv/a") == ["CCCC-CCCC", "AAAA-AAAA"]
    assert ids(path=b"/srv/a", limit=1) == ["CCCC-CCCC"]
    assert ids(path=b"/") == ids()


def test_an_override_covers_its_transaction_with_its_findings_only(ledger):
    granted = grant(ledger)
    assert ledger.override_for(granted.fingerprint, DIGEST, NOW) == granted
    assert ledger.override_for("bb" * 32, DIGEST, NOW) is None
    assert ledger.override_for(granted.fingerprint, findings_digest([]), NOW) is None


def test_an_override_says_who_granted_it_and_why(ledger):
    grant(ledger)
    (listed,) = ledger.overrides()
    assert (listed.grantor, listed.reason, listed.state) == (
        GRANTOR,
        "It is obsolete.",
        OverrideState.GRANTED,
    )


def test_an_override_is_over_at_the_second_it_expires(ledger):
    granted = grant(ledger, seconds=60)
    assert ledger.override_for(granted.fingerprint, DIGEST, NOW + 59.9) is not None
    assert ledger.override_for(granted.fingerprint, DIGEST, NOW + 60) is None


def test_an_override_from_the_future_is_not_in_force(ledger):
    granted = grant(ledger, now=NOW + 3600)
    assert ledger.override_for(granted.fingerprint, DIGEST, NOW) is None


def test_expired_overrides_are_told_exactly_once(ledger):
    granted = grant(ledger, seconds=60)
    assert ledger.expire(NOW + 59) == ()
    (expired,) = ledger.expire(NOW + 60)
    assert expired == dataclasses.replace(granted, state=OverrideState.EXPIRED)
    assert ledger.expire(NOW + 61) == ()


def test_a_question_of_a_hook_does_not_use_up_an_override_but_the_end_of_the_run_does(ledger):
    granted = grant(ledger)
    assert ledger.apply_override(granted.number, run="41:7", now=NOW)
    assert ledger.apply_override(granted.number, run="41:7", now=NOW + 1)
    assert ledger.override_for(granted.fingerprint, DIGEST, NOW + 2) is not None
    (used,) = ledger.mark_overrides_used(run="41:7", now=NOW + 3)
    assert (used.state, used.used_at, used.applied_run) == (OverrideState.USED, NOW + 3, "41:7")
    assert ledger.override_for(granted.fingerprint, DIGEST, NOW + 4) is None
    assert not ledger.apply_override(granted.number, run="42:8", now=NOW + 4)


def test_the_end_of_another_run_or_of_one_without_the_override_uses_nothing_up(ledger):
    granted = grant(ledger)
    assert ledger.mark_overrides_used(now=NOW) == ()
    ledger.apply_override(granted.number, run="41:7", now=NOW)
    assert ledger.mark_overrides_used(run="42:8", now=NOW) == ()
    assert ledger.override_for(granted.fingerprint, DIGEST, NOW) is not None
    assert [used.number for used in ledger.mark_overrides_used(now=NOW)] == [granted.number]


def test_an_expired_override_cannot_be_applied(ledger):
    granted = grant(ledger, seconds=60)
    assert not ledger.apply_override(granted.number, run="41:7", now=NOW + 60)


def test_a_revoked_override_is_not_in_force_and_is_revoked_once(ledger):
    granted = grant(ledger)
    assert ledger.revoke(granted.id, NOW).state is OverrideState.REVOKED
    assert ledger.override_for(granted.fingerprint, DIGEST, NOW) is None
    assert ledger.revoke(granted.id, NOW) is None
    assert ledger.revoke("2222-2222", NOW) is None


def test_a_second_grant_replaces_the_first(ledger):
    first, second = grant(ledger), grant(ledger, now=NOW + 1)
    assert ledger.override_for(first.fingerprint, DIGEST, NOW + 2) == second
    assert [(o.number, o.state.value) for o in ledger.overrides(identifier=first.id)] == [
        (second.number, "granted"),
        (first.number, "revoked"),
    ]


def test_a_pause_is_in_force_until_it_ends_by_itself(ledger):
    pause = Pause(NOW, NOW + 1800, "Moving the database.", GRANTOR)
    assert ledger.pause(NOW) is None
    ledger.set_pause(pause)
    assert ledger.pause(NOW + 1799) == pause
    assert ledger.pause(NOW + 1800) is None
    assert ledger.pause(NOW - 3600) is None
    assert ledger.expire_pause(NOW + 1799) is None
    assert ledger.expire_pause(NOW + 1800) == pause
    assert ledger.expire_pause(NOW + 1801) is None


def test_there_is_one_pause_and_it_can_be_cleared(ledger):
    ledger.set_pause(Pause(NOW, NOW + 10, "One.", GRANTOR))
    ledger.set_pause(Pause(NOW, NOW + 20, "Two.", GRANTOR))
    assert ledger.clear_pause().reason == "Two."
    assert ledger.pause(NOW) is None
    assert ledger.clear_pause() is None


def test_pruning_takes_old_reports_and_old_ended_overrides_only(ledger):
    old = NOW - 40 * 86400
    ledger.record(report("AAAA-AAAA", time=old, fingerprint="aa" * 32))
    ledger.record(report("BBBB-BBBB", time=old, fingerprint="bb" * 32))
    ledger.record(report("CCCC-CCCC", time=NOW, fingerprint="cc" * 32))
    kept_open = grant(ledger, report("BBBB-BBBB", fingerprint="bb" * 32), now=old, seconds=90 * 86400)
    grant(ledger, report("AAAA-AAAA"), now=old)
    ledger.expire(NOW)
    assert ledger.prune(keep_days=30, max_bytes=1 << 30, now=NOW) == 1
    assert [found.id for found in ledger.reports()] == ["CCCC-CCCC", "BBBB-BBBB"]
    assert ledger.overrides() == (kept_open,)


def test_pruning_by_size_takes_the_oldest_first_and_shrinks_the_file(ledger, tmp_path):
    for number in range(20):
        ledger.record(report(f"AAAA-AA{number:02}", fingerprint=f"{number:064}", changed=2000))
    file = tmp_path / "state" / "ledger.db"
    ledger.close()
    before = file.stat().st_size
    gone = ledger.prune(keep_days=30, max_bytes=before // 2, now=NOW)
    left = [found.id for found in ledger.reports()]
    ledger.close()
    assert 0 < gone < 20
    assert left == [f"AAAA-AA{number:02}" for number in range(19, gone - 1, -1)]
    assert file.stat().st_size <= before // 2 + 65536


def test_the_newest_report_stays_however_small_the_space(ledger):
    ledger.record(report("AAAA-AAAA"))
    ledger.record(report("BBBB-BBBB"))
    ledger.prune(keep_days=0, max_bytes=0, now=NOW + 86400)
    assert [found.id for found in ledger.reports()] == ["BBBB-BBBB"]
