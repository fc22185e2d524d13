# SPDX-License-Identifier: GPL-3.0-or-later
"""What sysctl is asked is answered by the kernel, or not at all; what it writes counts as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.machine import Machine
from rehearsal.service_manager import doubtful, said
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root


@pytest.mark.parametrize(
    "call",
    [
        "sysctl -n kernel.ostype",
        "sysctl -n kernel.no_such_key",
        "sysctl -e kernel.no_such_key",
        "sysctl kernel/ostype vm.swappiness",
        "sysctl -n",
        "sysctl --dry-run kernel.no_such_key=1",
        "sysctl --version",
    ],
)
def test_a_question_about_a_setting_is_answered_as_on_the_machine(machine: Machine, call: str) -> None:
    script = f"{call} 2>/dev/null; echo =$?"
    assert said(machine, script) == machine.run("sh", "-c", script).stdout.split()


@pytest.mark.parametrize(
    "call",
    [
        "sysctl -w kernel.sysrq=0",
        "sysctl -q kernel.sysrq=0",
        "sysctl -qw kernel.sysrq=0",
        "sysctl net.ipv4.ip_forward=1",
        "sysctl --load=/etc/set",
        "sysctl -p /etc/set",
        "sysctl -qf /etc/set",
        "sysctl --system",
    ],
)
def test_writing_a_setting_succeeds_and_is_told(machine: Machine, call: str) -> None:
    machine.write("/etc/set", "kernel.sysrq = 0\n")
    result = machine.rehearse_shell(f"{call} > /dev/null 2>&1 && echo done")
    assert (result.output, result.unknowns) == (b"done\n", ())
    assert [(one.kind, one.detail) for one in result.effects] == [("kernel", f"would run {call}")]


@pytest.mark.parametrize(
    "call",
    [
        "sysctl -n net.ipv4.ip_forward",
        "sysctl net/ipv6/conf/all/disable_ipv6",
        "sysctl kernel.shmmax",
        "sysctl -a",
        "sysctl -r net.ipv4 --all",
    ],
)
def test_the_value_of_a_namespace_that_is_not_the_machines_is_no_answer(machine: Machine, call: str) -> None:
    assert doubtful(machine.rehearse_shell(f"{call} > /dev/null 2>&1 || true")) == [f"would run {call}"]


def test_a_purge_that_deletes_where_a_setting_is_missing_does_so_in_the_rehearsal(
    machine: Machine, tmp_path: Path
) -> None:
    machine.write("/srv/data/table")
    script = "if sysctl -n kernel.no_such_key >/dev/null 2>&1; then echo has; else rm -rf /srv/data/table; fi"
    assert b"/srv/data/table" in deleted_by_script(rehearse_purge(machine, tmp_path, script))
