# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator's commands, as installed, on booted Debians."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packages.builder import build_deb
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

POSTRM = 'if [ "$1" = remove ]; then rm -f /srv/treasure; fi'


@pytest.fixture(scope="module")
def machine(version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A booted machine with the guard and a package whose removal would delete /srv/treasure."""
    directory: Path = tmp_path_factory.mktemp("toys")
    with Guest(version) as guest:
        install_aptguard(guest, aptguard_deb)
        guest.write("/srv/treasure", "treasure\n")
        guest.run(
            [
                "dpkg",
                "-i",
                guest.copy_in(build_deb(directory, "heir", scripts={"postrm": POSTRM}), "/root/heir.deb"),
            ]
        )
        yield guest


def answer(machine: Guest, *words: str, code: int = 0) -> dict[str, Any]:
    """Return the JSON document of a command that must end with ``code``."""
    ended = machine.run(["aptguard", *words, "--json"], check=False)
    assert ended.returncode == code, ended.stdout + ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    assert document["schema"] == 1
    return document


def test_the_guard_is_live_after_installation(machine: Guest) -> None:
    status = answer(machine, "status")
    assert status["state"] == "live"
    assert {check["name"] for check in status["checks"]} >= {
        "daemon", "apt hook", "dpkg hook", "rehearsal", "policy", "journal", "ledger"
    }  # fmt: skip


def test_check_tells_a_block_by_exit_code_10_and_changes_nothing(machine: Guest) -> None:
    report = answer(machine, "check", "remove", "heir", code=10)
    assert report["verdict"] == "block"
    (finding,) = [f for f in report["findings"] if f["severity"] == "block"]
    assert finding["path"] == "/srv/treasure"
    assert (finding["package"], finding["script"]) == ("heir", "postrm remove")
    assert finding["command"] == ["rm", "-f", "/srv/treasure"]
    assert machine.exists("/srv/treasure")
    assert machine.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "heir"]).stdout.strip() == "ii"


def test_check_allows_what_is_harmless_by_exit_code_0(machine: Guest) -> None:
    report = answer(machine, "check", "install", "hello")
    assert report["verdict"] == "allow"
    assert [item["package"] for item in report["transaction"]["items"]][:1] == ["hello"]
    assert machine.run(["dpkg-query", "-W", "hello"], check=False).returncode == 1


def test_check_leaves_the_logs_of_apt_as_they_are(machine: Guest) -> None:
    machine.run(["apt-get", "-q", "-y", "install", "hello"])  # as every real run it writes them
    machine.run(["dpkg", "--purge", "hello"])
    look = ["find", "/var/log/apt", "-printf", "%p %i %s %T@\n"]
    before = machine.run(look).stdout
    answer(machine, "check", "install", "hello")
    answer(machine, "check", "full-upgrade")
    assert "eipp.log" in before
    assert machine.run(look).stdout == before


def test_check_takes_a_deb_file(machine: Guest) -> None:
    machine.run(["cp", "/root/heir.deb", "/root/new heir.deb"])
    assert answer(machine, "check", "install", "/root/new heir.deb")["verdict"] == "allow"


def test_check_of_an_unknown_package_says_in_apts_words_why_there_is_no_plan(machine: Guest) -> None:
    ended = machine.run(["aptguard", "check", "purge", "no-such-package"], check=False)
    assert ended.returncode == 2
    assert "Unable to locate package no-such-package" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_check_and_the_hook_give_the_same_transaction_the_same_id(machine: Guest) -> None:
    checked = answer(machine, "check", "remove", "heir", code=10)["id"]
    ended = machine.run(["apt-get", "-y", "remove", "heir"], check=False)
    assert ended.returncode == 100
    assert f"aptguard show {checked}" in ended.stderr


def test_log_lists_what_was_judged_and_show_tells_it_in_full(machine: Guest) -> None:
    newest = answer(machine, "log", "--verdict", "block", "-n", "1")["transactions"][0]
    shown = answer(machine, "show", newest["id"].lower().replace("-", ""), "--changes")
    assert shown["id"] == newest["id"]
    assert "/srv/treasure" in {changed["path"] for changed in shown["changes"]["paths"]}


def test_policy_test_names_rule_file_and_line_and_ends_with_10_for_a_protected_path(machine: Guest) -> None:
    answer(machine, "policy", "test", "/srv/treasure", code=10)
    text = machine.run(["aptguard", "policy", "test", "/srv/treasure"], check=False).stdout
    assert "/usr/share/aptguard/policy.d/10-default.toml:" in text
    answer(machine, "policy", "test", "/usr/share/doc/nobody-minds")


def test_policy_show_prints_the_rules_with_their_origins(machine: Guest) -> None:
    answer(machine, "policy", "show")
    assert (
        "/usr/share/aptguard/policy.d/10-default.toml:" in machine.run(["aptguard", "policy", "show"]).stdout
    )


def test_policy_check_refuses_a_bad_file_by_file_line_and_key(machine: Guest) -> None:
    machine.write("/root/bad.toml", '[rule.mine]\nplace = "protectd"\npaths = ["/x/**"]\nbecause = "x"\n')
    ended = machine.run(["aptguard", "policy", "check", "/root/bad.toml"], check=False)
    assert ended.returncode == 2
    assert "/root/bad.toml:2" in ended.stderr and "rule.mine.place" in ended.stderr
    assert 'did you mean "protected"?' in ended.stderr


def test_the_selftest_passes(machine: Guest) -> None:
    assert answer(machine, "selftest")["passed"] is True


def test_nobody_but_root_is_answered(machine: Guest) -> None:
    for words in (["status"], ["pause", "--for", "1h", "--reason", "x"]):
        ended = machine.run(["runuser", "-u", "nobody", "--", "aptguard", *words], check=False)
        assert ended.returncode == 1
        assert "root" in ended.stderr and len(ended.stderr.splitlines()) == 1


def test_a_broken_policy_file_leaves_the_last_valid_policy_in_force_and_the_status_degraded(
    machine: Guest,
) -> None:
    machine.write("/etc/aptguard/policy.d/50-mine.toml", "mode = [broken\n")
    try:
        status = answer(machine, "status", code=1)
        (policy,) = [check for check in status["checks"] if check["name"] == "policy"]
        assert "/etc/aptguard/policy.d/50-mine.toml" in policy["detail"]
        assert answer(machine, "check", "remove", "heir", code=10)["verdict"] == "block"
        assert machine.journal("SYSLOG_IDENTIFIER=aptguard", "APTGUARD_EVENT=degraded")
    finally:
        machine.run(["rm", "/etc/aptguard/policy.d/50-mine.toml"])
    assert answer(machine, "status")["state"] == "live"


def test_report_mode_records_and_alerts_but_does_not_block(machine: Guest) -> None:
    machine.write("/etc/aptguard/policy.d/60-report.toml", 'mode = "report"\n')
    machine.write("/root/copy", "")
    try:
        ended = machine.run(["apt-get", "-y", "remove", "heir"], check=False)
        assert ended.returncode == 0, ended.stderr
        assert "would be blocked" in ended.stderr
        assert not machine.exists("/srv/treasure")
    finally:
        machine.run(["rm", "/etc/aptguard/policy.d/60-report.toml"])
        machine.write("/srv/treasure", "treasure\n")
        machine.run(["dpkg", "-i", "/root/heir.deb"])
    assert machine.journal("SYSLOG_IDENTIFIER=aptguard", "APTGUARD_EVENT=blocked", "APTGUARD_MODE=report")


def test_a_pause_lets_all_pass_loudly_and_ends_by_itself(machine: Guest) -> None:
    machine.run(["aptguard", "pause", "--for", "1h", "--reason", "moving house"])
    try:
        assert answer(machine, "status")["pause"]["reason"] == "moving house"
        ended = machine.run(["apt-get", "-y", "remove", "heir"], check=False)
        assert ended.returncode == 0, ended.stderr
        assert "PAUSED" in ended.stderr
    finally:
        machine.run(["aptguard", "resume"])
        machine.write("/srv/treasure", "treasure\n")
        machine.run(["dpkg", "-i", "/root/heir.deb"])
    assert machine.run(["apt-get", "-y", "remove", "heir"], check=False).returncode == 100
    machine.run(["aptguard", "pause", "--for", "1s", "--reason", "short"])
    machine.run(["sleep", "1.2"])
    assert machine.run(["apt-get", "-y", "remove", "heir"], check=False).returncode == 100
    names = [event["APTGUARD_EVENT"] for event in machine.journal("SYSLOG_IDENTIFIER=aptguard")]
    assert names.count("paused") == names.count("resumed") == 2
