# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts hear about units is what the machine says, and follows what the scripts have done since."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.rehearsal.model import UNANSWERED
from rehearsal.machine import Machine
from rehearsal.service_manager import SYSTEMCTL, doubtful, said
from rehearsal.toys import rehearse_purge

pytestmark = pytest.mark.needs_root


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("systemctl is-active web", "active 0"),
        ("systemctl is-active --quiet web.service", "0"),
        ("systemctl is-active www", "active 0"),
        ("systemctl is-active idle web", "inactive active 0"),
        ("systemctl is-active idle", "inactive 3"),
        ("systemctl is-active slow", "activating 3"),
        ("systemctl --quiet is-active broken", "3"),
        ("systemctl is-active fresh", "inactive 3"),
        ("systemctl is-active nothing", "inactive 4"),
        ("systemctl is-active 'w*'", "active 0"),
        ("systemctl is-failed broken", "failed 0"),
        ("systemctl is-failed -q web", "1"),
        ("systemctl is-system-running", "degraded 1"),
        ("systemctl show -p ActiveState web", "ActiveState=active 0"),
        ("systemctl show --property=ActiveState,SubState --value web", "active running 0"),
        ("systemctl show -P LoadState nothing", "not-found 0"),
        ("systemctl -p MainPID show web", "MainPID=4711 0"),
        ("systemctl status web > /dev/null", "0"),
        ("systemctl status idle > /dev/null", "3"),
        ("systemctl status nothing 2> /dev/null", "4"),
        ("systemctl status web | grep -c 'Active: active (running)'", "1 0"),
        ("systemctl list-units --plain --no-legend --failed", "broken.service loaded failed failed A unit 0"),
        ("systemctl list-units --all --plain --no-legend 'i*' | cut -d' ' -f1", "idle.service 0"),
        ("systemctl cat fresh | grep -c ExecStart=", "1 0"),
        ("systemctl cat nothing 2> /dev/null", "1"),
        ("service web status > /dev/null", "0"),
        ("service idle status > /dev/null", "3"),
        ("invoke-rc.d --quiet idle status > /dev/null", "3"),
        ("invoke-rc.d web status > /dev/null", "0"),
        ("systemctl -t service | grep -c '^  [a-z]*.service'", "2 0"),
        ("systemctl --type mount | head -n 1", "UNIT LOAD ACTIVE SUB DESCRIPTION 0"),
        ("systemctl --no-legend --plain --state failed", "broken.service loaded failed failed A unit 0"),
        ("systemctl --system daemon-reload", "offline: --system daemon-reload 0"),
        ("systemctl is-enabled web", "offline: is-enabled web 0"),
        ("systemctl list-unit-files", "offline: list-unit-files 0"),
        ("systemctl list-units -q --plain 'no-such*'", "0"),
        ("systemctl list-units -q --plain 'idl*' --all", "idle.service loaded inactive dead A unit 0"),
        ("systemctl list-units -q --legend=yes 'no-such*' | head -n 1", "UNIT LOAD ACTIVE SUB DESCRIPTION 0"),
        ("systemctl show -p CanReload --value web", "no 0"),
        ("systemctl show -p CanReload fresh nothing", "CanReload=no CanReload=no 0"),
        ("systemctl show -P CanReload reloading", "yes 0"),
        ("systemctl show -P CanReload added", "yes 0"),
        ("systemctl show -P CanReload sysv long-sysv", "yes yes 0"),
        ("systemctl show -P CanReload silent-sysv srv-disk.mount idle.timer", "no yes no 0"),
    ],
)  # fmt: skip
def test_a_question_is_answered_as_the_machine_answers_it(units: Machine, call: str, answer: str) -> None:
    units.write("/usr/lib/systemd/system/reloading.service", "[Service]\nExecReload=/bin/true\n")
    units.write("/usr/lib/systemd/system/added.service", "[Service]\n")
    units.write("/etc/systemd/system/added.service.d/more.conf", "[Service]\nType = notify-reload\n")
    units.write("/etc/init.d/sysv", "#!/bin/sh\necho 'Usage: sysv {start|reload}'\n", 0o755)
    units.write("/etc/init.d/long-sysv", "#!/bin/sh\necho Usage: '{start|' \\\n '|reload|'\n", 0o755)
    units.write(
        "/etc/init.d/silent-sysv", "#!/bin/sh\n# Usage: {start|reload}\ncase $1 in reload) ;; esac\n", 0o755
    )
    assert said(units, f"{call}; echo $?") == answer.split()


@pytest.mark.parametrize(
    ("script", "answers"),
    [
        ("systemctl stop web; systemctl is-active web", "inactive"),
        ("systemctl stop www; systemctl is-active web; systemctl status web | grep -c dead", "inactive 1"),
        ("service web stop; systemctl is-active web", "inactive"),
        ("invoke-rc.d web stop; service web status > /dev/null; echo $?", "3"),
        ("deb-systemd-invoke stop web.service; systemctl is-active web", "inactive"),
        ("systemctl start idle; systemctl is-active idle", "active"),
        ("systemctl restart idle; systemctl show -P SubState idle", "running"),
        ("systemctl try-restart idle; systemctl is-active idle", "inactive"),
        ("systemctl stop web; systemctl start web; systemctl is-active web", "active"),
        ("systemctl start nothing; systemctl is-active nothing", "inactive"),
        ("systemctl start fresh; systemctl is-active fresh", "active"),
        ("systemctl stop broken; systemctl is-failed broken", "failed"),
        ("systemctl stop broken; systemctl list-units --plain --no-legend --failed | cut -c-6", "broken"),
        ("systemctl reset-failed broken; systemctl is-failed broken", "inactive"),
        (
            "systemctl stop broken; systemctl reset-failed; systemctl show -P SubState broken web",
            "dead running",
        ),
        ("systemctl start broken; systemctl stop broken; systemctl is-failed broken", "inactive"),
        ("systemctl disable --now web > /dev/null; systemctl is-active web", "inactive"),
        ("systemctl enable --now /lib/systemd/system/idle.service; systemctl is-active idle", "active"),
        ("systemctl stop web; systemctl list-units --plain --no-legend 'web*'", ""),
        ("service web.sh stop; systemctl is-active web", "inactive"),
        ("service idle force-reload; systemctl is-active idle", "active"),
        ("service reloading force-reload; systemctl is-active reloading", "inactive"),
    ],
)
def test_an_answer_follows_what_was_done_in_the_same_rehearsal(
    units: Machine, script: str, answers: str
) -> None:
    units.write("/usr/lib/systemd/system/reloading.service", "[Service]\nExecReload=/bin/true\n")
    assert said(units, f"{script} || true") == answers.split()


@pytest.mark.parametrize(
    "call",
    [
        "systemctl list-jobs",
        "systemctl list-timers --all",
        "systemctl show web -p ExecMainStartTimestamp",
        "systemctl show web",
        "systemctl --user is-active web",
        "systemctl -M other is-active web",
        "systemctl kill web; systemctl is-active web",
        "service --status-all",
        "service web force-stop; systemctl is-active web",
        "start-stop-daemon --status --exec /usr/sbin/webd",
        "start-stop-daemon --stop --signal 0 --exec /usr/sbin/webd",
        "start-stop-daemon -K -qs00 --exec /usr/sbin/webd",
        "start-stop-daemon --stop --test --exec /usr/sbin/webd",
        "start-stop-daemon -St --exec /usr/sbin/webd",
        "start-stop-daemon --stop --test --pid 4711 --pidfile /run/no.pid",
        "echo 1 > /run/web.pid; start-stop-daemon --status --pidfile /run/web.pid",
        "echo 1 > /run/web.pid; start-stop-daemon --stop --signal=0 --pidfile /run/web.pid",
        "invoke-rc.d --query web start",
    ],
)
def test_a_question_that_cannot_be_answered_is_told_as_such(units: Machine, call: str) -> None:
    result = units.rehearse_shell(f"{{ {call}; }} > /dev/null 2>&1 || true")
    assert [one.kind for one in result.effects if one.detail in doubtful(result)] == [UNANSWERED]


@pytest.mark.parametrize("asks", ["--status", "--stop --test", "--stop --signal 0 --quiet"])
def test_nothing_that_a_missing_pidfile_names_is_running(units: Machine, asks: str) -> None:
    call = f"start-stop-daemon {asks} --pidfile /run/web.pid --exec /usr/bin/tail"
    assert said(units, f"if {call} > /dev/null; then echo yes; else echo no; fi") == ["no"]


@pytest.mark.parametrize("action", ["start", "stop", "restart", "reload", "force-reload"])
def test_an_init_script_that_is_called_by_its_path_is_a_call_of_systemctl(
    units: Machine, action: str
) -> None:
    script = "#!/bin/sh\n. /lib/lsb/init-functions\necho by itself\n"
    units.write("/etc/init.d/web", script, 0o755)
    result = units.rehearse_shell(f"/etc/init.d/web {action}")
    assert doubtful(result) == [], result.output
    # systemd has no way to reload it, so that the script does.
    done = [] if action == "reload" else [f"would {action} web.service"]
    assert [effect.detail for effect in result.effects] == done, result.output


def test_a_purge_that_deletes_only_where_a_service_stopped_or_is_failed_does_so_in_the_rehearsal(
    units: Machine, tmp_path: Path
) -> None:
    script = """
        if ! systemctl is-active --quiet idle; then rm -rf /opt/precious; fi
        if systemctl is-active --quiet idle; then rm -rf /srv/data; fi
    """
    result = rehearse_purge(units, tmp_path, script)
    gone = {change.path for change in result.changes if change.deleted}
    assert b"/opt/precious/data" in gone
    assert doubtful(result) == []
    assert os.path.exists(units.path("/opt/precious/data"))


def test_the_machine_is_asked_once_and_only_when_a_script_asks(units: Machine) -> None:
    units.rehearse_shell("systemctl stop web; deb-systemd-invoke stop idle; systemctl daemon-reload")
    assert not os.path.exists(units.path("/run/asked"))
    units.rehearse_shell("systemctl is-active web & systemctl is-active idle & wait; service web status")
    asked = units.read("/run/asked").splitlines()
    assert [line.split()[0] for line in asked] == ["is-system-running", "--quiet", "show"]


def test_no_word_of_a_script_reaches_the_machine(units: Machine) -> None:
    script = "systemctl is-active '$(touch /run/broken-out)' '; touch /run/broken-out'; systemctl cat ../../x"
    units.rehearse_shell(f"{script}; echo 'touch /run/broken-out' > /dev/.rehearsal/questions-on-units")
    assert not os.path.exists(units.path("/run/broken-out"))
    assert "broken-out" not in units.read("/run/asked")


def test_a_process_that_asks_on_the_machine_cannot_be_seen_by_scripts(units: Machine) -> None:
    slow = SYSTEMCTL.replace("show)", "show) sleep 0.3")
    units.write("/usr/bin/systemctl", slow, 0o755)
    script = "systemctl is-active web & sleep 0.15; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; wait"
    output = units.rehearse_shell(script).output
    assert b"no-pager" not in output
    assert b"active" in output


def test_without_systemd_systemctl_answers_as_it_does_without_it(units: Machine) -> None:
    units.run("rmdir", "/run/systemd/system")
    for call in ("is-active web", "stop web", "show web", "is-system-running"):
        result = units.rehearse_shell(f"systemctl {call} || echo failed with $?")
        assert b"System has not been booted with systemd" in result.output
        assert b"failed with 1" in result.output


@pytest.mark.parametrize(
    "unanswered",
    ["exit 1", "exit 124", 'case "$1" in show) exit 124 ;; --quiet) exit 4 ;; *) echo running ;; esac'],
)
def test_what_a_service_manager_that_does_not_answer_would_say_is_left_open(
    units: Machine, unanswered: str
) -> None:
    units.write("/usr/bin/systemctl", f"#!/bin/sh\n{unanswered}\n", 0o755)
    for call in ("systemctl is-active web", "systemctl is-system-running"):
        assert doubtful(units.rehearse_shell(f"{call} || true")) == [f"would run {call}"]


def test_states_that_cannot_be_had_leave_the_question_open(units: Machine) -> None:
    units.write("/usr/bin/systemctl", "#!/bin/sh\nhead -c 9000000 /dev/zero\n", 0o755)
    result = units.rehearse_shell("systemctl is-active web || true")
    assert doubtful(result) == ["would run systemctl is-active web"]


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
def test_to_stop_or_start_a_unit_that_is_a_mount_is_not_clear(units: Machine, verb: str) -> None:
    script = f"if systemctl {verb} srv-data.mount > /dev/null; then rm -rf /opt/precious; fi"
    assert len(doubtful(units.rehearse_shell(script))) == 1
    assert len(doubtful(units.rehearse_shell(script.replace("srv-data.mount", "/srv/data")))) == 1
    assert doubtful(units.rehearse_shell(f"systemctl {verb} proc-fs-nfsd.mount web > /dev/null")) == []
