# SPDX-License-Identifier: GPL-3.0-or-later
"""What deb-systemd-invoke and invoke-rc.d would not do on the machine does not count as done."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.machine import Machine
from rehearsal.service_manager import doubtful, said
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root

_POLICY = "/usr/sbin/policy-rc.d"


def policy(machine: Machine, lines: str) -> None:
    machine.write(_POLICY, f"#!/bin/sh\n{lines}\n", 0o755)


@pytest.mark.parametrize(
    ("call", "unit", "state"),
    [
        ("deb-systemd-invoke start UNIT.service", "idle", "inactive"),
        ("deb-systemd-invoke restart UNIT.service", "idle", "inactive"),
        ("invoke-rc.d UNIT start", "idle", "inactive"),
        ("invoke-rc.d --quiet UNIT restart", "idle", "inactive"),
        ("invoke-rc.d --force UNIT start", "idle", "active"),
        ("systemctl start UNIT; deb-systemd-invoke restart UNIT.service", "idle", "active"),
        ("systemctl stop UNIT; deb-systemd-invoke start UNIT.service", "web", "active"),
        ("systemctl stop UNIT; deb-systemd-invoke restart UNIT.service idle", "web", "active"),
        ("systemctl stop UNIT; deb-systemd-invoke --user restart UNIT.service", "web", "inactive"),
        ("systemctl stop UNIT; deb-systemd-invoke try-restart UNIT.service", "web", "inactive"),
        ("systemctl stop UNIT; invoke-rc.d UNIT restart", "web", "active"),
        ("systemctl stop UNIT; invoke-rc.d --skip-systemd-native UNIT restart", "web", "inactive"),
        ("invoke-rc.d --skip-systemd-native UNIT stop", "web", "active"),
        ("deb-systemd-invoke --no-dbus daemon-reload", "web", "active"),
        ("deb-systemd-invoke stop UNIT.service", "web", "inactive"),
        ("invoke-rc.d UNIT stop", "web", "inactive"),
    ],
)
def test_only_an_enabled_or_active_unit_is_started(units: Machine, call: str, unit: str, state: str) -> None:
    script = f"{{ {call.replace('UNIT', unit)}; }} > /dev/null 2>&1"
    assert said(units, f"{script}; systemctl is-active {unit} || true") == [state]


def test_a_unit_that_is_disabled_afterwards_was_started_all_the_same(units: Machine) -> None:
    wanted = "/etc/systemd/system/multi-user.target.wants/idle.service"
    script = f": > {wanted}; deb-systemd-invoke start idle.service; rm {wanted}; systemctl is-active idle"
    assert said(units, script) == ["active"]


@pytest.mark.parametrize("call", ["deb-systemd-invoke stop web.service", "invoke-rc.d web stop"])
@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("exit 101", "active"),
        ("exit 104", "inactive"),
        ("exit 0", "inactive"),
        ("echo $*; exit 0", "inactive"),
    ],
)
def test_the_machines_own_policy_is_asked(units: Machine, call: str, answer: str, state: str) -> None:
    policy(units, answer)
    assert said(units, f"{call} > /dev/null 2>&1; systemctl is-active web || true") == [state]


@pytest.mark.parametrize(
    ("lines", "call", "code", "state"),
    [
        ("exit 101", "invoke-rc.d --disclose-deny web stop", "101", "active"),
        ("exit 101", "invoke-rc.d --force web stop", "0", "inactive"),
        ("exit 101", "invoke-rc.d web status", "4", "active"),
        ("exit 102", "invoke-rc.d web stop", "102", "active"),
        ("exit 102", "deb-systemd-invoke stop web", "0", "inactive"),
        ("echo stop; exit 106", "invoke-rc.d web restart", "0", "inactive"),
        ("echo stop; exit 106", "invoke-rc.d --no-fallback web restart", "0", "active"),
        ('[ "$2" = stop ]', "invoke-rc.d web stop", "0", "inactive"),
        ('[ "$2" != "(restart)" ] || echo stop; exit 106', "invoke-rc.d web restart", "102", "active"),
        (
            '[ "$2" != "(start)" ] || exit 101',
            "systemctl stop web; rm $WANTED; invoke-rc.d web start",
            "0",
            "inactive",
        ),
        (
            '[ "$2" = "(start)" ] || exit 101',
            "systemctl stop web; rm $WANTED; invoke-rc.d web start",
            "0",
            "active",
        ),
    ],
)
def test_a_policy_is_followed_as_the_two_programs_follow_it(
    units: Machine, lines: str, call: str, code: str, state: str
) -> None:
    policy(units, lines)
    call = call.replace("$WANTED", "/etc/systemd/system/multi-user.target.wants/web.service")
    assert said(units, f"{{ {call}; }} > /dev/null 2>&1; echo $?; systemctl is-active web || true") == [
        code,
        state,
    ]


def test_whether_there_is_a_policy_is_answered_as_on_the_machine(units: Machine) -> None:
    assert said(units, f"[ -e {_POLICY} ] || echo none") == ["none"]
    policy(units, "exit 101  # this one")
    assert said(units, f"tail -n 1 {_POLICY}") == ["exit", "101", "#", "this", "one"]


def test_where_a_program_gets_no_stand_in_a_policy_lets_it_do_nothing(units: Machine) -> None:
    units.run("mount", "--bind", "/usr/sbin/invoke-rc.d", "/usr/sbin/invoke-rc.d")
    result = units.rehearse_shell("invoke-rc.d --disclose-deny web stop; echo =$?")
    assert b"=101" in result.output
    assert ["invoke-rc.d" in unknown.reason for unknown in result.unknowns] == [True]


def test_a_policy_that_a_package_brings_counts_from_then_on(units: Machine) -> None:
    script = (
        f"printf '#!/bin/sh\\nexit 101\\n' > {_POLICY}; chmod 755 {_POLICY}; invoke-rc.d web stop 2>/dev/null"
    )
    assert said(units, f"{script}; systemctl is-active web") == ["active"]


def test_a_purge_that_deletes_where_a_unit_was_not_started_does_so_in_the_rehearsal(
    units: Machine, tmp_path: Path
) -> None:
    units.write("/srv/data/table")
    asks = "deb-systemd-invoke restart idle.service; systemctl is-active -q idle"
    result = rehearse_purge(units, tmp_path, f"{asks} || rm -rf /srv/data/table")
    assert b"/srv/data/table" in deleted_by_script(result)
    assert doubtful(result) == []


def test_without_systemd_the_two_programs_do_as_they_do_without_it(units: Machine) -> None:
    units.run("rmdir", "/run/systemd/system")
    assert b"not been booted" in units.rehearse_shell("deb-systemd-invoke restart web.service").output
    assert said(units, "invoke-rc.d web stop; echo $?") == ["0"]
    result = units.rehearse_shell("invoke-rc.d --disclose-deny web stop")
    assert doubtful(result) == ["would run invoke-rc.d --disclose-deny web stop"]
