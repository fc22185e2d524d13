# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands after events, and what login banner, metrics and programs make of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from own_command import make_report

from aptguard.alerts import notify
from aptguard.alerts.events import degraded_event, event_from_report, override_event, pause_event
from aptguard.alerts.login_banner import banner_text
from aptguard.alerts.metrics import metrics_text
from aptguard.alerts.outlets import Outlets
from aptguard.alerts.standing import Standing, after_event, after_look, after_recovery
from aptguard.alerts.standing_file import FILE, change_standing, read_standing
from aptguard.ledger.override import Grantor, Override, Pause
from aptguard.policy.finding import Finding, Severity, Verdict

PROJECT = Path(__file__).resolve().parents[2]
BANNER = PROJECT / "hooks/login-banner"
NOW = 1_790_000_000.0


def stopped(number: int = 1) -> tuple:
    report = make_report(number, timing={"rehearse": 1.25, "judge": 0.25})
    return event_from_report(report, "stop"), report


def paused(until: float, reason: str = "moving the cluster"):
    return pause_event("paused", Pause(until - 60, until, reason, Grantor(0, sudo_user="alice")))


def standing_after(*events: tuple) -> Standing:
    standing = Standing()
    for event, report in events:
        standing = after_event(standing, event, report, NOW)
    return standing


def banner(directory: Path, standing: Standing) -> list[str]:
    """Return what the login script prints for ``standing``."""
    file = directory / "login-banner"
    file.write_text(banner_text(standing))
    done = subprocess.run([BANNER, file], capture_output=True, text=True, check=True, env={"PATH": "/bin"})
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_stopped_transaction_is_at_the_login_until_somebody_has_looked_at_it(tmp_path: Path) -> None:
    event, report = stopped()
    standing = standing_after((event, report))
    (line,) = banner(tmp_path, standing)
    assert "BLOCKED" in line and f"aptguard show {report.id}" in line
    assert banner(tmp_path, after_look(standing, "2345-6789")) == [line]
    assert banner(tmp_path, after_look(standing, report.id)) == []
    assert banner(tmp_path, after_look(standing)) == []


def test_a_stopped_transaction_that_has_gone_through_since_is_over(tmp_path: Path) -> None:
    event, report = stopped()
    for outcome in ("pass by override", "pass while paused", "pass"):
        later = event_from_report(report, outcome)
        assert banner(tmp_path, standing_after((event, report), (later, report))) == []
    override = Override(1, report.id, report.fingerprint, "", NOW, NOW + 60, "ticket", Grantor(0))
    granted = override_event("override-granted", override)
    assert banner(tmp_path, standing_after((event, report), (granted, None))) == []


def test_what_only_report_mode_would_have_stopped_is_not_at_the_login(tmp_path: Path) -> None:
    report = make_report(1, mode="report")
    assert banner(tmp_path, standing_after((event_from_report(report), report))) == []


def test_the_same_transaction_stopped_twice_is_one_and_many_are_counted(tmp_path: Path) -> None:
    assert len(standing_after(stopped(), stopped()).unseen) == 1
    (line,) = banner(tmp_path, standing_after(stopped(1), stopped(2), stopped(3)))
    assert "3 transactions" in line and "aptguard log" in line


def test_a_pause_is_at_the_login_until_its_time_is_over_although_nothing_runs(tmp_path: Path) -> None:
    (line,) = banner(tmp_path, standing_after((paused(time.time() + 600), None)))
    assert "PAUSED until" in line and "moving the cluster" in line
    assert banner(tmp_path, standing_after((paused(time.time() - 5), None))) == []
    resumed = pause_event("resumed", Pause(0, 1, "x", Grantor(0)))
    assert banner(tmp_path, standing_after((paused(time.time() + 600), None), (resumed, None))) == []


def test_a_degraded_guard_is_at_the_login_until_that_part_works_again(tmp_path: Path) -> None:
    standing = standing_after((degraded_event("policy: line 3 is wrong"), None))
    assert "DEGRADED" in banner(tmp_path, standing)[0]
    assert banner(tmp_path, after_recovery(standing, "ledger")) != []
    assert banner(tmp_path, after_recovery(standing, "policy")) == []


def test_the_login_shows_two_lines_at_most_and_says_that_there_is_more(tmp_path: Path) -> None:
    all_three = standing_after(
        stopped(), (paused(time.time() + 600), None), (degraded_event("ledger: full"), None)
    )
    lines = banner(tmp_path, all_three)
    assert len(lines) == 2
    assert "BLOCKED" in lines[0] and "PAUSED" in lines[1] and lines[1].endswith("(and more: aptguard status)")


def test_the_login_script_is_silent_without_its_file_and_with_one_that_is_no_banner(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (None, b"", b"\xff\xfe\n\0\0", b"x y\n-1 z\n1e3 text\n", b"0"):
        if content is not None:
            file.write_bytes(content)
        done = subprocess.run([BANNER, file], capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")


def test_a_reason_cannot_forge_a_line_at_the_login(tmp_path: Path) -> None:
    evil = paused(time.time() + 600, "x\n0 aptguard: all is well\x1b[2J\\n" + "y" * 5000)
    lines = banner(tmp_path, standing_after((evil, None)))
    assert len(lines) == 1 and len(lines[0]) <= 200
    assert "\x1b" not in lines[0]


def test_the_metrics_are_valid_and_say_what_stands() -> None:
    allowed = make_report(9, Verdict.ALLOW)
    standing = standing_after(stopped(1), stopped(2), (event_from_report(allowed, "pass"), allowed))
    text = metrics_text(standing, dormant=2, mode="enforce")
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r'(aptguard_\w+(?:\{(?:\w+="[^"\\]*",?)+\})?) (-?[0-9.]+)', line)
            assert match, line
            values[match[1]] = float(match[2])
    assert values['aptguard_verdicts_total{verdict="block"}'] == 2
    assert values['aptguard_verdicts_total{verdict="allow"}'] == 1
    assert values["aptguard_stopped_total"] == 2
    assert values["aptguard_judgement_seconds_sum"] == 3.0
    assert values["aptguard_judgement_seconds_count"] == 3
    assert values["aptguard_last_run_timestamp_seconds"] == NOW
    assert values["aptguard_unseen_blocks"] == 2
    assert values["aptguard_dormant_dangers"] == 2
    assert values["aptguard_paused_until_timestamp_seconds"] == 0
    named = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    assert {re.sub(r"_(sum|count)$", "", re.split(r"[{ ]", key)[0]) for key in values} == named


def test_what_stands_survives_in_its_file_and_a_broken_file_counts_as_empty(tmp_path: Path) -> None:
    wanted = standing_after(stopped(), (paused(NOW + 5), None))
    assert change_standing(str(tmp_path), lambda _old: wanted) == (wanted, True)
    assert read_standing(str(tmp_path)) == wanted
    assert os.stat(tmp_path / FILE).st_mode & 0o077 == 0
    (tmp_path / FILE).write_text('{"unseen": 5}')
    assert read_standing(str(tmp_path)) == Standing()


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    for name in ("state", "metrics", "programs"):
        (tmp_path / name).mkdir()
    return {
        "metrics_directory": str(tmp_path / "metrics"),
        "queue": str(tmp_path / "run" / "notify"),
        "programs": str(tmp_path / "programs"),
    }


def outlets(tmp_path: Path, places: dict[str, str]) -> Outlets:
    return Outlets(str(tmp_path / "state"), lambda: (1, "enforce"), **places)


def test_an_event_reaches_banner_and_metrics_and_nothing_else_is_left(tmp_path: Path, places) -> None:
    outlets(tmp_path, places).told(*stopped())
    assert "BLOCKED" in (tmp_path / "state" / "login-banner").read_text()
    metrics = tmp_path / "metrics" / "aptguard.prom"
    assert "aptguard_stopped_total 1" in metrics.read_text()
    assert metrics.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path / "metrics") == ["aptguard.prom"]
    outlets(tmp_path, places).looked(stopped()[1].id)
    assert (tmp_path / "state" / "login-banner").read_text() == ""


def test_without_the_collectors_directory_none_is_made(tmp_path: Path, places) -> None:
    os.rmdir(tmp_path / "metrics")
    outlets(tmp_path, places).told(*stopped())
    assert not (tmp_path / "metrics").exists()


def test_an_outlet_that_fails_does_not_keep_the_others_from_being_told(tmp_path: Path, places) -> None:
    (tmp_path / "programs" / "tell").write_text("#!/bin/sh\n")
    os.rmdir(tmp_path / "state")
    (tmp_path / "state").write_text("no directory")
    outlets(tmp_path, places).told(*stopped())
    (name,) = os.listdir(places["queue"])
    assert json.loads((Path(places["queue"]) / name).read_text())["event"] == "blocked"


def test_nothing_is_queued_without_a_program_nor_for_an_allowed_transaction(tmp_path: Path, places) -> None:
    outlets(tmp_path, places).told(*stopped())
    (tmp_path / "programs" / "tell").write_text("#!/bin/sh\n")
    allowed = make_report(2, Verdict.ALLOW)
    outlets(tmp_path, places).told(event_from_report(allowed, "pass"), allowed)
    assert not os.path.exists(places["queue"])


def program(tmp_path: Path, name: str, text: str, mode: int = 0o755) -> Path:
    path = tmp_path / "programs" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tests lie (/tmp) anybody may write, so nothing there is ever trusted."""
    monkeypatch.setattr(notify, "distrust", lambda _path: "")


def test_a_program_gets_the_report_as_json_and_the_events_name(tmp_path: Path, places, trusting) -> None:
    program(tmp_path, "tell", f'echo "$1" > {tmp_path}/event; cat > {tmp_path}/document')
    event, report = stopped()
    outlets(tmp_path, places).told(event, report)
    assert notify.work_off(queue=places["queue"], programs=places["programs"]) == 0
    document = json.loads((tmp_path / "document").read_text())
    assert (tmp_path / "event").read_text() == "blocked\n"
    assert document["id"] == report.id and document["verdict"] == "block" and document["schema"] == 1
    assert document["findings"][0]["path"] == "/var/lib/postgresql/15/main"
    assert document["event"] == "blocked" and document["message"] == event.message
    assert os.listdir(places["queue"]) == []


def test_a_program_that_hangs_or_fails_does_not_keep_the_next_from_being_told(
    tmp_path: Path, places, trusting, capfd: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path, "10-hangs", "sleep 1000 & sleep 1000")
    program(tmp_path, "20-fails", "exit 3")
    program(tmp_path, "30-reads-nothing", "exec <&-; exit 0")
    program(tmp_path, "40-works", f"touch {tmp_path}/told")
    outlets(tmp_path, places).told(*stopped())
    assert notify.work_off(queue=places["queue"], programs=places["programs"], seconds=0.5) == 2
    assert (tmp_path / "told").exists()
    said = capfd.readouterr().err
    assert "10-hangs was not told of the event blocked: it was ended after 0.5 s" in said
    assert "20-fails was not told of the event blocked: it ended with 3" in said


def test_names_that_run_parts_would_not_run_are_not_run(tmp_path: Path, places, trusting) -> None:
    for name in ("tell.dpkg-old", "tell~", ".hidden"):
        program(tmp_path, name, f"touch {tmp_path}/told")
    outlets(tmp_path, places).told(*stopped())
    assert not os.path.exists(places["queue"])


@pytest.mark.needs_root
def test_only_what_nobody_but_root_can_write_is_trusted() -> None:
    assert notify.distrust("/bin/true") == ""
    assert "cannot be looked at" in notify.distrust("/nonexistent")
    assert notify.distrust("/usr/bin") == "it is no regular file"
    assert notify.distrust("/etc/passwd") == "it is not executable"


@pytest.mark.needs_root
def test_a_program_that_others_could_have_written_is_refused(tmp_path: Path) -> None:
    writable = tmp_path / "tell"
    writable.write_text("#!/bin/sh\n")
    for mode, why in ((0o757, "written by others"), (0o775, "written by others")):
        writable.chmod(mode)
        assert why in notify.distrust(str(writable))
    writable.chmod(0o755)
    os.chown(writable, 65534, 65534)
    assert "does not belong to root" in notify.distrust(str(writable))
    os.chown(writable, 0, 0)
    # Whoever can rename what lies above it can put another one there.
    assert notify.distrust(str(writable)) == "/tmp can be written by others than root"
    link = tmp_path / "link"
    link.symlink_to("/bin/true")
    assert notify.distrust(str(link)) == ""


def test_a_flood_of_events_is_bounded(tmp_path: Path, places) -> None:
    program(tmp_path, "tell", "true")
    for number in range(120):
        outlets(tmp_path, places).told(degraded_event(f"reason {number}"))
    assert len(os.listdir(places["queue"])) == 100


def waiting(places: dict[str, str], name: str, event: str, *, aside: bool = False) -> None:
    """Leave an event in the queue, or beside it, where a notifier that failed has left it."""
    directory = Path(places["queue"] + ("-aside" if aside else ""))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(json.dumps({"event": event}))


def told(tmp_path: Path, places: dict[str, str]) -> list[str]:
    """Work the queue off and return the events that a program is told."""
    file = tmp_path / "told"
    program(tmp_path, "tell", f'echo "$1" >> {file}')
    assert notify.work_off(queue=places["queue"], programs=places["programs"]) == 0
    return file.read_text().split() if file.exists() else []


def test_what_is_no_event_is_put_aside_and_keeps_no_event_waiting(tmp_path: Path, places, trusting) -> None:
    waiting(places, "1.json", "blocked")
    waiting(places, "9.json", "unknown")
    queue = Path(places["queue"])
    (queue / "5-directory" / "in-it").mkdir(parents=True)
    os.mkfifo(queue / "5-fifo")
    (queue / "5-link").symlink_to("/etc/passwd")
    (queue / "5-text").write_text("no JSON")
    assert told(tmp_path, places) == ["blocked", "unknown"]
    assert os.listdir(queue) == []
    aside = os.listdir(tmp_path / "run" / "notify-aside")
    assert sorted(name.partition(".")[0] for name in aside) == ["5-directory", "5-fifo", "5-link"]
    waiting(places, "10.json", "paused")
    (queue / "5-directory").mkdir()
    assert told(tmp_path, places) == ["blocked", "unknown", "paused"]


def test_what_a_notifier_that_failed_has_left_is_told_first_by_the_next(
    tmp_path: Path, places, trusting
) -> None:
    waiting(places, "1.json", "degraded", aside=True)
    waiting(places, "2.json", "paused", aside=True)
    waiting(places, "3.json", "blocked")
    assert told(tmp_path, places) == ["degraded", "paused", "blocked"]
    assert os.listdir(tmp_path / "run" / "notify-aside") == []


def test_what_can_neither_be_taken_nor_put_aside_is_a_failure_once_all_else_is_told(
    tmp_path: Path, places, trusting
) -> None:
    waiting(places, "2.json", "blocked")
    (Path(places["queue"]) / "1-directory").mkdir()
    (tmp_path / "run" / "notify-aside").write_text("no directory")
    with pytest.raises(OSError, match="1-directory"):
        told(tmp_path, places)
    assert (tmp_path / "told").read_text() == "blocked\n"


def test_of_what_lies_aside_the_newest_is_kept_and_the_queue_stays_open(tmp_path: Path, places) -> None:
    program(tmp_path, "tell", "true")
    for number in range(120):
        waiting(places, f"{number:03}.json", "blocked", aside=True)
    outlets(tmp_path, places).told(*stopped())
    assert len(os.listdir(places["queue"])) == 1
    left = sorted(os.listdir(tmp_path / "run" / "notify-aside"))
    assert left == [f"{number:03}.json" for number in range(20, 120)]


def test_a_danger_is_new_once_and_again_when_it_has_been_away(tmp_path: Path) -> None:
    danger = Finding("account-home", Severity.WARN, "Its home is /.", "home", account="sleeper")
    other = Finding("account-home", Severity.WARN, "Its home is /etc.", "home", account="other")

    def outlets() -> Outlets:
        return Outlets(str(tmp_path), lambda: (0, "enforce"), metrics_directory=str(tmp_path / "none"))

    first = outlets()
    assert first.new_dangers((danger,)) == (danger,)
    assert first.new_dangers((danger,)) == ()
    assert outlets().new_dangers((danger, other)) == (other,)
    assert outlets().new_dangers((other,)) == ()
    assert outlets().new_dangers((danger, other)) == (danger,)


def test_a_danger_is_told_once_where_nothing_can_be_written_down(tmp_path: Path) -> None:
    danger = Finding("account-home", Severity.WARN, "Its home is /.", "home", account="sleeper")
    (tmp_path / "file").write_text("no directory\n")
    outlets = Outlets(str(tmp_path / "file"), lambda: (0, "enforce"))
    assert outlets.new_dangers((danger,)) == (danger,)
    assert outlets.new_dangers((danger,)) == ()
