# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make fuzz` has found, each with the smallest input that shows it."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aptguard.guard import records
from aptguard.guard.caller import user_text
from aptguard.guard.errors import GuardError
from aptguard.guard.peer import own_process
from aptguard.guard.state import GuardState
from aptguard.ledger.error import LedgerError
from aptguard.ledger.rows import clean
from aptguard.ledger.store import Ledger
from aptguard.rehearsal.mountinfo import read_mountinfo, visible_mounts
from aptguard.report import details, text
from aptguard.report.model import ChangedPath, Report
from aptguard.report.style import Style
from aptguard.serialization import dumps, from_plain, loads, to_plain
from aptguard.shown import shown
from aptguard.transaction.apt_protocol import ProtocolError, read_apt_input
from aptguard.transaction.model import Action, Item, Transaction
from unit.ledger_values import grant, report

ROOT = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"


def test_a_setting_with_a_nul_byte_is_no_setting_of_apt() -> None:
    with pytest.raises(ProtocolError, match="NUL"):
        read_apt_input(b"VERSION 3\nDPkg::Options::=--instdir=%00\n\n")


def test_of_a_mount_that_is_listed_twice_the_last_line_counts() -> None:
    again = ROOT.replace(b"sda1", b"sdb1")
    assert [mount.source for mount in visible_mounts(read_mountinfo(ROOT + again))] == [b"/dev/sdb1"]


def test_mounts_that_stand_on_each_other_do_not_make_the_walk_endless() -> None:
    circle = ROOT + b"2 1 8:2 / / rw - ext4 /dev/sda2 rw\n1 2 8:1 / / rw - ext4 /dev/sda1 rw\n"
    with pytest.raises(ValueError, match="root directory"):
        visible_mounts(read_mountinfo(circle))


@pytest.mark.parametrize("line", [b"1 x 8:1 / / rw - ext4 a rw", b"1" * 5000 + ROOT[1:-1]])
def test_a_mount_whose_numbers_are_none_is_refused_with_its_line(line: bytes) -> None:
    with pytest.raises(ValueError, match="mountinfo"):
        read_mountinfo(line)


def test_an_escape_that_is_no_byte_stays_as_it_is() -> None:
    assert read_mountinfo(ROOT.replace(b"/ / rw", rb"/ /\777 rw"))[0].point == rb"/\777"


def test_a_letter_mark_that_turns_the_direction_of_writing_is_escaped() -> None:
    assert shown("a\u061cb") == r"a\u061cb"


def test_a_user_id_in_digits_that_are_no_number_names_nobody() -> None:
    assert user_text({"SUDO_UID": "²"}, 0, None) == "root"


def test_half_of_a_character_can_be_written_down() -> None:
    assert clean("a\ud800b") == r"a\ud800b"
    assert clean("a\udcffb") == r"a\xffb"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_text_that_is_nested_too_deeply_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="deep"):
        loads(Report, text)


def test_a_number_too_large_for_a_float_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="float"):
        from_plain(Report, {**to_plain(report()), "time": 10**400})


@pytest.mark.parametrize(
    ("statement", "lost"),
    [
        ("UPDATE reports SET report = zeroblob(0)", "report"),
        ("UPDATE overrides SET state = 'x'", "override"),
        ("UPDATE overrides SET reason = CAST(x'610aff' AS TEXT)", ""),
    ],
)
def test_a_row_that_makes_no_sense_is_a_ledger_error_or_is_read(
    tmp_path: Path, statement: str, lost: str
) -> None:
    ledger = Ledger(str(tmp_path / "state"))
    ledger.record(report())
    grant(ledger)
    ledger.close()
    edit(tmp_path / "state" / "ledger.db", statement)
    for what, read in (("report", lambda: ledger.report(report().id)), ("override", ledger.overrides)):
        if what == lost:
            with pytest.raises(LedgerError) as caught:
                read()
            assert "\n" not in str(caught.value)
        else:
            assert read()


def edit(path: Path, statement: str) -> None:
    """Change the rows as nothing of ours would: without the tables' own checks."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(statement)
    connection.close()


def test_a_ledger_whose_schema_is_no_text_any_more_is_moved_aside(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "state"))
    ledger.record(report())
    ledger.close()
    path = tmp_path / "state" / "ledger.db"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"CREATE TABLE reports", b"CRE\xc6\xc6 TABLE r\xf5ports"))
    assert ledger.reports() == ()
    assert "ledger.corrupt-1" in ledger.problems[0]
    assert "\n" not in ledger.problems[0]


@pytest.mark.parametrize(
    "parameters",
    [
        {"verdict": "bloc"},
        {"verdict": 5},
        {"package": {"a": 1}},
        {"package": "\ud800"},
        {"path": "\ud800"},
        {"path": "/a\0b"},
        {"since": 10**400},
        {"since": "1"},
        {"since": True},
        {"limit": 0},
    ],
)
def test_a_log_that_cannot_be_asked_for_is_refused_with_a_sentence(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    state = GuardState(str(tmp_path))
    with pytest.raises(GuardError, match="must be") as caught:
        records.log(state, parameters)
    assert caught.value.name == "InvalidParameter"


@pytest.mark.parametrize("method", [records.show, records.revoke_override])
def test_an_id_that_is_no_text_is_refused(tmp_path: Path, method: Callable[..., Any]) -> None:
    with pytest.raises(GuardError) as caught:
        method(GuardState(str(tmp_path)), {"id": ["7F3K-92QX"]})
    assert caught.value.name == "InvalidParameter"


def test_a_reason_with_half_of_a_character_is_written_down(tmp_path: Path) -> None:
    state = GuardState(str(tmp_path))
    state.ledger.record(report())
    asked = {"id": report().id, "reason": "because\ud800", "sudo_user": "\ud800"}
    state.send = lambda *_: None  # type: ignore[method-assign]
    assert records.grant_override(state, asked, own_process())["override"]["reason"] == r"because\ud800"


def test_what_is_read_of_a_report_can_be_written_again() -> None:
    assert loads(Report, dumps(report())) == report()


def test_a_script_that_names_itself_oddly_forges_nothing_in_a_report() -> None:
    one = dataclasses.replace(
        report().findings[0],
        package="toy\x1b[2J",
        script="post\nrm",
        rule="a\x00b",
        change="gone\r",
        subject_package="x\ny",
        path=None,
    )
    item = Item("toy\x7f\x1b[2J", "amd64", Action.PURGE, "1\x9b0")
    path = ChangedPath(b"/a", ("deleted\x07",), "unowned\n", 1, package="p\x1b", script="s\n")
    forged = dataclasses.replace(report(), findings=(one, one), changed_paths=(path,))
    forged = dataclasses.replace(forged, transaction=Transaction("apt\r", (item,)))
    style = Style(columns=80, colour=False, ascii=False)
    for told in (
        text.refusal(forged, style, override_minutes=15),
        details.details(forged, style, changes=True),
    ):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", told), told
        assert not re.search(r"^(rm|y)", told, re.MULTILINE), told
