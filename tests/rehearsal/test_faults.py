# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever call fails, whoever is killed and when: the result is unknown, and nothing stays."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import aptguard.rehearsal.rehearse as rehearse_module
from aptguard.rehearsal.model import RehearsalResult
from rehearsal.disks import mount
from rehearsal.machine import LIMITS, Machine
from rehearsal.test_bounds import eventually, tree_of
from rehearsal.test_first_process import show_first_process

pytestmark = pytest.mark.needs_root

_HERE = os.path.dirname(os.path.abspath(__file__))
_SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(rehearse_module.__file__))))
_SCRIPT = "echo hello; touch /srv/data/new; rm /srv/data/old; sleep 0.05 & exit 0"

# Watching a run is no part of it: without it causes are missing, and a note says so; no change is.
_OBSERVERS = [
    "watch.py",
    "attribution.py",
    "fanotify.py",
    "program_starts.py",
    "early_stop.py",
    "upper_names.py",
    "upper_changes.py",
    "processes.py",
    "observer.py",
]

# By caller and call: why nothing is unknown without it.
_NOT_NEEDED = {
    "_files_among lstat": "taken for a directory; when it is none, opening it as one fails and is named",
    "_place lstat": "the next place is tried",
    "mount_overlay mount": "it is tried with fewer options, and what that changes is named",
    "mount_inside_dev mount": "message queues are missing from some kernels",
    "_look lstat": "our own stand-in is then shown as a change",
    "_raise_loopback ioctl": "named in a note; a container may have no right to it",
    "_without_core_dumps setrlimit": "named in a note: a crash may be seen outside",
    "_call system_call": "named in a note: the kernel has no Landlock",
    "load_filter_with_listener system_call": "named in a note: connections and refused calls are not told",
    "attach close": "named in a note: whether the record of calls is changed is not seen",
    "_identity fstat": "named in a note: whether the record of calls is changed is not seen",
    "processes_exhausted open": "a process that has just ended",
    "_become chdir": "a working directory that is gone: dpkg goes to / itself",
}


# What is called once for each mount, or each directory of one, in building and reading.
_OF_EACH_MOUNT = {
    "mount",
    "mkdir",
    "open",
    "openat_in_root",
    "open_tree",
    "mount_setattr",
    "move_mount",
    "send_fds",
}


class Faulty:
    """Rehearsals whose helper process has a fault."""

    def __init__(self, machine: Machine, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine, self._directory, self._monkeypatch = machine, directory, monkeypatch
        self._number = 0
        self.limits = LIMITS
        self.script = _SCRIPT

    def prepare(self, **plan: Any) -> str:
        """Let the next rehearsals follow ``plan`` (see faulty.py); return the plan's path."""
        self._number += 1
        plan_file = str(self._directory / f"plan-{self._number}")
        with open(plan_file, "w", encoding="utf-8") as file:
            json.dump({"source": _SOURCE, "site": None, "hit": 1, "act": "fail", **plan}, file)
        helper = self._directory / f"helper-{self._number}.py"
        helper.write_text(
            f"import sys\nsys.argv.insert(1, {plan_file!r})\n"
            f"exec(compile(open({_HERE + '/faulty.py'!r}).read(), 'faulty.py', 'exec'))\n"
        )
        self._monkeypatch.setattr(rehearse_module, "_HELPER", str(helper))
        return plan_file

    def run(self) -> RehearsalResult:
        return self.machine.rehearse_shell(self.script, self.limits)

    def sites(self, least: int = 1) -> list[str]:
        """Return the sites of a rehearsal in the order in which they are first reached, by process.

        Only those that are reached at least ``least`` times.
        """
        plan = self.prepare()
        result = self.run()
        assert result.complete
        assert result.unknowns == ()
        with open(plan + ".record", encoding="utf-8") as file:
            times = Counter(file.read().replace("\0", "").split("\n")[:-1])
        return [site for site, count in times.items() if count >= least]


@pytest.fixture
def faulty(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faulty:
    machine.write("/srv/data/old")
    directory = tmp_path.parent / (tmp_path.name + "-plans")
    directory.mkdir()
    return Faulty(machine, directory, monkeypatch)


@pytest.fixture(autouse=True)
def nothing_left(machine: Machine) -> Iterator[None]:
    def traces() -> object:
        with open("/proc/self/mountinfo", encoding="utf-8") as ours:
            mounts = ours.read()
        theirs = machine.run("cat", "/proc/self/mountinfo").stdout
        places = ["/run", "/tmp", "/srv/data", "/srv", "/dev/shm", "/mnt", "/"]
        return mounts, theirs, [sorted(os.listdir(machine.path(place))) for place in places]

    machine.write("/srv/data/old")
    mount(machine, "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    show_first_process(machine, "ln -s / root")
    before = traces()
    yield
    assert eventually(lambda: len(tree_of(os.getpid())) <= 2)  # itself and the machine's holder
    assert traces() == before


def test_every_call_that_fails_makes_it_unknown(faulty: Faulty) -> None:
    sites = [site for site in faulty.sites() if site.partition(":")[0] not in _OBSERVERS]
    assert len(sites) > 100
    harmless = []
    for site in sites:
        faulty.prepare(site=site)
        result = faulty.run()
        if result.complete and not result.unknowns:
            harmless.append(site)
    assert [site for site in harmless if site.split(" ", 1)[1] not in _NOT_NEEDED] == []


def test_a_call_that_fails_the_second_time_makes_it_unknown_too(faulty: Faulty) -> None:
    """As the overlay of the second file system does, when the first one stands already."""
    sites = [site for site in faulty.sites(least=2) if site.rpartition(" ")[2] in _OF_EACH_MOUNT]
    assert any("mount_overlay mount" in site for site in sites)
    harmless = []
    for site in (site for site in sites if site.partition(":")[0] not in _OBSERVERS):
        faulty.prepare(site=site, hit=2)
        result = faulty.run()
        if result.complete and not result.unknowns:
            harmless.append(site)
    assert [site for site in harmless if site.split(" ", 1)[1] not in _NOT_NEEDED] == []


def test_every_call_that_fails_in_renewing_a_stand_in_makes_it_unknown(faulty: Faulty) -> None:
    faulty.machine.write("/usr/bin/psql", "#!/bin/sh\n", 0o755)
    bring = "printf '#!/bin/sh\\n# new\\n' > /new; chmod 755 /new; mv /new /usr/bin/psql"
    faulty.script = f"{bring}; chmod 0700 /usr/bin/psql; psql"
    sites = [site for site in faulty.sites() if site.startswith("renewed_stand_ins.py")]
    assert len(sites) > 15
    for site in sites:
        faulty.prepare(site=site)
        result = faulty.run()
        if not site.endswith("_renew close"):  # all is in its place by then
            assert not result.complete or result.unknowns, site


# One call of each stage: building, confining, starting, running, ending, reading.
_STAGES = [
    "_prepare unshare",
    "_bind mount",
    "mount_proc mount",
    "_prepare pivot_root",
    "_drop_capabilities set_capabilities",
    "_become setsid",
    "_become execve",
    "_wait_for_leftovers waitpid",
    "_kill_the_rest kill",
    "_collect_one openat_in_root",
]


@pytest.mark.parametrize("victim", [1, 2], ids=["the helper", "the init process"])
def test_whoever_is_killed_at_whatever_stage_nothing_stays(faulty: Faulty, victim: int) -> None:
    sites = faulty.sites()
    for stage in _STAGES:
        site = next((site for site in sites if site.split(" ", 1)[1] == stage), None)
        assert site is not None, stage
        results: list[RehearsalResult] = []
        plan = faulty.prepare(site=site, act="stop")
        thread = threading.Thread(target=lambda: results.append(faulty.run()))  # noqa: B023
        thread.start()
        assert eventually(lambda: reached(plan)), stage  # noqa: B023
        helper, *below = processes_of_the_rehearsal()
        os.kill([helper, *below][min(victim - 1, len(below))], signal.SIGKILL)
        thread.join(timeout=60)
        assert not thread.is_alive(), stage
        assert not results[0].complete, stage
        assert results[0].unknowns, stage
        assert eventually(lambda: processes_of_the_rehearsal() == []), stage


def reached(plan: str) -> bool:
    with suppress(FileNotFoundError), open(plan + ".stopped", "rb") as file:
        return file.read() == b"x"
    return False


def processes_of_the_rehearsal() -> list[int]:
    """Return the helper of this process and all below it, the eldest first."""
    found = []
    for pid in tree_of(os.getpid())[1:]:
        # One that has ended meanwhile is none.
        with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"helper-" in file.read():
                found.append(pid)
    return found
