# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from change_sets import PURGE, REMOVE, directory, facts, file, gone, judged

from aptguard.policy.finding import Finding


def below_srv(count: int) -> tuple[Finding, ...]:
    changes = [gone("/srv/data", directory())]
    changes += [gone(f"/srv/data/{number:03}", file(10, mtime_ns=number + 1)) for number in range(count)]
    return judged(PURGE, changes).findings


def test_a_subtree_is_one_finding_with_count_size_and_the_newest_first() -> None:
    (finding,) = below_srv(30)
    assert (finding.path, finding.count, finding.size) == (b"/srv/data", 31, 300)
    assert finding.newest_mtime_ns == 30
    assert finding.examples[0] == b"/srv/data/029"
    assert len(finding.examples) == 10


def test_a_single_path_has_no_examples() -> None:
    (finding,) = judged(PURGE, (gone("/srv/x"),)).findings
    assert (finding.path, finding.count, finding.examples) == (b"/srv/x", 1, ())


def test_a_name_that_begins_like_a_deleted_directory_is_not_below_it() -> None:
    changes = (gone("/srv/a", directory()), gone("/srv/a-b"), gone("/srv/a/x"))
    assert {(one.path, one.count) for one in judged(PURGE, changes).findings} == {
        (b"/srv/a", 2),
        (b"/srv/a-b", 1),
    }


def test_many_scattered_paths_are_drawn_together_at_a_common_directory() -> None:
    changes = [gone(f"/data/d{number}/file") for number in range(40)]
    (finding,) = judged(PURGE, changes).findings
    assert (finding.path, finding.count) == (b"/data", 40)


def test_what_two_scripts_did_is_told_apart() -> None:
    changes = (gone("/srv/x", script="prerm remove"), gone("/srv/y", script="postrm remove"))
    assert {one.script for one in judged(REMOVE, changes).findings} == {"prerm remove", "postrm remove"}


def test_the_worst_comes_first() -> None:
    changes = (gone("/srv/small", file(1)), gone("/opt", directory()), gone("/srv/large", file(10**9)))
    assert [one.path for one in judged(PURGE, changes).findings] == [b"/opt", b"/srv/large", b"/srv/small"]


def test_the_owners_are_named_and_too_many_are_counted() -> None:
    owners = {f"/usr/bin/f{number}": f"p{number}" for number in range(9)}
    changes = [gone("/usr/bin/f0")]
    assert judged(PURGE, changes, facts(owners=owners)).findings[0].reason.endswith("(of p0).")
    changes = [gone(path) for path in owners]
    assert "and 6 more installed packages" in judged(PURGE, changes, facts(owners=owners)).findings[0].reason
