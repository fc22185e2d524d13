# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts hear about units is what the machine says, and follows what the scripts have done since."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.rehearsal.model import UNANSWERED, UNCLEAR, RehearsalResult
from rehearsal.machine import Machine
from rehearsal.toys import rehearse_purge

pytestmark = pytest.mark.needs_root

# A systemctl as it is on a machine with these units; what it does in its offline mode is told as it is.
_SYSTEMCTL = r"""#!/bin/sh
[ -d /dev/.rehearsal ] || echo "$*" >> /run/asked
if [ -n "$SYSTEMD_OFFLINE" ]; then
    case "$1" in stop | start | restart | try-restart | disable | enable | reset-failed) exit 0 ;; esac
    echo "offline: $*"
    exit 0
fi
[ -d /run/systemd/system ] || { echo 'System has not been booted with systemd' >&2; exit 1; }
unit() {
    printf '%s\n' "Type=simple" "MainPID=${4:-0}" "Result=success" "Id=$1" "Names=$1 $5" Description=A\ unit \
        LoadState=loaded "ActiveState=$2" "SubState=$3" "FragmentPath=/usr/lib/systemd/system/$1" ""
}
case "$1" in
is-system-running) echo degraded; exit 1 ;;
--quiet) exit 4 ;;
show)
    unit web.service active running 4711 www.service
    unit broken.service failed failed
    unit idle.service inactive dead
    unit slow.service activating start 4712
    ;;
esac
"""


@pytest.fixture
def units(machine: Machine) -> Machine:
    machine.write("/usr/bin/systemctl", _SYSTEMCTL, 0o755)
    machine.write("/usr/lib/systemd/system/fresh.service", "[Service]\nExecStart=/bin/true\n")
    for name in ("web", "broken", "idle", "slow"):
        machine.write(f"/usr/lib/systemd/system/{name}.service", "[Service]\n")
    machine.write("/opt/precious/data")
    return machine


def said(machine: Machine, script: str) -> list[str]:
    result = machine.rehearse_shell(script)
    assert result.unknowns == (), (result.unknowns, result.output)
    assert doubtful(result) == []
    return result.output.decode().split()


def doubtful(result: RehearsalResult) -> list[str]:
    return [one.detail for one in result.effects if one.kind in (UNANSWERED, UNCLEAR)]


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
    ],
)  # fmt: skip
def test_a_question_is_answered_as_the_machine_answers_it(units: Machine, call: str, answer: str) -> None:
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
    ],
)
def test_an_answer_follows_what_was_done_in_the_same_rehearsal(
    units: Machine, script: str, answers: str
) -> None:
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
        "start-stop-daemon --status --exec /usr/sbin/webd",
        "echo 1 > /run/web.pid; start-stop-daemon --status --pidfile /run/web.pid",
        "invoke-rc.d --query web start",
    ],
)
def test_a_question_that_cannot_be_answered_is_told_as_such(units: Machine, call: str) -> None:
    result = units.rehearse_shell(f"{{ {call}; }} > /dev/null 2>&1 || true")
    assert [one.kind for one in result.effects if one.detail in doubtful(result)] == [UNANSWERED]


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
    slow = _SYSTEMCTL.replace("show)", "show) sleep 0.3")
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
