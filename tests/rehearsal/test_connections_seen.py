# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever way a script takes to a server, the report tells where it wanted to and which script it was."""

from __future__ import annotations

import json
import subprocess
import sys
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


# A rehearsal by root without CAP_SYS_PTRACE: like any where kernel.yama.ptrace_scope is 3, it cannot read the
# memory of a process that is not dumpable.
_BLIND = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
_PROGRAM = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from aptguard.rehearsal.rehearse import rehearse
from aptguard.rehearsal.model import RehearsalRequest
from rehearsal.machine import ENVIRONMENT, LIMITS, shell
request = RehearsalRequest((shell(sys.argv[2]),), ENVIRONMENT, limits=LIMITS)
result = rehearse(request, mount_namespace=int(sys.argv[3]))
print(json.dumps([result.complete, [(one.kind, one.detail) for one in result.effects], result.notes]))
"""
_CLOSED = """python3 -c '
import ctypes, socket
ctypes.CDLL(None).prctl(4, 0)
for _ in range(2):
    with socket.socket() as end:
        end.connect_ex(("127.0.0.1", 9))
'"""


def rehearsed_blindly(machine: Machine, script: str) -> tuple[bool, list[list[str]], list[str]]:
    done = subprocess.run(
        [*_BLIND, sys.executable, "-c", _PROGRAM, json.dumps(sys.path), script, str(machine.namespace)],
        pass_fds=(machine.namespace,),
        capture_output=True,
        text=True,
        check=True,
    )
    complete, effects, notes = json.loads(done.stdout)
    return complete, effects, [note for note in notes if "could not be read" in note]


def test_a_connection_to_an_address_that_cannot_be_read_is_told_and_why(machine: Machine) -> None:
    complete, effects, notes = rehearsed_blindly(machine, _CLOSED)
    assert complete
    assert effects == [["socket", "would connect to an address that cannot be read"]]
    assert len(notes) == 1 and "CAP_SYS_PTRACE" in notes[0]
    complete, effects, notes = rehearsed_blindly(machine, _CLOSED.replace(".prctl(4, 0)", ".getpid()"))
    assert (complete, effects, notes) == (True, [["network", "would connect to 127.0.0.1 port 9"]], [])


def test_a_limit_that_cannot_be_read_is_no_refusal_that_hides_what_follows(machine: Machine) -> None:
    script = "ctypes.CDLL(None).prctl(4, 0); import resource; resource.setrlimit(7, (1 << 21, 1 << 21))"
    complete, _, notes = rehearsed_blindly(machine, f"python3 -c 'import ctypes; {script}'")
    assert complete and len(notes) == 1


def test_an_address_at_which_nothing_is_is_no_connection(machine: Machine) -> None:
    call = "import ctypes, socket; s = socket.socket(); ctypes.CDLL(None).connect(s.fileno(), 8, 16)"
    result = machine.rehearse_shell(f"python3 -c '{call}'")
    assert result.complete and result.effects == (), result
    assert not [note for note in result.notes if "could not be read" in note]
