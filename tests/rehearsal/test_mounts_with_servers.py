# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems that wait for a server: covered when it answers; else who goes there makes it unknown."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aptguard.rehearsal.answering import silent_mounts
from aptguard.rehearsal.model import RehearsalResult
from rehearsal import fuse_server
from rehearsal.disks import mount, needs_file_system
from rehearsal.fuse_server import served
from rehearsal.machine import LIMITS, Machine
from rehearsal.test_faults import Faulty
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root

EVERYBODY = "user_id=0,allow_other"
ITS_OWNER = "user_id=65534"
DOES_NOT_ANSWER = "does not answer"


@pytest.fixture(autouse=True)
def the_kernel_has_them() -> Iterator[None]:
    for kind in ("fuse", "autofs"):
        needs_file_system(kind)
    yield


@pytest.fixture
def faulty(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faulty:
    machine.write("/srv/data/old")
    return Faulty(machine, tmp_path.parent, monkeypatch)


def reasons(result: RehearsalResult, point: str) -> list[str]:
    return [unknown.reason for unknown in result.unknowns if unknown.path == point.encode()]


def test_what_a_package_deletes_in_a_file_system_in_user_space_is_named_and_stays(
    machine: Machine, tmp_path: Path
) -> None:
    with served(machine, "/srv/fuse", EVERYBODY):
        result = rehearse_purge(
            machine, tmp_path, "cat /srv/fuse/db/one; rm -rf /srv/fuse/db; touch /srv/fuse/n"
        )
        assert machine.read("/srv/fuse/db/one") == machine.read("/srv/fuse/db/two") == "kept\n"
        really = machine.run("rm", "-r", "/srv/fuse/db")
        assert really.returncode == 0, really.stderr
        assert os.listdir(machine.path("/srv/fuse")) == ["mail"]
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert b"kept\n" in result.output
    assert deleted_by_script(result) == {b"/srv/fuse/db", b"/srv/fuse/db/one", b"/srv/fuse/db/two"}
    assert b"/srv/fuse/n" in [change.path for change in result.changes if change.created]


def test_a_part_of_it_that_is_bound_elsewhere_is_the_same_there(machine: Machine) -> None:
    with served(machine, "/srv/fuse", EVERYBODY):
        mount(machine, "--bind", "/srv/fuse/db", "/mnt")
        machine.write("/etc/one")
        mount(machine, "--bind", "/srv/fuse/db/one", "/etc/one")
        result = machine.rehearse_shell("rm /mnt/two; [ ! -e /srv/fuse/db/two ]; chmod 600 /etc/one")
    assert result.complete, (result.unknowns, result.output)
    assert {change.path for change in result.changes} == {
        b"/mnt/two",
        b"/srv/fuse/db/two",
        b"/etc/one",
        b"/mnt/one",
        b"/srv/fuse/db/one",
    }


NEVER, STOPPED, ENDED = "it reads and never answers", "it is stopped", "it has ended"


@pytest.mark.parametrize(
    ("script", "goes_there", "how"),
    [
        ("rm -rf /srv/dead/db/*", True, NEVER),
        ("rm -rf /srv/dead", True, NEVER),
        ("cd /srv/dead; exit 0", True, STOPPED),
        ("[ -e /srv/dead/x ]", True, STOPPED),
        ("chmod 700 /srv/dead", True, ENDED),
        ("rm -rf /srv/*", True, ENDED),
        ("stat /srv/dead; rm -rf /srv/data/*; ls -l /srv", False, NEVER),
    ],
)
def test_a_server_that_does_not_answer_makes_it_unknown_for_who_goes_there(
    machine: Machine, script: str, goes_there: bool, how: str
) -> None:
    silent = fuse_server.ALL if how == NEVER else ""
    with served(machine, "/srv/dead", EVERYBODY, silent) as server:
        if how == STOPPED:
            machine.run("ls", "/srv/dead")
            os.kill(server.pid, signal.SIGSTOP)
        if how == ENDED:
            server.kill()
            server.wait()
        result = machine.rehearse_shell(script + "; exit 0")
    assert result.steps[0].status == 0, (result.unknowns, result.output)
    assert [bool(reasons(result, "/srv/dead")), bool(result.unknowns)] == [goes_there, goes_there], result
    wanted = "answers with an error" if how == ENDED else DOES_NOT_ANSWER
    assert all(wanted in reason for reason in reasons(result, "/srv/dead"))
    assert not [change for change in result.changes if change.path.startswith(b"/srv/dead")]


def test_a_package_that_goes_where_a_server_is_silent_is_never_allowed(
    machine: Machine, tmp_path: Path
) -> None:
    with served(machine, "/srv/dead", EVERYBODY, fuse_server.ALL):
        result = rehearse_purge(machine, tmp_path, "rm -rf /srv/dead/db 2>/dev/null || true")
    assert result.complete
    assert DOES_NOT_ANSWER in reasons(result, "/srv/dead")[0]


def test_what_is_mounted_below_a_silent_place_is_reached_only_through_it(machine: Machine) -> None:
    with served(machine, "/srv/dead", EVERYBODY) as server:
        mount(machine, "-t", "tmpfs", "x", "/srv/dead/mail")
        machine.write("/srv/dead/mail/file")
        os.kill(server.pid, signal.SIGSTOP)
        quiet = machine.rehearse_shell("exit 0")
        result = machine.rehearse_shell("rm -rf /srv/dead/mail/*; exit 0")
        os.kill(server.pid, signal.SIGCONT)
        assert machine.read("/srv/dead/mail/file") == "kept\n"
    assert quiet.unknowns == ()
    assert reasons(result, "/srv/dead")


def test_many_silent_servers_together_take_no_longer_than_one(machine: Machine) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        for number in range(5):
            stack.enter_context(served(machine, f"/srv/dead{number}", EVERYBODY, fuse_server.ALL))
        result = machine.rehearse_shell("exit 0")
    assert result.unknowns == ()
    assert result.timing["set-up"] < 5 * 1.0


def test_a_file_system_that_only_its_owner_may_look_into_makes_it_unknown_for_who_goes_there(
    machine: Machine,
) -> None:
    """What sshfs, gvfs and the document portal mount for a user; root itself gets no further."""
    with served(machine, "/srv/own", ITS_OWNER):
        assert machine.run("ls", "/srv/own").returncode != 0
        as_owner = "setpriv --reuid=65534 --regid=0 --clear-groups"
        really = machine.run(*as_owner.split(), "rm", "/srv/own/db/one")
        assert really.returncode == 0, really.stderr
        quiet = machine.rehearse_shell("rm -rf /srv/data/*")
        result = machine.rehearse_shell(f"{as_owner} rm /srv/own/db/two || true")
    assert quiet.unknowns == ()
    assert [note for note in quiet.notes if note.startswith("/srv/own is not rehearsed")]
    assert len(reasons(result, "/srv/own")) == 1, result


def test_a_server_that_is_never_asked_need_not_answer(machine: Machine) -> None:
    """What is deleted in the overlay does not reach the server."""
    with served(machine, "/srv/fuse", EVERYBODY, silent=str(fuse_server.UNLINK)):
        result = machine.rehearse_shell("rm -rf /srv/fuse/db")
    assert result.complete
    assert result.unknowns == ()


def test_a_server_that_falls_silent_while_a_script_waits_does_not_hold_the_verdict(machine: Machine) -> None:
    """The process that waits cannot be killed: the rehearsal ends without it, and nothing of it counts."""
    with served(machine, "/srv/fuse", EVERYBODY, silent=str(fuse_server.READ)):
        result = machine.rehearse_shell("cat /srv/fuse/db/one", replace(LIMITS, seconds=4.0))
    assert not result.complete
    assert any("cannot be ended" in unknown.reason for unknown in result.unknowns), result


def test_a_server_that_falls_silent_while_changes_are_read_does_not_hold_the_verdict(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aptguard.rehearsal.rehearse._OUTER_SECONDS", 1.0)
    # The first is asked before the rehearsal, the next five by rm, the seventh by who reads what rm did.
    with served(machine, "/srv/fuse", EVERYBODY, silent=f"{fuse_server.READDIR}@7"):
        result = machine.rehearse_shell("rm -rf /srv/fuse/db; exit 0", replace(LIMITS, seconds=1.0))
    assert not result.complete
    assert any("no answer within" in unknown.reason for unknown in result.unknowns), result


def autofs_mounted(machine: Machine, point: str, kind: str) -> int:
    """Mount an automount point as a daemon does; return the end of the pipe that tells of who triggers it."""
    os.makedirs(machine.path(point), exist_ok=True)
    ours, theirs = os.pipe()
    try:
        options = f"fd={theirs},pgrp={os.getpgrp()},minproto=5,maxproto=5,{kind}"
        done = machine.run("mount", "-i", "-t", "autofs", "-o", options, "x", point, pass_fds=[theirs])
        assert done.returncode == 0, done.stderr
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)
    return ours


@pytest.mark.parametrize("kind", ["direct", "indirect"])
def test_an_automount_point_is_not_triggered_and_who_goes_there_makes_it_unknown(
    machine: Machine, tmp_path: Path, kind: str
) -> None:
    pipe = autofs_mounted(machine, "/srv/auto", kind)
    try:
        quiet = machine.rehearse_shell("ls -l /srv; rm -rf /srv/data/*")
        result = rehearse_purge(machine, tmp_path, "rm -rf /srv/auto/share/* || true")
        with pytest.raises(BlockingIOError):
            os.read(pipe, 4096)
    finally:
        os.close(pipe)
    assert quiet.unknowns == ()
    assert "automount" in reasons(result, "/srv/auto")[0]


def test_what_an_automounter_has_mounted_is_not_asked_and_reached_only_through_its_point(
    machine: Machine,
) -> None:
    show_connections(machine)
    pipe = autofs_mounted(machine, "/srv/auto", "indirect")
    try:
        with served(machine, "/srv/auto/share", EVERYBODY, fuse_server.ALL):
            quiet = machine.rehearse_shell("exit 0")
            assert waiting_at(machine, "/srv/auto/share") == 0
            result = machine.rehearse_shell("rm -rf /srv/auto/share/db; exit 0")
    finally:
        os.close(pipe)
    assert quiet.unknowns == ()
    assert [unknown.path for unknown in result.unknowns] == [b"/srv/auto"]


def test_who_asks_a_silent_server_is_not_asked_to_wait_again(machine: Machine) -> None:
    """Else each transaction would leave one more process that cannot be killed."""
    show_connections(machine)
    with served(machine, "/srv/dead", EVERYBODY, fuse_server.ALL):
        for _ in range(3):
            assert machine.rehearse_shell("exit 0").unknowns == ()
        assert waiting_at(machine, "/srv/dead") == 1


def show_connections(machine: Machine) -> None:
    """Have the file system that lists the connections of FUSE, where systemd has not mounted it already."""
    if not os.path.ismount(machine.path("/sys/fs/fuse/connections")):
        mount(machine, "-t", "fusectl", "x", "/sys/fs/fuse/connections")


def waiting_at(machine: Machine, point: str) -> int:
    """Return how many requests the server of the file system at ``point`` owes an answer."""
    lines = machine.read(f"/proc/{machine.pid}/mountinfo").splitlines()
    device = next(line.split()[2] for line in lines if f" {point} " in line)
    return int(machine.read(f"/sys/fs/fuse/connections/{device.partition(':')[2]}/waiting"))


def test_what_answers_is_not_silent(machine: Machine) -> None:
    assert silent_mounts(b"27 1 254:0 / / rw - ext4 d rw\n30 27 0:9 / /proc rw - nfs4 h:/ rw\n") == {}


def test_every_call_that_fails_where_something_is_not_covered_makes_it_unknown(faulty: Faulty) -> None:
    machine = faulty.machine
    with served(machine, "/srv/fuse", EVERYBODY), served(machine, "/srv/own", ITS_OWNER):
        sites = [site for site in faulty.sites() if site.partition(":")[0] in {"answering.py", "tripwire.py"}]
        assert len(sites) > 8
        harmless = []
        for site in sites:
            faulty.prepare(site=site)
            result = faulty.run()
            if result.complete and not result.unknowns:
                harmless.append(site)
    # Where fusectl is not mounted; and the owner and mode of a tripwire, which then look other.
    assert {site.split(" ", 1)[1] for site in harmless} <= {"_has_waited_long open"}
