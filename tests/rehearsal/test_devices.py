# SPDX-License-Identifier: GPL-3.0-or-later
"""/dev of a rehearsal: its devices work, and what a script does to them is told and done to no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aptguard.changes.model import Kind
from aptguard.rehearsal.model import RehearsalResult
from rehearsal.machine import Machine, shell
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root

_NODES = ("null", "zero", "full", "random", "urandom", "tty")
# Root without CAP_MKNOD, as in a container: the machine is there, its rehearsal has no nodes of its own.
_POWERLESS = ["setpriv", "--bounding-set=-mknod", "--inh-caps=-mknod"]
_PROGRAM = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from aptguard.rehearsal.rehearse import rehearse
from aptguard.rehearsal.model import RehearsalRequest
from rehearsal.machine import ENVIRONMENT, LIMITS, shell
request = RehearsalRequest((shell(sys.argv[2]),), ENVIRONMENT, limits=LIMITS)
result = rehearse(request, mount_namespace=int(sys.argv[3]))
changed = [change.path.decode() for change in result.changes]
print(json.dumps([result.complete, len(result.unknowns), result.notes, result.output.decode(), changed]))
"""


@pytest.fixture(autouse=True)
def the_machines_own_stay() -> Iterator[None]:
    def look() -> list[tuple[int, ...]]:
        found = [os.lstat(f"/dev/{name}") for name in _NODES]
        return [(one.st_ino, one.st_mode, one.st_uid, one.st_gid, one.st_rdev) for one in found]

    before = look()
    yield
    assert look() == before


def kinds(result: RehearsalResult) -> dict[bytes, frozenset[Kind]]:
    return {change.path: change.kinds for change in result.changes}


@pytest.mark.parametrize(
    ("deed", "found"),
    [
        ("rm -f /dev/null 2>/dev/null || true", {"/dev/null": Kind.DELETED}),
        ("mv /srv/data/x /dev/null", {"/dev/null": Kind.TYPE, "/srv/data/x": Kind.DELETED}),
        ("ln -sf x /dev/null", {"/dev/null": Kind.TYPE}),
        ("ln -sfn x /dev/stdin", {"/dev/stdin": Kind.TARGET}),
        ("rm /dev/tty; mkfifo /dev/tty", {"/dev/tty": Kind.TYPE}),
        ("mv /dev/random /dev/full", {"/dev/random": Kind.DELETED, "/dev/full": Kind.DEVICE}),
        ("chmod 600 /dev/null", {"/dev/null": Kind.MODE}),
        ("chown 1 /dev/zero", {"/dev/zero": Kind.OWNER}),
        ("rm /dev/ptmx", {"/dev/ptmx": Kind.DELETED}),
        ("chmod 700 /dev", {"/dev": Kind.MODE}),
        ("mkdir /dev/foo; echo x >/dev/foo/x", {"/dev/foo": Kind.CREATED, "/dev/foo/x": Kind.CREATED}),
    ],
)
def test_what_a_script_does_in_dev_is_told(machine: Machine, deed: str, found: dict[str, Kind]) -> None:
    machine.write("/srv/data/x")
    result = machine.rehearse_shell(deed)
    assert result.complete and result.unknowns == (), result
    assert kinds(result) == {path.encode(): frozenset({kind}) for path, kind in found.items()}


def test_it_is_told_who_did_it(machine: Machine, tmp_path: Path) -> None:
    result = rehearse_purge(machine, tmp_path, 'LOGFILE=/dev/null; rm -f "$LOGFILE" 2>/dev/null || true')
    assert b"/dev/null" in deleted_by_script(result)


def test_it_can_end_the_run_early(machine: Machine, tmp_path: Path) -> None:
    deed = "rm /dev/null /dev/full; sleep 100"
    result = rehearse_purge(machine, tmp_path, deed, stop_patterns=(b"/dev/null",))
    assert result.ended_early
    assert {b"/dev/null", b"/dev/full"} <= deleted_by_script(result)


def test_the_devices_work_for_everybody_and_their_use_is_no_change(machine: Machine) -> None:
    use = (
        "set -e; for name in null zero full random urandom tty ptmx; do [ -c /dev/$name ]; done; "
        'echo x >/dev/null; [ -z "$(cat /dev/null)" ]; [ $(head -c 9 /dev/zero | wc -c) = 9 ]; '
        "[ $(head -c 9 /dev/urandom | wc -c) = 9 ]; ! echo x 2>&- >/dev/full; echo x | cat /dev/stdin; "
        "(echo x >/dev/stdout; echo x >/dev/fd/1) | cat; : <>/dev/ptmx; ! cat </dev/tty"
    )
    script = (
        f"chmod 666 /dev/null; chown 0:$(stat -c %g /dev/tty) /dev/tty; cat >/tmp/use <<'END'\n{use}\nEND\n"
        "sh -x /tmp/use && setpriv --reuid=65534 --regid=65534 --clear-groups sh -x /tmp/use"
    )
    result = machine.rehearse_shell(script)
    assert result.complete, result.output
    assert set(kinds(result)) == {b"/tmp/use"}


def test_the_nodes_have_owner_mode_and_time_of_the_machines(machine: Machine) -> None:
    listing = "stat -c '%n %a %u:%g %t:%T %Y' " + " ".join(f"/dev/{name}" for name in _NODES)
    assert machine.rehearse_shell(listing).output.decode() == machine.run("sh", "-c", listing).stdout


def test_the_rehearsals_own_place_is_no_change(machine: Machine) -> None:
    result = machine.rehearse_shell("[ -d /dev/.rehearsal ] && systemctl stop x.service")
    assert result.complete and result.effects
    assert result.changes == ()


def test_the_next_call_runs_though_the_null_device_is_gone(machine: Machine) -> None:
    for deed in ("rm /dev/null", "rm /dev/null; mkfifo /dev/null"):
        result = machine.rehearse(shell(deed), shell("cat; echo still here"))
        assert result.complete and result.output == b"still here\n", result


def test_a_dev_that_is_no_mount_of_its_own_is_told_under_every_name(machine: Machine) -> None:
    nodes = "; ".join(
        f"mknod -m 666 /dev/{name} c {os.major(device)} {os.minor(device)}"
        for name, device in ((name, os.stat(f"/dev/{name}").st_rdev) for name in _NODES)
    )
    done = machine.run(
        "sh",
        "-ec",
        f"umount -l /dev; rm -rf /dev/*; {nodes}; mkdir -p /srv/jail; mount --bind /dev /srv/jail",
    )
    assert done.returncode == 0, done.stderr
    result = machine.rehearse_shell("rm /dev/null /srv/jail/full")
    assert result.complete and result.unknowns == (), result
    names = {f"{place}/{name}".encode() for place in ("/dev", "/srv/jail") for name in ("null", "full")}
    assert {change.path for change in result.changes if change.deleted} == names


def test_without_the_right_to_make_nodes_the_machines_are_shown_and_a_note_says_so(machine: Machine) -> None:
    script = "echo x >/dev/null; cat /dev/null; rm /dev/null; chmod 600 /dev/null; mkdir /dev/foo; exit 0"
    command = [*_POWERLESS, sys.executable, "-c", _PROGRAM, json.dumps(sys.path), script]
    done = subprocess.run(
        [*command, str(machine.namespace)],
        pass_fds=(machine.namespace,),
        capture_output=True,
        text=True,
        check=True,
    )
    complete, unknowns, notes, output, changed = json.loads(done.stdout)
    assert complete and not unknowns and changed == []
    assert [note for note in notes if note.startswith("changes in /dev are not seen")], notes
    assert "rm: cannot remove '/dev/null': Device or resource busy" in output
    assert "Read-only file system" in output
