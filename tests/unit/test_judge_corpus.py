# SPDX-License-Identifier: GPL-3.0-or-later
"""False alarms that real packages of Debian's archive caused, and what beside them must still be found."""

from __future__ import annotations

from dataclasses import replace

from change_sets import account, accounts, altered, facts, gone, judged, rules, transaction

from aptguard.changes.model import Kind
from aptguard.policy.facts import PackageFacts
from aptguard.transaction.model import Action

PASSWD = "/etc/passwd"
EMPTY = "/var/lib/opensmtpd/empty"
ROOT = account("root", 0, "/root")
PAIR = (account("toyd", 101, "/var/lib/toy/home"), account("toyq", 102, "/var/lib/toy/home"))


def of_accounts(before: tuple, after: tuple, action: Action) -> set[str]:  # type: ignore[type-arg]
    known = facts(accounts_before=accounts(ROOT, *before), accounts_after=accounts(ROOT, *after))
    return rules(judged(transaction(("toy", action)), [altered(PASSWD, Kind.CONTENT)], known))


def test_two_accounts_that_come_and_go_together_may_share_a_home() -> None:
    assert of_accounts((), PAIR, Action.INSTALL) == set()
    assert of_accounts(PAIR, (), Action.PURGE) == set()


def test_an_account_that_takes_the_home_of_one_that_was_there_is_told() -> None:
    assert of_accounts(PAIR[:1], PAIR, Action.INSTALL) == {"account-home"}
    assert "account-home" in of_accounts(PAIR, PAIR[1:], Action.PURGE)


def test_a_directory_named_empty_may_be_everybodys_home() -> None:
    one, two = account("a", 101, EMPTY), account("b", 102, EMPTY)
    assert of_accounts((one,), (one, two), Action.INSTALL) == set()


def test_the_program_of_an_ssh_server_without_its_service_is_no_server() -> None:
    for package, expected in (("dropbear-bin", set()), ("dropbear", {"secure-shell"})):
        known = facts(packages={package: PackageFacts(package, "amd64", "installed", "1")})
        assert rules(judged(transaction((package, Action.PURGE)), [], known)) == expected


def test_the_copies_in_postfixs_chroot_may_go_but_not_its_queue() -> None:
    known = facts(packages={"postfix": PackageFacts("postfix", "amd64", "installed", "1")})
    removal = transaction(("postfix", Action.REMOVE))
    copies = [gone(f"/var/spool/postfix/{name}", by="postfix") for name in ("etc/hosts", "lib/x/libnss.so")]
    assert rules(judged(removal, copies, known)) == set()
    assert rules(judged(removal, [gone("/var/spool/postfix/deferred/1", by="postfix")], known)) != set()


def test_the_lock_of_the_directory_server_may_be_written_but_its_data_may_not_be_deleted() -> None:
    known = facts(packages={"slapd": PackageFacts("slapd", "amd64", "installed", "1")})
    removal = transaction(("slapd", Action.REMOVE))
    lock = altered("/var/lib/ldap/lock.mdb", Kind.CONTENT, by="slapd")
    assert rules(judged(removal, [lock], known)) == set()
    assert rules(judged(removal, [gone("/var/lib/ldap/data.mdb", by="slapd")], known)) != set()


def test_the_signatures_of_the_virus_scanner_may_go_with_what_fetches_them() -> None:
    known = facts(packages={"clamav-freshclam": PackageFacts("clamav-freshclam", "amd64", "installed", "1")})
    purge = transaction(("clamav-freshclam", Action.PURGE))
    for name, expected in (("freshclam.dat", set()), ("daily.cld", set()), ("mine.ndb", {"unowned-file"})):
        change = gone(f"/var/lib/clamav/{name}", by="clamav-freshclam")
        owned = {b"/var/lib/clamav": ("clamav-base",)}
        assert rules(judged(purge, [change], replace(known, directory_owners=owned))) == expected


def test_the_socket_of_the_network_monitor_may_go_and_nothing_beside_it() -> None:
    known = facts(packages={"snmpd": PackageFacts("snmpd", "amd64", "installed", "1")})
    purge = transaction(("snmpd", Action.PURGE))
    assert rules(judged(purge, [gone("/var/agentx/master", by="snmpd")], known)) == set()
    assert rules(judged(purge, [gone("/var/agentx/mine", by="snmpd")], known)) == {"unowned-file"}


def test_the_text_files_of_the_node_exporter_may_go_with_it_but_no_measurements() -> None:
    known = facts(packages={"prometheus-node-exporter": PackageFacts("x", "amd64", "installed", "1")})
    purge = transaction(("prometheus-node-exporter", Action.PURGE))
    for name, expected in (
        ("node-exporter/aptguard.prom", set()),
        ("metrics2/01H", {"databases"}),
        ("data/01H/index", {"databases"}),
        ("longterm/wal/00000001", {"databases"}),
        ("longterm/chunks_head/000001", {"databases"}),
        ("alertmanager/silences", {"databases"}),
    ):
        change = gone(f"/var/lib/prometheus/{name}", by="prometheus-node-exporter")
        assert rules(judged(purge, [change], known)) == expected


def test_the_text_files_of_the_node_exporter_are_not_everybodys() -> None:
    place = {b"/var/lib/prometheus/node-exporter": ("prometheus-node-exporter",)}
    for package, name, expected in (
        ("toy", "mine.prom", {"unowned-file"}),
        ("toy", "aptguard.prom", {"unowned-file"}),
        ("aptguard", "mine.prom", {"unowned-file"}),
        ("aptguard", "aptguard.prom", set()),
    ):
        known = facts(
            packages={package: PackageFacts(package, "amd64", "installed", "1")}, directory_owners=place
        )
        deed = gone(f"/var/lib/prometheus/node-exporter/{name}", by=package)
        for action in (Action.PURGE, Action.REMOVE):
            assert rules(judged(transaction((package, action)), [deed], known)) == expected


def test_tor_may_take_its_state_along_but_no_keys_of_onion_services() -> None:
    known = facts(packages={"tor": PackageFacts("tor", "amd64", "installed", "1")})
    purge = transaction(("tor", Action.PURGE))
    for name, expected in (
        ("state", set()),
        ("cached-microdescs", set()),
        ("keys/ed25519_master_id_secret_key", {"private-keys"}),
        ("shop/hs_ed25519_secret_key", {"private-keys"}),
        ("hs_ed25519_secret_key", {"private-keys"}),
        ("services/shop/hs_ed25519_secret_key", {"private-keys"}),
        ("services/shop/private_key", {"private-keys"}),
        ("services/shop/client_keys", {"private-keys"}),
        ("services/shop/authorized_clients/alice.auth", {"private-keys"}),
        ("onion_auth/shop.auth_private", {"private-keys"}),
        ("pt_state/obfs4_state.json", {"private-keys"}),
        ("cached-certs", set()),
        ("lock", set()),
    ):
        assert rules(judged(purge, [gone(f"/var/lib/tor/{name}", by="tor")], known)) == expected
