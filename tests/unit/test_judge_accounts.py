# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from change_sets import (
    INSTALL,
    PURGE,
    UPGRADE,
    account,
    accounts,
    altered,
    default_policy,
    facts,
    judged,
    rules,
    transaction,
)

from aptguard.changes.model import Cause, Change, Kind
from aptguard.policy.dangerous_homes import dormant_dangers
from aptguard.policy.facts import Account, Accounts
from aptguard.policy.finding import Severity, Verdict
from aptguard.policy.package_names import own_names, related_account
from aptguard.transaction.model import Action

ROOT = account("root", 0, "/root")
DAEMON = account("daemon", 1, "/usr/sbin")
NETWORK = account("systemd-network", 998, "/")
TIMESYNC = account("systemd-timesync", 997, "/")
NOBODY = account("nobody", 65534, "/nonexistent")
ALICE = account("alice", 1000, "/home/alice")
DEBIAN = (ROOT, DAEMON, NETWORK, TIMESYNC, NOBODY, ALICE)
TOY = account("toy", 101, "/var/lib/toy")
OBSOLETE = account("toy", 101, "/")


def comparison(before: Accounts, after: Accounts, plan=PURGE, *commands: tuple[bytes, ...], **more: object):  # type: ignore[no-untyped-def]
    changes: list[Change] = []
    for command in commands or ((),):
        change = altered("/etc/passwd", Kind.CONTENT)
        changes.append(replace(change, cause=Cause("toy", "postrm purge", command)))
    return judged(plan, changes, facts(accounts_before=before, accounts_after=after, **more))


@pytest.mark.parametrize("plan", [PURGE, INSTALL, UPGRADE])
def test_accounts_that_the_transaction_does_not_touch_raise_no_alarm(plan: object) -> None:
    same = accounts(*DEBIAN, OBSOLETE)
    assert comparison(same, same, plan).findings == ()


def test_a_package_may_remove_its_own_account_when_it_is_purged() -> None:
    for name in ("toy", "_toy", "Debian-toy", "toyd"):
        mine = account(name, 101, "/var/lib/toy")
        assert comparison(accounts(*DEBIAN, mine), accounts(*DEBIAN)).findings == ()


def test_an_account_whose_home_only_the_package_lists_is_its_own() -> None:
    before = accounts(*DEBIAN, account("statd", 104, "/var/lib/nfs"))
    judgement = comparison(before, accounts(*DEBIAN), directories=["/var/lib/nfs"])
    assert judgement.findings == ()


def test_removing_somebody_elses_system_account_is_a_warning_and_a_persons_is_a_block() -> None:
    before = accounts(*DEBIAN, account("mysql", 105, "/nonexistent"))
    assert comparison(before, accounts(*DEBIAN)).findings[0].severity is Severity.WARN
    assert comparison(accounts(*DEBIAN), accounts(*DEBIAN[:-1])).verdict is Verdict.BLOCK


@pytest.mark.parametrize("lost", [ROOT, DAEMON, NOBODY])
def test_losing_an_account_of_the_base_system_is_a_block(lost: Account) -> None:
    after = accounts(*(one for one in DEBIAN if one != lost))
    judgement = comparison(accounts(*DEBIAN), after)
    assert (judgement.verdict, rules(judgement)) == (Verdict.BLOCK, {"account-lost"})


def test_an_account_that_vanishes_on_upgrade_is_lost_even_if_it_is_the_packages_own() -> None:
    judgement = comparison(accounts(*DEBIAN, TOY), accounts(*DEBIAN), UPGRADE)
    assert (judgement.verdict, rules(judgement)) == (Verdict.BLOCK, {"account-lost"})


def test_an_account_made_again_with_another_number_is_a_block() -> None:
    judgement = comparison(
        accounts(*DEBIAN, TOY), accounts(*DEBIAN, account("toy", 106, "/var/lib/toy")), UPGRADE
    )
    assert judgement.verdict is Verdict.BLOCK
    assert "101:101" in judgement.findings[0].reason


def test_the_account_of_2010_is_blocked_when_it_is_removed_with_its_home() -> None:
    for command in (
        (b"/usr/bin/perl", b"/usr/sbin/deluser", b"--remove-home", b"toy"),
        (b"userdel", b"-r", b"-f", b"toy"),
        (b"/usr/sbin/userdel", b"-rf", b"toy"),
        (),
    ):
        judgement = comparison(accounts(*DEBIAN, OBSOLETE), accounts(*DEBIAN), PURGE, command)
        assert judgement.verdict is Verdict.BLOCK, command
        assert "account-home" in rules(judgement)


def test_removing_the_account_of_2010_without_its_home_is_only_a_warning() -> None:
    judgement = comparison(accounts(*DEBIAN, OBSOLETE), accounts(*DEBIAN), PURGE, (b"userdel", b"toy"))
    assert judgement.verdict is Verdict.ALLOW
    assert [finding.severity for finding in judgement.findings] == [Severity.WARN]


def test_an_attempt_on_a_dangerous_home_is_a_block_even_when_nothing_came_of_it() -> None:
    same = accounts(*DEBIAN, OBSOLETE)
    judgement = comparison(same, same, PURGE, (b"userdel", b"-r", b"-f", b"toy"))
    assert (judgement.verdict, rules(judgement)) == (Verdict.BLOCK, {"attempt"})


@pytest.mark.parametrize(
    "home", ["/", "//", "/.", "/usr/..", "/etc", "/home", "/root", "/var/lib", "/usr/bin/", "/boot"]
)
def test_an_account_created_with_a_system_directory_as_its_home_is_blocked(home: str) -> None:
    judgement = comparison(accounts(*DEBIAN), accounts(*DEBIAN, account("toy", 101, home)), INSTALL)
    assert (judgement.verdict, rules(judgement)) == (Verdict.BLOCK, {"account-home"})


@pytest.mark.parametrize(
    "home", ["/nonexistent", "/var/lib/toy", "/run/toy", "/home/toy", "", "/dev/null", "/var/lib/toy/.."[:-3]]
)
def test_an_account_created_with_a_home_of_its_own_is_fine(home: str) -> None:
    assert comparison(accounts(*DEBIAN), accounts(*DEBIAN, account("toy", 101, home)), INSTALL).findings == ()


@pytest.mark.parametrize("home", ["/", "/var/lib", "/home/alice"])
def test_an_account_that_sysusers_makes_with_a_dangerous_home_is_a_warning(home: str) -> None:
    judgement = comparison(
        accounts(*DEBIAN),
        accounts(*DEBIAN, account("toy", 101, home)),
        INSTALL,
        declared_accounts=frozenset({"toy"}),
    )
    assert [(one.rule, one.severity) for one in judgement.findings] == [("account-home", Severity.WARN)]
    assert judgement.verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("name", "home", "declared", "severities"),
    [
        ("systemd-coredump", "/", True, []),
        ("polkitd", "//", True, []),
        ("messagebus", "/", True, []),
        ("messagebus", "/", False, [Severity.BLOCK]),
        ("polkitd", "/var/lib", True, [Severity.WARN]),
        ("toy", "/", True, [Severity.WARN]),
        ("mypolkitd", "/", True, [Severity.WARN]),
    ],
)
def test_only_declared_accounts_of_debians_own_services_may_have_the_default_home(
    name: str, home: str, declared: bool, severities: list[Severity]
) -> None:
    after = accounts(*DEBIAN, account(name, 101, home))
    names = frozenset({name} if declared else ())
    judgement = comparison(accounts(*DEBIAN), after, INSTALL, declared_accounts=names)
    assert [one.severity for one in judgement.findings] == severities
    same = accounts(*DEBIAN)
    coming = comparison(same, same, INSTALL, accounts_coming=(account(name, 0xFFFFFFFE, home),))
    assert bool(coming.findings) is (Severity.WARN in severities)


@pytest.mark.parametrize("seen", [True, False])
def test_the_accident_is_a_block_beside_an_upgrade_of_the_base_services(seen: bool) -> None:
    plan = transaction(("toy", Action.PURGE), ("dbus", Action.UPGRADE), ("systemd", Action.UPGRADE))
    change = replace(altered("/etc/passwd", Kind.CONTENT), cause=Cause("dbus", "postinst configure"))
    known = facts(accounts_before=accounts(*DEBIAN, OBSOLETE), accounts_after=accounts(*DEBIAN))
    judgement = judged(plan, [change if seen else replace(change, cause=None)], known)
    assert judgement.verdict is Verdict.BLOCK and "account-home" in rules(judgement)


@pytest.mark.parametrize(("home", "told"), [("/", True), ("/home/alice", True), ("/var/lib/toy", False)])
def test_an_account_that_will_be_made_at_the_next_boot_is_judged_now(home: str, told: bool) -> None:
    same = accounts(*DEBIAN)
    coming = (account("toy", 0xFFFFFFFE, home),)
    judgement = comparison(same, same, INSTALL, accounts_coming=coming)
    assert [one.severity for one in judgement.findings] == [Severity.WARN] * told
    assert all("next boot" in one.reason for one in judgement.findings)
    assert len(dormant_dangers(same, default_policy(), coming=coming)) == told


def test_an_account_that_shares_a_persons_home_is_a_warning() -> None:
    judgement = comparison(accounts(*DEBIAN), accounts(*DEBIAN, account("toy", 101, "/home/alice")), INSTALL)
    assert [(one.rule, one.severity) for one in judgement.findings] == [("account-home", Severity.WARN)]


def test_a_home_that_moves_to_the_root_is_a_block() -> None:
    assert comparison(accounts(*DEBIAN, TOY), accounts(*DEBIAN, OBSOLETE), UPGRADE).verdict is Verdict.BLOCK


def test_lost_membership_of_another_account_is_a_block() -> None:
    before = accounts(*DEBIAN, groups=[("docker", 120, "alice"), ("toy", 121, "")])
    after = accounts(*DEBIAN, groups=[("docker", 120, ""), ("toy", 121, "")])
    judgement = comparison(before, after)
    assert judgement.verdict is Verdict.BLOCK
    assert "alice" in judgement.findings[0].reason


def test_a_purged_packages_own_group_may_go_but_its_members_are_told() -> None:
    before = accounts(*DEBIAN, groups=[("toy", 121, "alice")])
    assert comparison(before, accounts(*DEBIAN)).findings[0].severity is Severity.WARN
    before = accounts(*DEBIAN, groups=[("toy", 121, "")])
    assert comparison(before, accounts(*DEBIAN)).findings == ()


def test_a_group_made_again_on_upgrade_without_its_members_is_a_block() -> None:
    before = accounts(*DEBIAN, groups=[("toy", 121, "alice")])
    after = accounts(*DEBIAN, groups=[("toy", 122, "")])
    assert {one.change for one in comparison(before, after, UPGRADE).findings} == {"members", "number"}


def test_members_that_vanish_with_their_own_account_are_not_lost() -> None:
    before = accounts(*DEBIAN, TOY, groups=[("ssl-cert", 110, "toy")])
    assert comparison(before, accounts(*DEBIAN, groups=[("ssl-cert", 110, "")])).findings == ()


def test_dormant_dangers_are_the_homes_that_somebody_may_remove_one_day() -> None:
    dangers = dormant_dangers(accounts(*DEBIAN, OBSOLETE), default_policy())
    assert [(one.account, one.severity) for one in dangers] == [("toy", Severity.WARN)]
    everything = dormant_dangers(accounts(*DEBIAN, OBSOLETE), default_policy(), everything=True)
    assert {one.account for one in everything} == {"toy", "daemon", "systemd-network", "systemd-timesync"}
    declared = dormant_dangers(accounts(OBSOLETE), default_policy(), frozenset({"toy"}))
    assert declared == ()


def test_a_line_that_cannot_be_read_is_a_dormant_danger_too() -> None:
    (danger,) = dormant_dangers(Accounts(broken=("passwd: toy:x:1",)), default_policy())
    assert danger.account == "toy"
    assert danger.change == "unreadable"


@pytest.mark.parametrize(
    ("name", "package", "related"),
    [
        ("sshd", "openssh-server", True),
        ("postgres", "postgresql-common", True),
        ("Debian-exim", "exim4-base", True),
        ("_chrony", "chrony", True),
        ("uuidd", "uuid-runtime", True),
        ("alice", "toy", False),
        ("mysql", "mariadb-server", False),
        ("lp", "lprng-doc", False),
        ("daemon", "toy", False),
    ],
)
def test_an_account_is_related_to_a_package_by_its_name(name: str, package: str, related: bool) -> None:
    assert related_account(name, package, own_names(package)) is related


def test_the_names_of_a_package_drop_usual_endings_but_never_become_too_short() -> None:
    assert own_names("postgresql-client-15") == ("postgresql-client-15", "postgresql-client", "postgresql")
    assert own_names("at-data") == ("at-data",)
    assert own_names("toy") == ("toy",)


def test_an_action_on_two_packages_knows_the_accounts_of_both() -> None:
    plan = transaction(("other", Action.PURGE), ("toy", Action.PURGE))
    assert comparison(accounts(*DEBIAN, TOY), accounts(*DEBIAN), plan).findings == ()
