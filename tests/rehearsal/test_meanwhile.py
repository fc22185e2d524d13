# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine changes during a rehearsal is noticed where it matters, and only there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from aptguard.rehearsal.model import RehearsalResult
from rehearsal.machine import Machine
from rehearsal.test_bounds import eventually, processes

pytestmark = pytest.mark.needs_root


def rehearse_while(machine: Machine, script: str, act: Callable[[], object]) -> RehearsalResult:
    """Rehearse ``script``, and do ``act`` on the machine when it has come to its end."""
    results: list[RehearsalResult] = []
    thread = threading.Thread(
        target=lambda: results.append(machine.rehearse_shell(script + "\n: >/srv/data/reached; sleep 1.37"))
    )
    thread.start()
    assert eventually(lambda: "sleep 1.37 " in processes().values())
    act()
    thread.join()
    return results[0]


def doubtful(result: RehearsalResult) -> list[bytes | None]:
    return [unknown.path for unknown in result.unknowns if "during the rehearsal" in unknown.reason]


def test_a_file_that_both_change_is_doubtful(machine: Machine) -> None:
    machine.write("/srv/data/both", "before\n")
    machine.write("/srv/data/deep/other", "before\n")
    machine.write("/etc/motd", "before\n")
    result = rehearse_while(
        machine,
        "echo script >>/srv/data/both; echo script >>/etc/motd; rm -r /srv/data/deep",
        lambda: [
            machine.write(path, "machine\n") for path in ("/srv/data/both", "/srv/data/new", "/etc/motd")
        ],
    )
    assert sorted(filter(None, doubtful(result))) == [b"/etc/motd", b"/srv/data/both"]


def test_a_file_that_only_the_machine_changes_is_not_doubtful(machine: Machine) -> None:
    machine.write("/srv/data/mine", "before\n")
    machine.write("/srv/data/yours", "before\n")
    result = rehearse_while(
        machine, "echo script >>/srv/data/mine", lambda: machine.write("/srv/data/yours", "machine\n")
    )
    assert doubtful(result) == []
    assert result.complete
    assert result.unknowns == ()


def test_a_log_that_a_service_goes_on_writing_is_not_doubtful(machine: Machine) -> None:
    for name in ("grown", "cut", "rewritten", "kept"):
        machine.write(f"/srv/data/{name}.log", "one\ntwo\n")
    machine.write("/srv/data/empty.log", "")
    result = rehearse_while(
        machine,
        "cd /srv/data; chmod 600 grown.log kept.log; : >>grown.log; chmod 600 empty.log; echo 1 >cut.log;"
        " : >>rewritten.log; chmod 600 rewritten.log",
        lambda: [
            machine.write("/srv/data/grown.log", "one\ntwo\nthree\n"),
            machine.write("/srv/data/empty.log", "one\n"),
            machine.write("/srv/data/cut.log", "one\ntwo\nthree\n"),
            machine.write("/srv/data/rewritten.log", "ONE\ntwo\nthree\n"),
            machine.write("/srv/data/kept.log", "ONE\ntwo\nthree\n"),
        ],
    )
    assert sorted(filter(None, doubtful(result))) == [b"/srv/data/cut.log", b"/srv/data/rewritten.log"]
    told = {change.path for change in result.changes}
    assert {b"/srv/data/grown.log", b"/srv/data/empty.log"} <= told


def test_a_file_that_was_changed_just_before_is_not_doubtful(machine: Machine) -> None:
    machine.write("/srv/data/file", "before\n")
    assert doubtful(machine.rehearse_shell("echo x >>/srv/data/file")) == []


@pytest.mark.parametrize(
    ("script", "expected"), [("rm -rf /srv/late", [b"/srv/late"]), ("rm -rf /srv/other", [])]
)
def test_a_file_system_that_is_mounted_meanwhile_counts_where_something_was_deleted(
    machine: Machine, script: str, expected: list[bytes]
) -> None:
    for directory in ("/srv/late", "/srv/other"):
        os.makedirs(machine.path(directory + "/below"))
    result = rehearse_while(machine, script, lambda: machine.run("mount", "-t", "tmpfs", "x", "/srv/late"))
    assert doubtful(result) == expected
