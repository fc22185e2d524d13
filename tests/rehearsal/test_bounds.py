# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal ends within its bounds, says so, and leaves nothing, whatever scripts do, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from aptguard.rehearsal.model import RehearsalRequest, RehearsalResult, Step
from aptguard.rehearsal.rehearse import rehearse
from rehearsal.machine import ENVIRONMENT, LIMITS, Machine, shell

pytestmark = pytest.mark.needs_root


def processes() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                found[int(name)] = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        before = file.read()
    yield
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert file.read() == before


def cut_off(result: RehearsalResult, words: str) -> bool:
    return not result.complete and any(words in unknown.reason for unknown in result.unknowns)


def test_a_script_that_never_ends_is_cut_off_and_what_it_did_is_known(machine: Machine) -> None:
    machine.write("/srv/data/one")
    result = machine.rehearse_shell(
        "rm /srv/data/one; while :; do :; done # endless-41", replace(LIMITS, seconds=1.0)
    )
    assert cut_off(result, "not done after 1 seconds"), result
    assert [change.path for change in result.changes if change.deleted] == [b"/srv/data/one"]
    assert not [line for line in processes().values() if "endless-41" in line]


def test_a_process_left_behind_is_named_and_ended(machine: Machine) -> None:
    result = machine.rehearse_shell("setsid sleep 4242 & sleep 0.1; exit 0")
    assert any("sleep 4242" in unknown.reason for unknown in result.unknowns), result
    assert not [line for line in processes().values() if "sleep 4242" in line]


def test_a_process_that_ends_soon_is_waited_for(machine: Machine) -> None:
    result = machine.rehearse_shell(
        "(sleep 0.2; touch /srv/data/late) & exit 0", replace(LIMITS, leftover_seconds=20)
    )
    assert result.complete
    assert result.unknowns == ()
    assert b"/srv/data/late" in [change.path for change in result.changes]


def bounded(result: RehearsalResult, words: str) -> bool:
    return not result.complete and any(words in unknown.reason for unknown in result.unknowns)


@pytest.mark.parametrize(
    "script",
    ["bomb() { bomb & bomb; }; bomb", "bomb() { bomb & bomb; }; bomb & exit 0"],
    ids=["in a script", "left behind by it"],
)
def test_a_fork_bomb_ends(machine: Machine, script: str) -> None:
    limits = replace(LIMITS, processes=64, seconds=20, leftover_seconds=20)
    result = machine.rehearse_shell(script, limits)
    assert bounded(result, "more than 64 processes"), result.unknowns


def test_who_looks_at_the_bounds_comes_before_all_that_scripts_run(machine: Machine) -> None:
    """Else a bomb leaves it no processor where a session is not scheduled apart from others."""
    asks = "import os; print(*(os.getpriority(os.PRIO_PROCESS, pid) for pid in (1, 0)))"
    result = machine.rehearse_shell(f"python3 -c '{asks}'")
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert result.output.split() == [b"-20", b"%d" % max(own, 0)], result.output


def test_a_bomb_of_threads_ends(machine: Machine) -> None:
    code = "import threading\nwhile True: threading.Thread(target=threading.Event().wait).start()"
    result = machine.rehearse_shell(
        f"/usr/bin/python3 -c '{code}'", replace(LIMITS, processes=20, seconds=20)
    )
    assert bounded(result, "more than 80 threads"), result.unknowns


# The bound is passed when the init process is ready to begin; told to stop it ends, while this one attaches.
_SLOW_OBSERVER = """
import os, sys, time
sys.path[:0] = sys.argv[1:3]
from dataclasses import replace
from aptguard.rehearsal import helper, linux
from aptguard.rehearsal.model import RehearsalRequest
from aptguard.rehearsal.observer import NoObserver
from aptguard.rehearsal.supervisor import Supervisor
from rehearsal.machine import ENVIRONMENT, LIMITS, shell
class Slow(NoObserver):
    def __init__(self, _request):
        super().__init__((), "slow")
        time.sleep(0.5)
    def attach(self, *scene):
        time.sleep(0.5)
helper._load_all()
linux.setns(os.open(f"/proc/{sys.argv[3]}/ns/mnt", os.O_RDONLY), linux.CLONE_NEWNS)
request = RehearsalRequest((shell("true"),), ENVIRONMENT, limits=replace(LIMITS, seconds=0.0))
result = Supervisor(request, None, Slow, print).run()
print(result.complete, [unknown.reason for unknown in result.unknowns])
"""


def test_a_bound_that_is_reached_before_anything_has_begun_is_told(machine: Machine) -> None:
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [os.path.join(os.path.dirname(here), "src"), here]
    done = subprocess.run(
        [sys.executable, "-c", _SLOW_OBSERVER, *paths, str(machine.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("False ['it was not done after 0 seconds', "), done.stdout + done.stderr
    assert "did not let the rehearsal begin" in done.stdout


def test_a_script_that_waits_for_input_gets_none(machine: Machine) -> None:
    result = machine.rehearse_shell("read -r line; echo got $?; read -r line </dev/tty; echo got $?; exit 0")
    assert result.complete, result.unknowns
    assert result.output.count(b"got 1") + result.output.count(b"got 2") == 2


def test_a_script_that_waits_for_ever_is_cut_off(machine: Machine) -> None:
    result = machine.rehearse_shell("mkfifo /tmp/f; cat /tmp/f", replace(LIMITS, seconds=1.0))
    assert cut_off(result, "not done after 1 seconds")


@pytest.mark.parametrize("place", ["/srv/data", "/var/tmp", "/dev", "/dev/shm"])
def test_a_script_that_fills_the_room_is_unknown(machine: Machine, place: str) -> None:
    result = machine.rehearse_shell(
        f"cat /dev/zero >{place}/big; exit 0", replace(LIMITS, upper_bytes=8 << 20, seconds=20)
    )
    assert bounded(result, "8 MiB that a rehearsal has room for"), result.unknowns


def test_a_script_that_fills_the_room_and_frees_it_at_once_was_refused_nothing(machine: Machine) -> None:
    """Or it would have gone another way than on the machine, with no trace of that at the end."""
    result = machine.rehearse_shell(
        "dd if=/dev/zero of=/srv/data/big bs=1M count=12 2>/dev/null && echo there was room\n"
        "fallocate -l 30M /srv/data/large && echo there was room\n"
        "truncate -s 300G /srv/data/long && echo and more\n"
        "rm /srv/data/big /srv/data/large /srv/data/long",
        replace(LIMITS, upper_bytes=8 << 20, seconds=20),
    )
    # A look may or may not come while it is full; either way the script saw what the machine shows.
    if result.complete:
        assert result.output == b"there was room\nthere was room\nand more\n"
    else:
        assert bounded(result, "8 MiB that a rehearsal has room for")


def test_a_workspace_without_inodes_is_unknown(machine: Machine) -> None:
    result = machine.rehearse_shell(
        "i=0; while [ $i -lt 3000 ]; do : >/srv/data/$i; i=$((i+1)); done; exit 0",
        replace(LIMITS, upper_inodes=1000),
    )
    assert bounded(result, "1000 files"), result.unknowns


_HOGS = {
    "one process": "x = []\nwhile True: x.append(b'x' * 1048576)",
    "many processes": "import os\nfor _ in range(4): os.fork()\nx = []\nwhile True: x.append(b'x' * 1048576)",
    "a process whose failure is hidden": "x = []\nwhile True: x.append(b'x' * 1048576)",
}


@pytest.mark.parametrize("hog", _HOGS, ids=str)
def test_a_memory_hog_is_unknown(machine: Machine, hog: str) -> None:
    limits = replace(LIMITS, memory_bytes=200 << 20, seconds=20)
    result = machine.rehearse_shell(f'/usr/bin/python3 -c "{_HOGS[hog]}" || true', limits)
    assert bounded(result, "more than 200 MiB of memory"), result.unknowns


def test_memory_that_is_only_asked_for_is_not_held_against_a_script(machine: Machine) -> None:
    # MAP_NORESERVE (mman.h), or a machine with less memory refuses it itself.
    code = "import mmap; print(len(mmap.mmap(-1, 1 << 32, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)))"
    result = machine.rehearse_shell(f"/usr/bin/python3 -c '{code}'", replace(LIMITS, memory_bytes=200 << 20))
    assert result.complete, result.unknowns


def test_shared_memory_without_an_owner_is_bounded(machine: Machine) -> None:
    code = "import ctypes; print(ctypes.CDLL(None).shmget(0, ctypes.c_size_t(300 << 20), 0o1600) < 0)"
    result = machine.rehearse_shell(f"/usr/bin/python3 -c '{code}'", replace(LIMITS, memory_bytes=200 << 20))
    assert result.output == b"True\n"


def test_a_flood_of_output_is_bounded(machine: Machine) -> None:
    result = machine.rehearse_shell("yes", replace(LIMITS, output_bytes=1 << 16, seconds=30))
    assert cut_off(result, "bytes of output"), result.unknowns
    assert len(result.output) <= 1 << 16


def test_more_changes_than_wanted_are_unknown(machine: Machine) -> None:
    result = machine.rehearse_shell("cd /srv/data; touch 1 2 3 4 5 6 7 8 9", replace(LIMITS, changes=5))
    assert not result.complete
    assert result.unknowns
    assert len(result.changes) <= 5


def test_a_program_that_is_not_there_is_unknown(machine: Machine) -> None:
    result = machine.rehearse(Step((b"/nonexistent/dpkg",)))
    assert not result.complete
    assert "nonexistent" in result.unknowns[0].reason


def test_a_rehearsal_of_no_machine_is_unknown() -> None:
    with open("/dev/null", "rb") as not_a_namespace:
        result = rehearse(
            RehearsalRequest((shell("true"),), ENVIRONMENT), mount_namespace=not_a_namespace.fileno()
        )
    assert not result.complete
    assert result.unknowns


_CALLER = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from rehearsal.machine import shell, ENVIRONMENT
from aptguard.rehearsal.model import RehearsalRequest
from aptguard.rehearsal.rehearse import rehearse
import os
namespace = os.open(sys.argv[2], os.O_RDONLY)
script = shell("echo x >/srv/data/begun; sleep 777")
rehearse(RehearsalRequest((script,), ENVIRONMENT), mount_namespace=namespace)
"""


def tree_of(pid: int) -> list[int]:
    """Return pid and all its descendants, the eldest first."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as file:
                    found.extend(map(int, file.read().split()))
    return found


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["the caller", "the helper", "the init process"])
def test_whoever_is_killed_nothing_stays(machine: Machine, victim: int) -> None:
    path = ":".join(sys.path)
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER, path, machine.path("").replace("/root", "/ns/mnt")]
    )
    try:
        assert eventually(lambda: "sleep 777 " in map(processes().get, tree_of(caller.pid)))
        everybody = tree_of(caller.pid)
        os.kill(everybody[victim], signal.SIGKILL)
        caller.wait(timeout=60)
        assert eventually(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in everybody))
    finally:
        caller.kill()
        caller.wait()
    assert not os.path.exists(machine.path("/srv/data/begun"))


def test_two_rehearsals_at_once_do_not_meet(machine: Machine) -> None:
    results: dict[str, RehearsalResult] = {}

    def run(name: str) -> None:
        results[name] = machine.rehearse_shell(f"touch /srv/data/{name}; sleep 0.3; ls /srv/data")

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, result in results.items():
        assert result.output.decode().split() == [name]
        assert [change.path.decode() for change in result.changes if change.created] == [f"/srv/data/{name}"]


def test_an_exception_of_the_caller_kills_everything(machine: Machine, tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def progress(_line: str) -> None:
        raise EnoughError

    # a maintainer script of this name makes the watcher tell of it
    machine.write("/var/lib/dpkg/info/foo.postrm", "#!/bin/sh\nsleep 778\n", 0o755)
    steps = (
        Step((b"/usr/bin/dpkg", b"--configure", b"-a")),
        Step((b"/var/lib/dpkg/info/foo.postrm", b"purge")),
    )
    with pytest.raises(EnoughError):
        rehearse(RehearsalRequest(steps, ENVIRONMENT), progress=progress, mount_namespace=machine.namespace)
    assert eventually(lambda: not [line for line in processes().values() if "sleep 778" in line])
