# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from change_sets import (
    INSTALL,
    PURGE,
    TODAY,
    UPGRADE,
    altered,
    default_policy,
    directory,
    gone,
    made,
    result,
    transaction,
)
from dpkg_roots import Root

from aptguard.changes.model import Kind
from aptguard.host import file_lists
from aptguard.host.dpkg_database import DpkgDatabase, DpkgDatabaseError
from aptguard.host.gather import files_to_collect, gather_facts
from aptguard.policy.facts import Facts
from aptguard.policy.finding import Verdict
from aptguard.policy.judge import judge
from aptguard.rehearsal.model import RehearsalResult
from aptguard.transaction.model import Action, Transaction

LIST = b"/var/lib/dpkg/info/toy.list"
OWN = (b"/usr", b"/usr/bin", b"/usr/bin/toy", b"/var/lib/toystate", b"/etc/toy.yml", b"/etc/toy.conf")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(str(tmp_path / "root"))
    conffiles = f"Conffiles:\n /etc/toy.conf {'0' * 32}\nReplaces: oldtoy (<< 3), other | alt\nSource: toys\n"
    made.package("toy", OWN, fields=conffiles)
    made.package("findutils", [b"/usr", b"/usr/bin", b"/usr/bin/find"])
    made.package("oldtoy", [b"/usr/share/doc/oldtoy"])
    made.write("/etc/passwd", b"root:x:0:0::/root:/bin/sh\n")
    made.write("/etc/group", b"root:x:0:\n")
    return made


def gathered(root: Root, plan: Transaction, rehearsed: RehearsalResult) -> Facts:
    return gather_facts(plan, rehearsed, DpkgDatabase(root.path))


def test_the_accounts_the_diversions_and_the_new_file_lists_are_collected(root: Root) -> None:
    paths = files_to_collect(UPGRADE, DpkgDatabase(root.path))
    assert {b"/etc/passwd", b"/etc/group", b"/var/lib/dpkg/diversions", LIST} <= set(paths)
    assert LIST not in files_to_collect(PURGE, DpkgDatabase(root.path))


def test_what_is_mine_what_is_anothers_and_what_is_nobodys_is_told_apart(root: Root) -> None:
    changes = (gone("/usr/bin/toy"), gone("/usr/bin/find"), gone("/srv/x"), gone("/var/lib/toystate/db"))
    facts = gathered(root, PURGE, result(*changes))
    assert facts.owners == {b"/usr/bin/toy": ("toy",), b"/usr/bin/find": ("findutils",)}
    assert facts.listed_before == frozenset(OWN)
    assert facts.directories == {b"/var/lib/toystate"}
    assert facts.conffiles == {b"/etc/toy.conf"}
    assert facts.listed_after == frozenset()
    assert facts.packages["findutils"].status == "installed"
    assert facts.packages["toy"].source == "toys"


def test_a_directory_that_another_package_lists_too_is_not_the_packages_own(root: Root) -> None:
    root.package("sharer", [b"/var/lib/toystate"])
    facts = gathered(root, PURGE, result(gone("/var/lib/toystate/db")))
    assert facts.directories == frozenset()
    assert facts.directory_owners == {b"/var/lib/toystate": ("sharer",)}


def test_the_new_list_says_what_is_the_packages_afterwards(root: Root) -> None:
    collected = {LIST: b"/.\n/bin\n/bin/toy2\n", b"/etc/passwd": b"", b"/etc/group": b""}
    facts = gathered(root, UPGRADE, result(collected=collected))
    assert facts.listed_after == {b"/bin", b"/usr/bin/toy2"}
    assert facts.problems == ()


def test_a_whole_run_without_the_new_list_is_a_problem_and_a_broken_one_falls_back(root: Root) -> None:
    assert gathered(root, UPGRADE, result()).problems
    cut_off = gathered(root, UPGRADE, result(complete=False))
    assert cut_off.problems == ()
    assert cut_off.listed_after == frozenset(OWN)


def test_a_new_list_with_odd_lines_is_a_problem(root: Root) -> None:
    assert gathered(root, INSTALL, result(collected={LIST: b"/.\nusr\n"})).problems


def test_accounts_are_compared_and_what_was_not_brought_out_is_a_problem(root: Root) -> None:
    touched = altered("/etc/passwd", Kind.CONTENT)
    assert gathered(root, PURGE, result(touched)).problems
    facts = gathered(root, PURGE, result(touched, collected={b"/etc/passwd": b"", b"/etc/group": None}))
    assert [account.name for account in facts.accounts_before.accounts] == ["root"]
    assert facts.accounts_after.accounts == ()
    untouched = gathered(root, PURGE, result())
    assert untouched.accounts_before == untouched.accounts_after
    assert untouched.problems == ()


def test_a_line_of_passwd_that_the_run_broke_is_a_problem_and_an_old_one_is_not(root: Root) -> None:
    root.write("/etc/passwd", b"old line\n")
    same = result(collected={b"/etc/passwd": b"old line\n", b"/etc/group": b""})
    assert gathered(root, PURGE, same).problems == ()
    worse = result(collected={b"/etc/passwd": b"old line\nnew line\n", b"/etc/group": b""})
    assert len(gathered(root, PURGE, worse).problems) == 1


def test_accounts_declared_in_sysusers_are_known_before_and_after(root: Root) -> None:
    root.write("/usr/lib/sysusers.d/a.conf", b"u here - -\n")
    collected = {
        b"/etc/passwd": b"",
        b"/etc/group": b"",
        b"/usr/lib/sysusers.d/toy.conf": b"u there - -\n",
    }
    facts = gathered(root, PURGE, result(collected=collected))
    assert facts.declared_accounts == {"here", "there"}
    assert facts.accounts_coming == ()
    touched = altered("/usr/lib/sysusers.d/toy.conf", Kind.CONTENT)
    facts = gathered(root, PURGE, result(touched, collected=collected))
    assert [(one.name, one.home) for one in facts.accounts_coming] == [("there", b"/")]


def test_a_file_taken_over_from_an_installed_package_is_missed_when_it_goes(root: Root) -> None:
    root.write("/var/lib/dpkg/info/oldtoy.md5sums", b"%s  usr/bin/toy\n" % (b"0" * 32))
    assert gathered(root, PURGE, result(gone("/usr/bin/toy"))).replaced == {b"/usr/bin/toy": ("oldtoy",)}
    both = transaction(("toy", Action.PURGE), ("oldtoy", Action.PURGE))
    assert gathered(root, both, result(gone("/usr/bin/toy"))).replaced == {}


def test_an_edited_file_in_etc_that_is_no_conffile_is_found(root: Root) -> None:
    root.write("/etc/toy.yml", b"edited")
    root.write("/etc/toy.conf", b"edited")
    sums = b"%s  etc/toy.yml\n" % (b"0" * 32)
    root.write("/var/lib/dpkg/info/toy.md5sums", sums)
    changes = (altered("/etc/toy.yml", Kind.CONTENT), altered("/etc/toy.conf", Kind.CONTENT))
    collected = {LIST: b"/.\n/etc/toy.yml\n"}
    assert b"/etc/toy.yml" in gathered(root, UPGRADE, result(*changes, collected=collected)).locally_modified
    digest = hashlib.md5(b"edited").hexdigest().encode()
    root.write("/var/lib/dpkg/info/toy.md5sums", sums.replace(b"0" * 32, digest))
    modified = gathered(root, UPGRADE, result(*changes, collected=collected)).locally_modified
    assert b"/etc/toy.yml" not in modified


def test_a_diversion_that_the_run_made_is_known_in_both_directions(root: Root) -> None:
    collected = {b"/var/lib/dpkg/diversions": b"/bin/find\n/bin/find.real\ntoy\n/x\n/y\nother\n"}
    facts = gathered(root, PURGE, result(collected=collected))
    assert facts.diverted == {
        b"/usr/bin/find": b"/usr/bin/find.real",
        b"/usr/bin/find.real": b"/usr/bin/find",
    }


def test_the_files_that_ucf_keeps_for_the_package_count_as_its_conffiles(root: Root) -> None:
    root.write("/var/lib/ucf/registry", b"toy \t /etc/odd\nfindutils \t /etc/other\n")
    assert gathered(root, PURGE, result()).conffiles == {b"/etc/toy.conf", b"/etc/odd"}


def test_the_links_of_alternatives_are_known(root: Root) -> None:
    root.write("/var/lib/dpkg/alternatives/editor", b"auto\n/bin/editor\n\n/bin/toy\n50\n\n")
    assert gathered(root, PURGE, result()).alternatives == {b"/usr/bin/editor"}


def test_taking_away_a_package_that_dpkg_does_not_know_is_an_error(root: Root) -> None:
    with pytest.raises(DpkgDatabaseError, match="ghost"):
        gathered(root, transaction(("ghost", Action.PURGE)), result())


def test_gathering_and_judging_fit_together(root: Root) -> None:
    def verdict(*changes: object) -> Verdict:
        rehearsed = result(*changes)  # type: ignore[arg-type]
        return judge(PURGE, rehearsed, gathered(root, PURGE, rehearsed), default_policy(), TODAY).verdict

    assert (
        verdict(gone("/usr/bin/toy"), gone("/var/lib/toystate/db"), gone("/etc/toy.conf~")) is Verdict.ALLOW
    )
    assert verdict(gone("/usr/bin/toy"), gone("/usr/bin/find")) is Verdict.BLOCK
    assert verdict(gone("/srv/x")) is Verdict.BLOCK
    assert verdict(made("/srv/x")) is Verdict.ALLOW


def test_a_question_about_ten_paths_reads_no_list_but_the_packages_own(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = os.fsencode(tmp_path / "index")
    for number in range(50):
        root.package(f"p{number}", [b"/usr/share/p%d" % number])
    os.utime(root.path + b"/var/lib/dpkg/info", ns=(0, 10**18))  # long settled
    DpkgDatabase(root.path, index=index).owners([b"/srv/x"])
    read: list[bytes] = []
    genuine = file_lists.read_list

    def counting(directory: bytes, name: bytes) -> object:
        read.append(name)
        return genuine(directory, name)

    for module in ("file_lists", "file_index", "dpkg_database"):
        monkeypatch.setattr(f"aptguard.host.{module}.read_list", counting)
    rehearsed = result(gone("/usr/share/p7"), gone("/srv/x"))
    facts = gather_facts(PURGE, rehearsed, DpkgDatabase(root.path, index=index))
    assert facts.owners == {b"/usr/share/p7": ("p7",)}
    assert set(read) == {b"toy"}


def test_a_conffile_is_edited_when_its_sum_is_not_the_one_that_dpkg_recorded(root: Root) -> None:
    root.write("/etc/toy.conf", b"edited")
    changes = (altered("/etc/toy.conf", Kind.CONTENT),)
    collected = {LIST: b"/.\n/etc/toy.conf\n"}
    modified = gathered(root, UPGRADE, result(*changes, collected=collected)).locally_modified
    assert modified == {b"/etc/toy.conf"}
    digest = hashlib.md5(b"edited").hexdigest()
    root.package("toy", OWN, fields=f"Conffiles:\n /etc/toy.conf {digest}\n")
    assert gathered(root, UPGRADE, result(*changes, collected=collected)).locally_modified == frozenset()


def test_a_conffile_that_the_new_version_gives_up_is_not_one_of_its_files(root: Root) -> None:
    collected: dict[bytes, bytes | None] = {LIST: b"/.\n/etc/toy.conf\n"}
    conffiles = LIST.replace(b".list", b".conffiles")
    assert conffiles in files_to_collect(UPGRADE, DpkgDatabase(root.path))
    collected[conffiles] = b"/etc/toy.conf\n"
    assert b"/etc/toy.conf" in gathered(root, UPGRADE, result(collected=collected)).listed_after
    collected[conffiles] = b"/etc/other.conf\n"
    assert b"/etc/toy.conf" not in gathered(root, UPGRADE, result(collected=collected)).listed_after
    collected[conffiles] = None  # it has no conffiles at all
    assert b"/etc/toy.conf" not in gathered(root, UPGRADE, result(collected=collected)).listed_after


def test_the_holders_of_a_role_are_those_that_stay_and_those_that_come(root: Root) -> None:
    for name in ("openssh-server", "dropbear"):
        root.package(name, [b"/usr"])
    plan = transaction(("openssh-server", Action.REMOVE), ("tinysshd", Action.INSTALL), architecture="all")
    done = result(collected={b"/var/lib/dpkg/info/tinysshd.list": b"/.\n"})
    found = gather_facts(plan, done, DpkgDatabase(root.path), default_policy().roles)
    assert found.role_holders == {"secure-shell": ("dropbear", "tinysshd")}
    assert found.role_leavers == {"secure-shell": ("openssh-server",)}


def test_a_package_holds_a_role_by_a_file_that_it_lists(root: Root) -> None:
    root.package("our-ssh", [b"/usr", b"/usr/sbin", b"/usr/sbin/sshd"])
    root.package("game", [b"/usr"])
    roles = default_policy().roles
    plan = transaction(("our-ssh", Action.REMOVE), ("game", Action.UPGRADE), architecture="all")
    lists: dict[bytes, bytes | None] = {b"/var/lib/dpkg/info/game.list": b"/.\n/usr\n"}
    found = gather_facts(plan, result(collected=lists), DpkgDatabase(root.path), roles)
    assert (found.role_leavers, found.role_holders) == ({"secure-shell": ("our-ssh",)}, {"secure-shell": ()})
    lists[b"/var/lib/dpkg/info/game.list"] = b"/.\n/usr\n/usr/sbin\n/usr/sbin/sshd\n"
    found = gather_facts(plan, result(collected=lists), DpkgDatabase(root.path), roles)
    assert found.role_holders == {"secure-shell": ("game",)}


def test_a_directory_is_emptied_when_only_what_packages_list_is_left(root: Root) -> None:
    root.write("/var/lib/toystate/rules/mine", b"x")
    changes = (gone("/var/lib/toystate/rules", directory()), gone("/var/lib/toystate/rules/mine"))
    collected = {LIST: b"/.\n/var/lib/toystate\n"}
    done = result(*changes, collected=collected)
    assert gathered(root, UPGRADE, done).emptied == {b"/var/lib/toystate"}
    root.write("/var/lib/toystate/kept", b"x")
    assert gathered(root, UPGRADE, done).emptied == frozenset()
    assert gathered(root, UPGRADE, result(*changes[1:], collected=collected)).emptied == frozenset()
