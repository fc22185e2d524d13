# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be left after a transaction: a holder of each role, state, mounted disks, alternatives."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from change_sets import (
    INSTALL,
    PURGE,
    UPGRADE,
    account,
    accounts,
    default_policy,
    directory,
    facts,
    file,
    gone,
    judged,
    link,
    made,
    rules,
    transaction,
)

from aptguard.policy.asked_for import AskedFor
from aptguard.policy.facts import Facts, PackageFacts
from aptguard.policy.finding import Severity, Verdict
from aptguard.policy.roles import Role, roles_of
from aptguard.transaction.model import Action, Transaction

GAME = [("game", Action.INSTALL), ("openssh-server", Action.REMOVE)]


def asked(command: str, *actions: tuple[str, Action]) -> Transaction:
    return replace(transaction(*actions), command_line=command)


def installed(*names: str, **more: object) -> Facts:
    packages = {name: PackageFacts(name, "amd64", "installed", "1") for name in names}
    return facts(packages=packages, **more)


def test_the_last_holder_of_a_role_does_not_go_unasked() -> None:
    judgement = judged(asked("apt-get install game", *GAME), (), installed("openssh-server"))
    (finding,) = judgement.findings
    assert (finding.rule, finding.subject_package) == ("secure-shell", "openssh-server")
    assert "nobody asked for that. Without a secure shell's server" in finding.reason
    assert re.search(r"10-default\.toml:\d+$", finding.origin)


def test_a_role_is_also_held_by_the_file_that_a_package_brings() -> None:
    plan = asked("apt-get install game", ("game", Action.INSTALL), ("our-ssh", Action.REMOVE))
    known = installed("our-ssh", role_leavers={"secure-shell": ("our-ssh",)})
    assert rules(judged(plan, (), known)) == {"secure-shell"}
    assert judged(plan, (), installed("our-ssh")).findings == ()


def test_a_role_can_be_one_that_must_stay_even_if_somebody_names_its_holder() -> None:
    backup = Role("backup", ("our-backup",), "It holds our backups.", even_if_asked=True)
    policy = replace(default_policy(), roles=(backup,))
    plan = asked("apt-get remove our-backup", ("our-backup", Action.REMOVE))
    (finding,) = judged(plan, (), installed("our-backup"), policy).findings
    assert (finding.rule, finding.severity) == ("backup", Severity.BLOCK)
    assert "nobody asked" not in finding.reason
    for severity, expected in ((Severity.WARN, {"backup"}), (Severity.IGNORE, set())):
        weaker = replace(policy, roles=(replace(backup, severity=severity),))
        judgement = judged(plan, (), installed("our-backup"), weaker)
        assert (rules(judgement), judgement.verdict) == (expected, Verdict.ALLOW)


def test_each_role_that_a_package_takes_along_is_told() -> None:
    backup = Role("backup", ("our-*",), "It holds our backups.", severity=Severity.WARN)
    restore = replace(backup, name="restore", severity=Severity.BLOCK)
    policy = replace(default_policy(), roles=(backup, restore))
    plan = asked("apt-get install game", ("game", Action.INSTALL), ("our-backup", Action.REMOVE))
    found = judged(plan, (), installed("our-backup"), policy).findings
    assert {(one.rule, one.severity) for one in found} == {
        ("backup", Severity.WARN),
        ("restore", Severity.BLOCK),
    }


@pytest.mark.parametrize("severity", list(Severity))
def test_a_role_is_lost_with_a_protected_package_whatever_that_is_set_to(severity: Severity) -> None:
    shipped = default_policy()
    check = replace(shipped.checks["protected-package"], severity=severity)
    policy = replace(shipped, checks={**shipped.checks, "protected-package": check})
    vital = PackageFacts("systemd-sysv", "amd64", "installed", "1", important=True)
    plan = asked("apt-get install game", ("game", Action.INSTALL), ("systemd-sysv", Action.REMOVE))
    judgement = judged(plan, (), facts(packages={"systemd-sysv": vital}), policy)
    expected = {"init"} if severity is Severity.IGNORE else {"init", "protected-package"}
    assert (rules(judgement), judgement.verdict) == (expected, Verdict.BLOCK)


def test_a_role_may_go_with_the_package_that_somebody_named() -> None:
    for command in (
        "apt-get remove openssh-server",
        "apt remove openssh-server:amd64",
        "apt install game openssh-server-",
        "aptitude remove openssh-*",
    ):
        assert judged(asked(command, *GAME), (), installed("openssh-server")).verdict is Verdict.ALLOW


def test_a_role_is_not_lost_while_another_package_holds_it() -> None:
    known = installed("openssh-server", role_holders={"secure-shell": ("dropbear",)})
    assert judged(asked("apt-get install game", *GAME), (), known).findings == ()


def test_what_was_removed_before_holds_no_role() -> None:
    known = facts(packages={"openssh-server": PackageFacts("openssh-server", "amd64", "config-files", "1")})
    plan = asked("apt-get autopurge", ("openssh-server", Action.PURGE))
    assert judged(plan, (), known).findings == ()


def test_kernels_are_known_by_their_release_and_metapackages_are_none() -> None:
    roles = default_policy().roles
    assert [role.name for role in roles_of(["linux-image-6.1.0-9-amd64"], roles)] == ["kernel"]
    assert roles_of(["linux-image-amd64", "openssh-client", "game"], roles) == ()
    assert len({role.name for role in roles}) == len(roles) == 9


def many(count: int) -> list[tuple[str, Action]]:
    return [(f"part{number}", Action.REMOVE) for number in range(count)]


@pytest.mark.parametrize(
    ("command", "severity"),
    [
        ("apt-get install clip-art", Severity.BLOCK),
        ("apt-get remove libpart", Severity.WARN),
        ("apt-get autoremove", None),
        ("apt full-upgrade", None),
        ("apt-get remove part*", None),
        (None, None),
    ],
)
def test_many_packages_do_not_go_for_something_else(command: str | None, severity: Severity | None) -> None:
    names = many(15)
    plan = replace(transaction(*names), command_line=command)
    found = [one.severity for one in judged(plan, (), installed(*(name for name, _ in names))).findings]
    assert found == ([] if severity is None else [severity])


def test_fewer_packages_may_go_for_something_else() -> None:
    names = many(14)
    plan = replace(transaction(*names), command_line="apt-get install clip-art")
    assert judged(plan, (), installed(*(name for name, _ in names))).findings == ()


def test_names_are_read_with_architecture_version_and_sign() -> None:
    words = AskedFor(asked("apt-get install a:i386 b=1.2 c/sid d- e+ *f*", ("a", Action.INSTALL)))
    assert [name for name in ("a", "b", "c", "d", "e", "xfx", "g") if words.names(name)] == [
        "a",
        "b",
        "c",
        "d",
        "e",
        "xfx",
    ]


def test_files_on_a_disk_mounted_inside_the_state_are_somebodys() -> None:
    known = facts(mount_points=frozenset({b"/var/lib/toy/disk"}))
    judgement = judged(PURGE, (gone("/var/lib/toy/disk/rows"), gone("/var/lib/toy/db")), known)
    assert [(one.rule, one.path) for one in judgement.findings] == [
        ("mounted-data", b"/var/lib/toy/disk/rows")
    ]
    whole = facts(mount_points=frozenset({b"/var/lib/toy"}))
    assert judged(PURGE, (gone("/var/lib/toy/db"),), whole).findings == ()


def test_a_directory_that_an_upgrade_empties_counts_as_deleted() -> None:
    changes = (gone("/var/toy/rules", directory()), gone("/var/toy/rules/mine"))
    known = facts(mine=["/var/toy"], directories=["/var/toy"], emptied=frozenset({b"/var/toy"}))
    assert "remove-deletes-data" in rules(judged(UPGRADE, changes, known))
    assert judged(UPGRADE, changes, replace(known, emptied=frozenset())).findings == ()


def test_packaged_files_with_the_number_of_a_person_are_told() -> None:
    people = accounts(account("root", 0, "/root"), account("alice", 1000, "/home/alice"))
    known = facts(after=["/etc/toy.conf"], accounts_before=people, accounts_after=people)
    change = replace(made("/etc/toy.conf"), after=replace(file(), uid=1000))
    assert rules(judged(INSTALL, (change,), known)) == {"foreign-owner"}
    other = replace(change, after=replace(file(), uid=1001))
    assert judged(INSTALL, (other,), known).findings == ()


def test_an_alternative_that_leads_to_a_program_that_stays_must_stay() -> None:
    changes = (
        gone("/usr/bin/editor", link(b"/etc/alternatives/editor")),
        gone("/etc/alternatives/editor", link(b"/usr/bin/toy")),
    )
    known = facts(mine=["/usr/bin/toy"], after=["/usr/bin/toy"], alternatives=frozenset({b"/usr/bin/editor"}))
    assert rules(judged(UPGRADE, changes, known)) == {"lost-payload"}
    assert judged(UPGRADE, changes, replace(known, listed_after=frozenset())).findings == ()


def test_the_state_of_a_package_that_goes_may_move_to_the_one_that_takes_its_place() -> None:
    plan = transaction(("neat", Action.INSTALL), ("toy", Action.REMOVE))
    changes = (
        gone("/var/lib/toy", directory(), by="neat"),
        gone("/var/lib/toy/db", file(77), by="neat"),
        made("/var/lib/neat/db", file(77)),
    )
    assert judged(plan, changes).findings == ()
    assert rules(judged(plan, changes[:2])) == {"unowned-file"}


def test_an_edited_conffile_is_not_overwritten_without_a_copy() -> None:
    path = b"/etc/toy.conf"
    known = facts(mine=["/etc/toy.conf"], conffiles=["/etc/toy.conf"], locally_modified=frozenset({path}))

    assert rules(judged(UPGRADE, (gone("/etc/toy.conf", file(33)),), known)) == {"local-edit"}
    assert (
        judged(
            UPGRADE, (gone("/etc/toy.conf", file(33)), made("/etc/toy.conf.dpkg-old", file(33))), known
        ).findings
        == ()
    )


def test_a_device_that_cannot_be_deleted_in_the_rehearsal_is_told() -> None:
    output = b"rm: cannot remove '/dev/null': Device or resource busy\n"
    (finding,) = judged(INSTALL, (), output=output).findings
    assert (finding.rule, finding.path) == ("attempt", b"/dev/null")
    for other in (b"/srv/disk", b"/dev/.rehearsal/original/mount"):
        assert judged(INSTALL, (), output=output.replace(b"/dev/null", other)).findings == ()


def test_a_file_that_somebody_added_in_etc_is_a_warning_when_the_package_is_purged() -> None:
    changes = (gone("/etc/toy/page.html"), gone("/etc/toy/made"))
    known = facts(directories=["/etc/toy"], added=frozenset({b"/etc/toy/page.html"}))
    (finding,) = judged(PURGE, changes, known).findings
    assert (finding.rule, finding.severity, finding.path) == (
        "added-file",
        Severity.WARN,
        b"/etc/toy/page.html",
    )
    assert judged(PURGE, changes, known).verdict is Verdict.ALLOW
    assert judged(PURGE, changes, facts(directories=["/etc/toy"])).findings == ()
    moved = (changes[0], made("/srv/page.html"))
    assert judged(PURGE, moved, known).findings == ()
