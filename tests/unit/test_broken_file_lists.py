# SPDX-License-Identifier: GPL-3.0-or-later
"""One package's file list is missing or damaged: unknown where its files may be meant, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from change_sets import PURGE, TODAY, altered, default_policy, directory, gone, made, result, transaction
from dpkg_roots import Root

from aptguard.changes.model import Change, Kind
from aptguard.host.dpkg_database import DpkgDatabase, DpkgDatabaseError
from aptguard.host.gather import gather_facts
from aptguard.policy.checks import DEFAULT_CHECKS
from aptguard.policy.finding import Judgement, Severity, Verdict
from aptguard.policy.judge import judge
from aptguard.policy.model import Policy, PolicyException
from aptguard.transaction.model import Action

OWN = (b"/usr", b"/usr/bin", b"/usr/bin/toy", b"/etc/toy", b"/etc/toy/toy.conf", b"/var/lib/toy")
VICTIM = b"/var/lib/dpkg/info/victim.list"
BOOKS = (
    altered("/var/lib/dpkg/status", Kind.CONTENT),
    gone("/var/lib/dpkg/info/toy.list"),
    gone("/var/lib/dpkg/info/toy.postrm"),
    altered("/var/log/dpkg.log", Kind.CONTENT),
)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    base = Root(str(tmp_path / "root"))
    base.package("toy", OWN, fields=f"Conffiles:\n /etc/toy/toy.conf {'0' * 32}\nSource: toys\n")
    base.package("victim", [b"/usr", b"/usr/bin", b"/usr/bin/victim", b"/var/lib/victim"])
    base.package("other", [b"/usr", b"/usr/bin/other"])
    base.write("/etc/passwd", b"root:x:0:0::/root:/bin/sh\n")
    base.write("/etc/group", b"root:x:0:\n")
    return base


def is_missing(root: Root) -> None:
    os.unlink(root.path + VICTIM)


def leads_nowhere(root: Root) -> None:
    os.unlink(root.path + VICTIM)
    os.symlink("nowhere", root.path + VICTIM)


def is_a_directory(root: Root) -> None:
    os.unlink(root.path + VICTIM)
    os.mkdir(root.path + VICTIM)


def is_cut_off(root: Root) -> None:
    root.write(VICTIM.decode(), b"/.\n/usr\n/usr/bi")


DAMAGES = pytest.mark.parametrize("damage", [is_missing, leads_nowhere, is_a_directory, is_cut_off])


def judged(
    root: Root, *changes: Change, index: bytes | None = None, policy: Policy | None = None
) -> Judgement:
    rehearsed = result(*changes)
    facts = gather_facts(PURGE, rehearsed, DpkgDatabase(root.path, index=index))
    return judge(PURGE, rehearsed, facts, policy or default_policy(), TODAY)


@DAMAGES
@pytest.mark.parametrize("indexed", [True, False])
def test_a_purge_that_touches_its_own_files_and_dpkg_s_books_only_is_allowed(
    root: Root, tmp_path: Path, damage: Callable[[Root], None], indexed: bool
) -> None:
    index = os.fsencode(tmp_path / "index") if indexed else None
    own = (
        gone("/usr/bin/toy"),
        gone("/etc/toy/toy.conf"),
        gone("/etc/toy", directory()),
        made("/run/toy.stamp"),
    )
    assert judged(root, *own, *BOOKS, index=index).verdict is Verdict.ALLOW
    damage(root)
    assert judged(root, *own, *BOOKS, index=index).verdict is Verdict.ALLOW


@DAMAGES
@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        gone("/var/lib/toy/database"),
        gone("/var/lib/toy/link", script="postrm remove"),
        gone("/usr/share/toy-data/file"),
        altered("/usr/share/victim/file", Kind.CONTENT),
        altered("/usr/share/victim/file", Kind.MODE),
        gone("/etc/systemd/system/multi-user.target.wants/victim.service"),
    ],
)
def test_what_nobody_lists_may_be_a_file_of_the_broken_package(
    root: Root, tmp_path: Path, damage: Callable[[Root], None], indexed: bool, change: Change
) -> None:
    index = os.fsencode(tmp_path / "index") if indexed else None
    damage(root)
    judgement = judged(root, change, *BOOKS, index=index)
    assert judgement.verdict is not Verdict.ALLOW
    if judgement.verdict is Verdict.UNKNOWN:
        (unknown,) = judgement.unknowns
        assert unknown.path == change.path
        assert "victim" in unknown.reason


def test_what_nobody_lists_is_allowed_again_when_the_list_is_sound_again(root: Root, tmp_path: Path) -> None:
    index = os.fsencode(tmp_path / "index")
    change = gone("/var/lib/toy/database")
    before = Path(os.fsdecode(root.path + VICTIM)).read_bytes()
    for damage in (is_missing, is_a_directory):
        assert judged(root, change, index=index).verdict is Verdict.ALLOW
        damage(root)
        assert judged(root, change, index=index).verdict is Verdict.UNKNOWN
        if damage is is_a_directory:
            os.rmdir(root.path + VICTIM)
        root.write(VICTIM.decode(), before)
    assert judged(root, change, index=index).verdict is Verdict.ALLOW


def test_files_that_others_list_and_data_of_nobody_are_blocked_all_the_same(root: Root) -> None:
    is_missing(root)
    foreign = judged(root, gone("/usr/bin/other"))
    assert (foreign.verdict, foreign.unknowns) == (Verdict.BLOCK, ())
    assert judged(root, gone("/srv/data/rows"), gone("/usr/bin/victim")).verdict is Verdict.BLOCK


def test_what_many_scripts_rewrite_may_be_altered_and_not_deleted(root: Root) -> None:
    is_missing(root)
    assert judged(root, altered("/etc/shells", Kind.CONTENT)).verdict is Verdict.ALLOW
    assert judged(root, gone("/etc/ld.so.cache")).verdict is not Verdict.ALLOW


def test_a_sibling_with_a_broken_list_does_not_stand_for_a_stranger_with_one(root: Root) -> None:
    root.package("toy-data", [b"/usr/share/toys"], fields="Source: toys\n")
    change = altered("/var/lib/toy/database", Kind.CONTENT)
    os.unlink(root.path + b"/var/lib/dpkg/info/toy-data.list")
    assert judged(root, change).verdict is Verdict.ALLOW
    is_missing(root)
    (unknown,) = judged(root, change).unknowns
    assert "victim" in unknown.reason


def test_where_the_policy_does_not_mind_foreign_files_a_broken_list_does_not_matter(root: Root) -> None:
    is_missing(root)
    change = gone("/var/lib/toy/database")
    checks = {
        **default_policy().checks,
        "foreign-file": replace(DEFAULT_CHECKS["foreign-file"], severity=Severity.IGNORE),
    }
    assert judged(root, change, policy=replace(default_policy(), checks=checks)).verdict is Verdict.ALLOW
    warned = {
        **default_policy().checks,
        "foreign-file": replace(DEFAULT_CHECKS["foreign-file"], severity=Severity.WARN),
    }
    assert judged(root, change, policy=replace(default_policy(), checks=warned)).verdict is Verdict.UNKNOWN
    excused = PolicyException(
        name="x",
        packages=frozenset({"toy"}),
        rules=frozenset({"foreign-file"}),
        paths=(),
        reason="x",
        origin="x",
    )
    policy = replace(default_policy(), exceptions=(excused,))
    assert judged(root, change, policy=policy).verdict is Verdict.ALLOW


def test_a_broken_list_of_the_package_itself_or_of_another_instance_of_it_is_an_error(root: Root) -> None:
    root.package("lib", [b"/usr/lib/lib"], same=True)
    root.package("lib", [b"/usr/lib/lib"], same=True, architecture="i386")
    os.unlink(root.path + b"/var/lib/dpkg/info/lib:i386.list")
    plan = transaction(("lib", Action.PURGE))
    with pytest.raises(DpkgDatabaseError, match="lib:i386"):
        gather_facts(plan, result(gone("/usr/lib/lib", by="lib")), DpkgDatabase(root.path))
    os.unlink(root.path + b"/var/lib/dpkg/info/toy.list")
    with pytest.raises(DpkgDatabaseError, match="toy"):
        gather_facts(PURGE, result(), DpkgDatabase(root.path))


def test_a_role_does_not_make_the_purge_of_a_package_that_holds_none_unknown(root: Root) -> None:
    is_missing(root)
    rehearsed = result(gone("/usr/bin/toy"))
    facts = gather_facts(PURGE, rehearsed, DpkgDatabase(root.path), default_policy().roles)
    assert judge(PURGE, rehearsed, facts, default_policy(), TODAY).verdict is Verdict.ALLOW


def test_many_broken_lists_are_one_unknown(root: Root) -> None:
    is_missing(root)
    os.unlink(root.path + b"/var/lib/dpkg/info/other.list")
    assert len(judged(root, gone("/var/lib/toy/database"), gone("/var/lib/toy/more")).unknowns) == 1


def test_a_list_that_could_not_be_read_is_tried_again_though_its_directory_is_as_before(
    root: Root, tmp_path: Path
) -> None:
    index = os.fsencode(tmp_path / "index")
    os.unlink(root.path + VICTIM)
    os.symlink(tmp_path / "later", root.path + VICTIM)
    os.utime(os.path.dirname(root.path + VICTIM), (10**9, 10**9))
    change = gone("/var/lib/toy/database")
    assert judged(root, change, index=index).verdict is Verdict.UNKNOWN
    (tmp_path / "later").write_bytes(b"/.\n/usr/bin/victim\n")
    assert judged(root, change, index=index).verdict is Verdict.ALLOW
