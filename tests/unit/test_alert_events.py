# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess

import pytest
from ledger_values import GRANTOR, NOW, finding, report

from aptguard.alerts import events
from aptguard.alerts.message_ids import MESSAGE_IDS, EventName
from aptguard.ledger.override import Override, OverrideState, Pause
from aptguard.policy.finding import Verdict
from aptguard.rehearsal.model import Unknown

CATALOG = os.path.join(os.path.dirname(__file__), "../../systemd/aptguard.catalog")


def override(state: OverrideState, **other) -> Override:
    values = {"id": "7F3K-92QX", "fingerprint": "aa", "findings_digest": "bb", "reason": "It is obsolete."}
    times = {"granted_at": NOW, "expires_at": NOW + 900}
    return Override(number=1, grantor=GRANTOR, state=state, **{**values, **times, **other})


def test_a_block_names_package_script_path_rule_user_and_the_way_out():
    event = events.event_from_report(report())
    assert event.name is EventName.BLOCKED
    assert event.priority == events.CRITICAL
    assert event.message == (
        "Blocked purge of toy (apt-get, alice (sudo)): /srv/data (deleted) by postrm purge of toy."
        " All of it: aptguard show 7F3K-92QX."
        " To let it through once: aptguard override 7F3K-92QX --reason TEXT."
    )
    assert event.fields == {
        "ID": ("7F3K-92QX",),
        "VERDICT": ("block",),
        "OUTCOME": ("stop",),
        "USER": ("alice (sudo)",),
        "FRONTEND": ("apt-get",),
        "MODE": ("enforce",),
        "RULE": ("unowned",),
        "PACKAGE": ("toy",),
        "SCRIPT": ("postrm purge",),
        "PATH": ("/srv/data",),
        "REASON": ("Not owned.",),
    }


def test_each_finding_has_its_path_in_a_repeated_field():
    several = dataclasses.replace(report(), findings=(finding(b"/a"), finding(b"/b"), finding(b"/a")))
    event = events.event_from_report(several)
    assert event.fields["PATH"] == ("/a", "/b")
    assert event.fields["RULE"] == ("unowned",)
    assert "and 2 more findings" in event.message


def test_in_report_mode_a_block_is_a_warning_that_nothing_was_stopped():
    event = events.event_from_report(dataclasses.replace(report(), mode="report"))
    assert (event.name, event.priority) == (EventName.BLOCKED, events.WARNING)
    assert event.message.startswith("Would have blocked purge of toy")


def test_an_unknown_says_what_was_not_covered():
    unknown = dataclasses.replace(
        report(verdict=Verdict.UNKNOWN), findings=(), unknowns=(Unknown("mount", "It is full."),)
    )
    event = events.event_from_report(unknown)
    assert (event.name, event.priority) == (EventName.UNKNOWN, events.WARNING)
    assert "mount: It is full." in event.message
    assert event.fields["REASON"] == ("mount: It is full.",)
    assert event.fields["PACKAGE"] == ("toy",)


def test_an_allowed_transaction_is_information():
    event = events.event_from_report(dataclasses.replace(report(verdict=Verdict.ALLOW), findings=()))
    assert (event.name, event.priority) == (EventName.ALLOWED, events.INFO)
    assert event.message == "Allowed purge of toy (apt-get, alice (sudo))."


@pytest.mark.parametrize("name", ["override-granted", "override-used", "override-expired"])
def test_every_end_of_an_override_is_told_with_who_and_why(name):
    event = events.override_event(name, override(OverrideState.GRANTED), "by hand")
    assert event.name.value == name
    assert event.fields == {
        "ID": ("7F3K-92QX",),
        "REASON": ("It is obsolete.",),
        "UNTIL": ("2023-11-14T22:28:20Z",),
        "OUTCOME": ("by hand",),
        "USER": ("alice (sudo)",),
        "LOGIN_UID": ("1000",),
        "TTY": ("/dev/pts/0",),
    }
    assert event.message.endswith("alice (sudo) (by hand): It is obsolete.")


def test_a_pause_is_told_when_it_begins_and_when_it_is_over():
    pause = Pause(NOW, NOW + 1800, "Moving.", GRANTOR)
    assert events.pause_event("paused", pause).message == (
        "Blocking is off for 30 min, paused by alice (sudo): Moving."
    )
    resumed = events.pause_event("resumed", pause, "its time is over")
    assert (resumed.name, resumed.fields["OUTCOME"]) == (EventName.RESUMED, ("its time is over",))


def test_an_event_about_something_else_is_no_event_of_a_pause_or_an_override():
    with pytest.raises(ValueError, match="no event of a pause"):
        events.pause_event("allowed", Pause(NOW, NOW, "", GRANTOR))
    with pytest.raises(ValueError, match="no event of an override"):
        events.override_event("allowed", override(OverrideState.USED))


def test_what_passes_by_an_override_or_a_pause_is_a_warning_that_names_who_and_why():
    by_override = events.event_from_report(
        report(), "pass by override", override=override(OverrideState.GRANTED)
    )
    assert by_override.priority == events.WARNING
    assert "It goes on (pass by override of alice (sudo): It is obsolete.)." in by_override.message
    assert "aptguard override" not in by_override.message
    assert by_override.fields["OUTCOME"] == ("pass by override",)
    paused = events.event_from_report(
        report(), "pass while paused", pause=Pause(NOW, NOW + 9, "Moving.", GRANTOR)
    )
    assert "It goes on (pass while paused by alice (sudo): Moving.)." in paused.message


def test_text_from_packages_and_users_stays_one_escaped_line():
    evil = "x\nAPTGUARD_VERDICT=allow\x1b[2K\u202e"
    event = events.event_from_report(report(path=evil.encode(), package=evil, user=evil))
    texts = [event.message, *(value for values in event.fields.values() for value in values)]
    assert not re.search("[\x00-\x1f\x7f\u202e]", "".join(texts))
    assert event.fields["PATH"] == ("x\\x0aAPTGUARD_VERDICT=allow\\x1b[2K\\u202e",)


def test_an_event_has_a_bounded_size_and_says_what_it_leaves_out():
    paths = [b"/srv/%d/" % number + b"x" * 9000 for number in range(1000)]
    event = events.make_event(EventName.DIVERGED, "m" * 100_000, path=paths, reason="r", user=None)
    size = len(event.message) + sum(len(value) for values in event.fields.values() for value in values)
    assert size < 100_000
    assert event.fields["OMITTED"] == (f"PATH {1000 - len(event.fields['PATH'])}",)
    assert event.fields["PATH"][0].endswith("x...")
    assert event.fields["REASON"] == ("r",)
    assert "USER" not in event.fields


def catalog_entries() -> dict[str, str]:
    with open(CATALOG, encoding="utf-8") as file:
        parts = re.split(r"^-- ([0-9a-f]{32})$", file.read(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_event_has_a_message_id_of_its_own_and_a_catalog_entry():
    assert set(MESSAGE_IDS) == set(EventName)
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)
    assert set(catalog_entries()) == set(MESSAGE_IDS.values())


def test_the_catalog_names_only_fields_that_its_event_can_have():
    known = ["ID", "VERDICT", "RULE", "PATH", "PACKAGE", "SCRIPT", "USER", "REASON"]
    for entry in catalog_entries().values():
        assert set(re.findall(r"@APTGUARD_(\w+)@", entry)) <= set(known)


@pytest.mark.skipif(not shutil.which("journalctl"), reason="journalctl is not installed")
def test_journalctl_compiles_the_catalog_without_a_complaint(tmp_path):
    place = tmp_path / "usr/lib/systemd/catalog"
    place.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, place)
    command = ["journalctl", f"--root={tmp_path}"]
    done = subprocess.run([*command, "--update-catalog"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    compiled = (tmp_path / "var/lib/systemd/catalog/database").read_bytes()
    for message_id in MESSAGE_IDS.values():
        assert bytes.fromhex(message_id) in compiled
