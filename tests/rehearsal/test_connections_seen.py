# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever way a script takes to a server, the report tells where it wanted to and which script it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from aptguard.rehearsal.model import Effect
from packages.builder import build_deb
from rehearsal.machine import LIMITS, Machine
from rehearsal.test_watch_rehearsal import purge

pytestmark = pytest.mark.needs_root

_POSTRM = """[ "$1" = purge ] || exit 0
bash -c 'echo drop >/dev/tcp/127.0.0.1/5432' || true
/usr/bin/client || true
getent passwd root >/dev/null
"""
# As psql is a link to pg_wrapper: no stand-in is there for it, and nothing of its name tells what it does.
_CLIENT = """#!/usr/bin/python3
import socket
with socket.socket(socket.AF_UNIX) as end:
    end.connect("/run/postgresql/.s.PGSQL.5432")
"""


def test_connections_by_the_shell_and_by_a_program_are_told_with_their_script(
    machine: Machine, tmp_path: Path
) -> None:
    machine.install(build_deb(tmp_path, "toy", scripts={"postrm": _POSTRM}))
    machine.write("/usr/share/client/client", _CLIENT, 0o755)
    assert machine.run("ln", "-s", "/usr/share/client/client", "/usr/bin/client").returncode == 0
    result = machine.rehearse(*purge("toy"))
    assert result.complete and result.unknowns == ()
    assert [effect for effect in result.effects if effect.kind in {"socket", "network"}] == [
        Effect("network", "would connect to 127.0.0.1 port 5432", "toy postrm purge"),
        Effect("socket", "would connect to /run/postgresql/.s.PGSQL.5432", "toy postrm purge"),
    ]


def test_a_flood_of_connections_goes_on_and_is_told_once(machine: Machine) -> None:
    flood = (
        "import socket\n"
        "for _ in range(2000):\n"
        "    with socket.socket() as end:\n"
        "        assert end.connect_ex(('127.0.0.1', 9)) == 111\n"
        "for port in range(1, 200):\n"
        "    with socket.socket() as end:\n"
        "        assert end.connect_ex(('127.0.0.1', port)) == 111\n"
    )
    result = machine.rehearse_shell(f'python3 -c "{flood}"', LIMITS)
    assert result.complete and result.unknowns == (), result.output
    assert result.effects == (Effect("network", "would connect to 127.0.0.1 port 9"),)


def test_a_process_that_is_killed_while_it_connects_ends_nothing_else(machine: Machine) -> None:
    connecting = "while :; do : >/dev/tcp/127.0.0.1/9; done"
    start = f"for i in 1 2 3; do bash -c '{connecting}' 2>/dev/null & pids=\"$pids $!\"; done"
    result = machine.rehearse_shell(f"{start}; sleep 0.3; kill -9 $pids; wait; : >/srv/data/after; exit 0")
    assert result.complete and result.unknowns == (), result.output
    assert b"/srv/data/after" in {change.path for change in result.changes}
