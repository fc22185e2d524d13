# SPDX-License-Identifier: GPL-3.0-or-later
import dataclasses
import re

import pytest

from aptguard.policy.finding import Finding, Severity, Verdict
from aptguard.rehearsal.model import LyingBelow, Unknown
from aptguard.report.details import details
from aptguard.report.machine import report_as_plain
from aptguard.report.model import Report
from aptguard.report.report_page import report_page
from aptguard.report.style import Style, style_for
from aptguard.report.text import refusal
from aptguard.transaction.model import Action, Item, Transaction

EVIL = b"/srv/a\n\x1b[2Jb\xff" + b"x" * 300


def finding(number: int = 0, path: bytes = b"/etc") -> Finding:
    return Finding(
        rule=f"rule-{number}",
        severity=Severity.BLOCK,
        reason="a sentence that is long enough to be wrapped at least once when it is shown in a terminal"
        * 2,
        change="deleted",
        path=path,
        package="obsol",
        script="postrm purge",
        command=(b"deluser", b"--remove-home", b"obsol" + b"y" * 200),
        count=1234,
        size=12_345_678,
        examples=(b"/etc/shadow", EVIL),
        origin="/usr/share/aptguard/policy.d/10-default.toml:12",
    )


def report(*findings: Finding, unknowns: tuple[Unknown, ...] = ()) -> Report:
    return Report(
        id="7F3K-92QX",
        fingerprint="00" * 32,
        time=0.0,
        host="db1",
        verdict=Verdict.BLOCK if findings else Verdict.UNKNOWN,
        transaction=Transaction(
            "apt-get",
            (Item("obsol", "all", Action.PURGE, "1.0"),),
            command_line="apt-get purge obsol " + "z" * 300,
        ),
        user="alice (sudo)",
        findings=findings,
        unknowns=unknowns,
        complete=False,
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("path", [b"/etc", EVIL], ids=["short", "evil"])
def test_a_refusal_is_at_most_25_lines_of_80_columns(count: int, path: bytes) -> None:
    text = refusal(report(*(finding(n, path) for n in range(count))), Style(), override_minutes=15)
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80


def test_a_refusal_for_doubts_is_at_most_25_lines_of_80_columns() -> None:
    unknowns = tuple(Unknown("the mount /mnt/" + "n" * 200, "a reason " * 60) for _ in range(9))
    lines = refusal(report(unknowns=unknowns), Style(), override_minutes=15, by_unknown=True).splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 40])
def test_a_refusal_of_one_of_several_calls_does_not_say_that_nothing_was_done_before(count: int) -> None:
    unknowns = (Unknown("the mount /mnt/" + "n" * 200, "a reason " * 60),) * 9
    whole = report(*(finding(n) for n in range(count)), unknowns=unknowns)
    text = refusal(whole, Style(), override_minutes=15, by_unknown=not count, after_others=True)
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80
    said = "aptguard: BLOCKED - this call of dpkg has changed nothing; what was done before it stays. '"
    assert " ".join(lines).startswith(said if count else said.removesuffix("'"))
    assert "nothing has been changed" not in text


def test_the_first_line_of_a_refusal_is_the_verdict() -> None:
    assert refusal(report(finding()), Style(), override_minutes=15).startswith("aptguard: BLOCKED")


def test_a_refusal_names_package_script_path_rule_command_and_the_override() -> None:
    text = refusal(report(finding()), Style(), override_minutes=15)
    for word in ("obsol postrm purge", "/etc and 1 233 paths", "rule rule-0", "deluser --remove-home"):
        assert word in text
    assert 'aptguard override 7F3K-92QX --reason "' in text


def test_a_file_name_cannot_forge_a_line_or_a_colour_in_any_view() -> None:
    evil = report(finding(path=EVIL))
    for text in (refusal(evil, Style(), override_minutes=15), details(evil, Style())):
        assert "\x1b" not in text
        assert not re.search(r"^b", text, re.MULTILINE)
    assert "\n" not in report_as_plain(evil)["findings"][0]["path"]


def test_colours_are_shown_on_a_terminal_that_has_them_and_not_where_no_color_is_set() -> None:
    environment = {"TERM": "xterm", "LANG": "C.UTF-8"}
    assert style_for(environment, terminal=True, columns=80).colour
    assert not style_for({**environment, "NO_COLOR": "1"}, terminal=True, columns=80).colour
    assert not style_for(environment, terminal=False, columns=80).colour
    assert not style_for({**environment, "TERM": "dumb"}, terminal=True, columns=80).colour


def test_a_locale_without_utf_8_gets_plain_ascii() -> None:
    text = refusal(
        report(finding(path="/srv/Büro".encode())),
        style_for({"LANG": "C"}, terminal=False, columns=80),
        override_minutes=15,
    )
    assert text.isascii()
    assert "B\\xfcro" in text


def test_the_json_report_has_the_documented_keys() -> None:
    plain = report_as_plain(report(finding()))
    documented = [
        "schema",
        "id",
        "time",
        "host",
        "verdict",
        "transaction",
        "findings",
        "unknowns",
        "changes",
        "effects",
        "timing",
    ]
    assert set(documented) <= set(plain)
    assert set(plain["transaction"]["items"][0]) >= {
        "package",
        "architecture",
        "action",
        "old_version",
        "new_version",
    }
    assert plain["findings"][0]["path"] == "/etc"


def unattended(*findings: Finding) -> Report:
    transaction = Transaction(
        "unattended-upgrade",
        (Item("other", "all", Action.UPGRADE, "1", "2"), Item("obsol", "all", Action.UPGRADE, "1.0", "2")),
    )
    return dataclasses.replace(report(*findings), transaction=transaction)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_on_a_narrow_terminal_every_command_stands_whole_and_no_line_is_too_long(count: int) -> None:
    text = refusal(unattended(*(finding(n) for n in range(count))), Style(columns=40), override_minutes=15)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 40
    assert "nothing has been changed. unattended-upgrade" in " ".join(lines)
    assert "would touch what is protected:" in " ".join(lines)
    joined = re.sub(r" \\\n +", " ", text)
    override = 'aptguard override 7F3K-92QX --reason "WHY"'
    for command in ("aptguard show 7F3K-92QX", override, "apt-mark hold obsol"):
        assert command in joined


def test_where_nobody_is_there_to_choose_the_package_to_hold_back_is_named() -> None:
    text = refusal(unattended(finding()), Style(), override_minutes=15)
    assert re.search(r"^  Hold it back +apt-mark hold obsol$", text, re.MULTILINE)
    assert "apt-mark hold" not in refusal(report(finding()), Style(), override_minutes=15)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 40])
def test_a_refusal_in_unattended_upgrades_mail_is_at_most_25_lines_of_80_columns(count: int) -> None:
    text = refusal(unattended(*(finding(n, EVIL) for n in range(count))), Style(), override_minutes=15)
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 80


def test_in_a_log_file_there_is_neither_colour_nor_a_returned_carriage() -> None:
    style = style_for({"TERM": "xterm", "LANG": "C.UTF-8"}, terminal=False, columns=0)
    text = refusal(report(finding()), style, override_minutes=15)
    assert "\x1b" not in text and "\r" not in text and style.columns == 80


@pytest.mark.parametrize(
    ("below", "words"),
    [
        (LyingBelow(b"/srv", 6004), "6 004 paths lay below /srv."),
        (LyingBelow(b"/srv", 200_000, at_least=True), "more than 200 000 paths lay below /srv."),
    ],
)
def test_every_view_says_how_much_lay_below_what_was_being_deleted(below: LyingBelow, words: str) -> None:
    ended = dataclasses.replace(report(finding()), lying_below=below)
    for view in (
        refusal(ended, Style(), override_minutes=15),
        details(ended, Style()),
        report_page(ended),
    ):
        assert f"this list is not complete: {words}" in " ".join(view.split())
    plain = report_as_plain(ended)["lying_below"]
    assert plain == {"path": "/srv", "count": below.paths, "at_least": below.at_least}


@pytest.mark.parametrize("count", [1, 4, 40])
@pytest.mark.parametrize("columns", [40, 80])
def test_a_refusal_of_a_run_that_was_ended_early_keeps_its_25_lines(count: int, columns: int) -> None:
    ended = dataclasses.replace(
        report(*(finding(n, EVIL) for n in range(count))),
        lying_below=LyingBelow(EVIL, 200_000, at_least=True),
    )
    lines = refusal(ended, Style(columns=columns), override_minutes=15).splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) <= 25 or columns < 80
