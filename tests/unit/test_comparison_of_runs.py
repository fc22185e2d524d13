# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real run of an approved transaction should do, and what is said of one that did otherwise."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from change_sets import default_policy
from dpkg_roots import Root
from own_command import make_report

from aptguard.alerts.events import CRITICAL, WARNING, diverged_event
from aptguard.guard import comparison, expectation
from aptguard.guard.comparison import MOST_DIVERGENCES, compare
from aptguard.guard.expectation import MOST_GOING, Expectation, Going, evenly, expect
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.policy.finding import Verdict
from aptguard.rehearsal.model import Unknown
from aptguard.report.details import details
from aptguard.report.machine import report_as_plain
from aptguard.report.model import ChangedPath, Divergence, DivergenceKind, RealRun, Report, RunEnd
from aptguard.report.report_page import report_page
from aptguard.report.style import Style
from aptguard.transaction.model import Action, Item, Transaction

LATER = 4_000_000_000.0  # after every file's time of change
OK = "install ok installed"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    log = tmp_path / "dpkg.log"
    log.write_bytes(b"")
    for module in (comparison, expectation):
        monkeypatch.setattr(module, "DPKG_LOG", os.fsencode(log))
    return Root(str(tmp_path / "root"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A directory for files that come and go, and that counts as an ordinary one."""
    monkeypatch.setattr(expectation, "_VOLATILE", (b"/nowhere/",))
    directory = tmp_path / "place"
    directory.mkdir()
    return os.fsencode(directory)


def transaction(*items: Item) -> Transaction:
    return Transaction("apt-get", items)


def purge(name: str = "toy", *, assumed: bool = False) -> Item:
    return Item(name, "amd64", Action.PURGE, "1", purge_assumed=assumed)


def deleted(path: bytes, script: str | None = None, owner: str = "transaction") -> ChangedPath:
    return ChangedPath(path, ("deleted",), owner, 0, "toy", script)


def judged(*changes: ChangedPath, items: tuple[Item, ...] = (purge(),), **more: object) -> Report:
    fields = {"transaction": transaction(*items), "changed_paths": changes, "time": time.time(), **more}
    return make_report(1, Verdict.ALLOW, **fields)


def database(root: Root) -> DpkgDatabase:
    return DpkgDatabase(root.path)


def ended(expected: Expectation, root: Root) -> RealRun:
    policy = replace(default_policy(), path_rules=())  # no word of the places of tests, which are in /tmp
    return compare(expected, policy, database(root), LATER)


def write(path: bytes) -> bytes:
    with open(path, "wb"):
        return path


# ---------------------------------------------------------------- packages


def test_a_run_that_did_what_it_should_ended_as_rehearsed(root: Root, place: bytes) -> None:
    root.package("toy", [], status=OK)
    path = write(place + b"/file")
    expected = expect(judged(deleted(path)), 1, database(root))
    os.unlink(path)
    root.write("/var/lib/dpkg/status", b"")
    run = ended(expected, root)
    assert (run.end, run.divergences, run.omitted) == (RunEnd.AS_REHEARSED, (), 0)
    assert run.paths >= 1


def test_a_run_that_did_not_begin_is_no_divergence(root: Root, place: bytes) -> None:
    root.package("toy", [], status=OK)
    expected = expect(judged(deleted(write(place + b"/file"))), 1, database(root))
    run = ended(expected, root)
    assert (run.end, run.divergences) == (RunEnd.NOT_BEGUN, ())
    assert diverged_event("7F3K-92QX", ["toy"], run) is None


def test_of_a_run_that_ended_half_way_nothing_is_said_that_was_only_not_done_yet(
    root: Root, place: bytes
) -> None:
    for name in ("toy", "other"):
        root.package(name, [], status=OK)
    changes = [deleted(write(place + b"/done")), deleted(write(place + b"/not-yet"))]
    expected = expect(judged(*changes, items=(purge(), purge("other"))), 1, database(root))
    root.write("/var/lib/dpkg/status", b"")
    root.package("other", [], status="purge ok half-installed")
    run = ended(expected, root)
    assert run.end is RunEnd.HALF_WAY
    assert [(one.kind, one.package) for one in run.divergences] == [(DivergenceKind.STATE, "other:amd64")]
    event = diverged_event("7F3K-92QX", ["toy", "other"], run)
    assert event is not None and event.priority == WARNING
    assert event.fields["PACKAGE"] == ("other:amd64",)


@pytest.mark.parametrize(
    ("item", "status", "said"),
    [
        (purge(), "purge ok config-files", "postrm purge"),
        (purge(), "install ok half-configured", "half-configured"),
        (Item("toy", "amd64", Action.UPGRADE, "1", "2"), "install ok half-configured", "postinst"),
        (Item("toy", "amd64", Action.UPGRADE, "1", "2"), "install ok unpacked", "not configured"),
        (Item("toy", "amd64", Action.UPGRADE, "1", "0"), "install ok triggers-pending", "triggers-pending 1"),
    ],
)
def test_a_script_that_fails_in_the_real_run_shows_in_the_state_of_its_package(
    root: Root, item: Item, status: str, said: str
) -> None:
    root.package("toy", [], status=OK)
    expected = expect(judged(items=(item,)), 1, database(root))
    root.write("/var/lib/dpkg/status", b"")
    root.package("toy", [], status=status)
    run = ended(expected, root)
    assert run.end is RunEnd.HALF_WAY
    assert said in run.divergences[0].reason


def test_a_failed_prerm_shows_in_dpkgs_log_when_the_state_is_as_before(root: Root) -> None:
    root.package("toy", [], status=OK)
    expected = expect(judged(), 1, database(root))
    assert ended(expected, root).end is RunEnd.NOT_BEGUN
    Path(os.fsdecode(comparison.DPKG_LOG)).write_text("2026-01-01 00:00:00 remove toy:amd64 1 <none>\n")
    run = ended(expected, root)
    assert run.end is RunEnd.HALF_WAY
    assert "prerm" in run.divergences[0].reason


@pytest.mark.parametrize(
    ("list_goes", "status", "end"),
    [
        (False, "deinstall ok config-files", RunEnd.AS_REHEARSED),
        (False, None, RunEnd.HALF_WAY),  # purged, though its removal was rehearsed
        (True, None, RunEnd.AS_REHEARSED),
    ],
)
def test_what_is_removed_leaves_behind_what_it_left_in_the_rehearsal(
    root: Root, list_goes: bool, status: str | None, end: RunEnd
) -> None:
    root.package("toy", [], status=OK)
    changes = [deleted(b"/var/lib/dpkg/info/toy.list")] if list_goes else []
    item = Item("toy", "amd64", Action.REMOVE, "1")
    expected = expect(judged(*changes, items=(item,)), 1, database(root))
    root.write("/var/lib/dpkg/status", b"")
    if status:
        root.package("toy", [], status=status)
    assert ended(expected, root).end is end


# ---------------------------------------------------------------- paths


def test_a_path_that_was_to_go_and_was_not_touched_is_still_there(root: Root, place: bytes) -> None:
    root.package("toy", [], status=OK)
    path = write(place + b"/file")
    expected = expect(judged(deleted(path), time=LATER), 1, database(root))
    root.write("/var/lib/dpkg/status", b"")
    run = ended(expected, root)
    assert run.end is RunEnd.DIVERGED
    assert [(one.kind, one.path, one.package) for one in run.divergences] == [
        (DivergenceKind.STILL_THERE, path, "toy")
    ]
    event = diverged_event("7F3K-92QX", ["toy"], run)
    assert event is not None and event.priority == WARNING


def test_a_path_that_went_and_was_made_anew_is_no_divergence(root: Root, place: bytes) -> None:
    root.package("toy", [], status=OK)
    expected = expect(judged(deleted(place + b"/file"), time=1.0), 1, database(root))
    root.write("/var/lib/dpkg/status", b"")
    write(place + b"/file")
    assert ended(expected, root).end is RunEnd.AS_REHEARSED


def test_where_a_purge_was_only_assumed_what_a_removal_leaves_is_no_divergence(
    root: Root, place: bytes
) -> None:
    root.package("toy", [], status=OK)
    path = write(place + b"/conffile")
    expected = expect(judged(deleted(path), time=LATER, items=(purge(assumed=True),)), 1, database(root))
    root.write("/var/lib/dpkg/status", b"")
    root.package("toy", [], status="deinstall ok config-files")
    assert ended(expected, root).end is RunEnd.AS_REHEARSED


def test_a_neighbour_of_what_a_script_takes_away_should_stay(root: Root, place: bytes) -> None:
    root.package("toy", [], status=OK)
    goes, stays = write(place + b"/goes"), write(place + b"/stays")
    expected = expect(judged(deleted(goes, "postrm purge", "unowned")), 1, database(root))
    assert stays in expected.staying and goes not in expected.staying
    os.unlink(goes)
    os.unlink(stays)
    root.write("/var/lib/dpkg/status", b"")
    run = ended(expected, root)
    assert [(one.kind, one.path) for one in run.divergences] == [(DivergenceKind.GONE, stays)]
    event = diverged_event("7F3K-92QX", ["toy"], run)
    assert event is not None and event.priority == CRITICAL
    assert event.fields["PATH"] == (os.fsdecode(stays),)
    assert event.fields["ID"] == ("7F3K-92QX",)


def test_what_dpkg_deletes_of_the_packages_own_needs_no_look_at_its_neighbours(
    root: Root, place: bytes
) -> None:
    root.package("toy", [], status=OK)
    write(place + b"/stays")
    expected = expect(judged(deleted(write(place + b"/goes"))), 1, database(root))
    assert expected.staying == ()


def test_harm_is_told_even_of_a_run_that_ended_half_way(root: Root, place: bytes) -> None:
    root.package("toy", [], status=OK)
    data = place + b"/data"
    os.mkdir(data)
    expected = expect(judged(), 1, database(root), protected=[place])
    assert data in expected.staying
    os.rmdir(data)
    assert ended(expected, root).end is RunEnd.DIVERGED  # dpkg's database says that nothing was done
    root.write("/var/lib/dpkg/status", b"")
    root.package("toy", [], status="purge ok half-installed")
    run = ended(expected, root)
    assert run.end is RunEnd.HALF_WAY
    assert {one.kind for one in run.divergences} == {DivergenceKind.GONE, DivergenceKind.STATE}


def test_what_comes_and_goes_at_any_time_is_not_looked_at(root: Root) -> None:
    root.package("toy", [], status=OK)
    changes = [deleted(b"/run/toy.pid", "postrm purge", "unowned"), deleted(b"/var/cache/toy/x")]
    expected = expect(judged(*changes), 1, database(root))
    assert (expected.going, expected.staying) == ((), ())


def test_cost_is_bounded_and_what_is_left_out_is_counted(root: Root, place: bytes) -> None:
    root.package("toy", [], status=OK)
    changes = [deleted(place + b"/%06d" % number) for number in range(MOST_GOING + 500)]
    expected = expect(judged(*changes), 1, database(root))
    assert (len(expected.going), expected.omitted) == (MOST_GOING, 500)
    assert expected.going[0].path == changes[0].path
    assert evenly([Going(b"/%d" % n) for n in range(10)], 5)[-1].path == b"/8"


def test_so_many_divergences_are_named_and_the_rest_counted(root: Root, place: bytes) -> None:
    root.package("toy", [], status=OK)
    changes = [deleted(write(place + b"/%06d" % number)) for number in range(MOST_DIVERGENCES + 7)]
    expected = expect(judged(*changes, time=LATER), 1, database(root))
    root.write("/var/lib/dpkg/status", b"")
    run = ended(expected, root)
    assert (len(run.divergences), run.omitted) == (MOST_DIVERGENCES, 7)


@pytest.mark.parametrize(
    "more", [{"complete": False}, {"unknowns": (Unknown("the step 'dpkg'", "it failed"),)}]
)
def test_a_rehearsal_that_did_not_show_all_is_no_measure(root: Root, more: dict[str, object]) -> None:
    root.package("toy", [], status=OK)
    run = ended(expect(judged(**more), 1, database(root)), root)
    assert run.end is RunEnd.NOT_COMPARED
    assert diverged_event("7F3K-92QX", ["toy"], run) is None


def test_a_mount_that_is_not_covered_does_not_keep_the_rest_from_being_compared(root: Root) -> None:
    root.package("toy", [], status=OK)
    unknown = Unknown("the mount /mnt", "it is not covered", b"/mnt")
    assert expect(judged(unknowns=(unknown,)), 1, database(root)).unclear == ""


# ---------------------------------------------------------------- showing it


def test_every_view_of_a_report_tells_of_the_real_run() -> None:
    run = RealRun(
        1_790_000_100.0,
        RunEnd.DIVERGED,
        "2 things went otherwise than in the rehearsal",
        (
            Divergence(DivergenceKind.GONE, "it was to stay and is gone", b"/srv/<b>\x1b\xff"),
            Divergence(DivergenceKind.STATE, "it is half-configured", package="toy"),
        ),
        paths=12,
    )
    report = judged(real_run=run)
    text = details(report, Style(columns=80, colour=False, ascii=True))
    assert "Real run\n  diverged, " in text
    assert "GONE        /srv/<b>\\x1b\\xff" in text and "package toy" in text
    page = report_page(report)
    assert "/srv/&lt;b&gt;\\x1b\\xff" in page and "package toy" in page
    plain = report_as_plain(report)["real_run"]
    assert plain["end"] == "diverged"
    assert plain["divergences"][1] == {
        "kind": "state",
        "reason": "it is half-configured",
        "package": "toy",
    }
    assert report_as_plain(judged())["real_run"] is None
