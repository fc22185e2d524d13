# SPDX-License-Identifier: GPL-3.0-or-later
"""Ordinary work with real packages of Debian's archive goes as it goes without the guard.

The same steps are taken on two machines made from one tree, one of them guarded. Exit codes, what apt
says, and every file of the machine afterwards must be the same, clocks and logs aside.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from testbed import snapshot
from testbed.guest import Guest
from testbed.server import install_aptguard
from testbed.trees import Tree, guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian(together=True)]

PACKAGES = {
    "memcached": "a service with an account of its own",
    "rsyslog": "a service whose scripts rename a conffile",
    "cron": "conffiles and a spool directory",
    "logrotate": "a timer",
    "nano": "links of the alternatives system",
    "molly-guard": "diversions",
    "liblzo2-2": "a library",
    "libwrap0": "a library whose scripts write files that no package lists",
    "screen": "scripts that make links no package lists",
    "chrony": "another service, with keys that it makes itself",
}
OLDER = ("nano", "liblzo2-2", "rsyslog")

# Versions that the archive has not got any more are made from those it has: dpkg-repack would do the same.
_MAKE_OLDER = """
apt-get -q -y --no-install-recommends --download-only install {packages}
mkdir -p /root/older
cd /root/older
for package in {older}; do
    archive=$(ls /var/cache/apt/archives/"$package"_*.deb | tail -n 1)
    dpkg-deb --raw-extract "$archive" tree
    sed -i -E 's/^Version: .*/&~older/' tree/DEBIAN/control
    dpkg-deb --build -Znone tree "$package.deb"
    rm -r tree
done
"""

APT = "apt-get -q -y --no-install-recommends"
_ALL = " ".join(PACKAGES)
STEPS = (
    ("install an older version", f"{APT} install " + " ".join(f"/root/older/{name}.deb" for name in OLDER)),
    ("upgrade", f"{APT} upgrade"),
    ("install", f"{APT} install {_ALL}"),
    ("reinstall", f"{APT} install --reinstall chrony cron molly-guard screen"),
    ("remove", f"{APT} remove memcached screen molly-guard rsyslog libwrap0 nano"),
    ("purge, with or without an earlier removal", f"{APT} purge {_ALL}"),
    ("purge what is not needed any more", f"{APT} autoremove --purge"),
)

# Different on any two machines: keys and identities made by chance, dates, and the order of work.
BY_CHANCE = (
    ("/etc/chrony/chrony.keys", "keys"),
    ("/var/lib/chrony/*", "the drift of the clock"),
    ("/etc/machine-id", "made at the first boot"),
    ("/var/lib/dbus/machine-id", "the same"),
    ("/etc/shadow*", "the date of the last change of a password"),
    ("/var/lib/dpkg/status*", "holds the stanza of aptguard; dpkg -l is compared instead"),
    ("/var/lib/dpkg/available*", "the same"),
    ("/var/lib/dpkg/info/aptguard.*", "aptguard's own"),
    ("/var/cache/debconf/*", "dates"),
    ("/var/backups/*", "copies of the above"),
    ("/var/cache/ldconfig/*", "times of files"),
    ("/var/cache/man/*", "times of files"),
    ("/root/aptguard.deb", "aptguard's own"),
    ("/var/spool/cron/*", "times"),
)


@dataclass(frozen=True)
class Worked:
    """One machine after all steps: what each said and ended with, and the files."""

    said: dict[str, str]
    exits: dict[str, int]
    files: snapshot.Snapshot
    packages: str
    runs: tuple[dict[str, Any], ...] = ()


@pytest.fixture(scope="module")
def tree(needs_guest: None, version: str) -> Tree:
    """A machine that has the packages downloaded, and older ones of some."""
    setup = _MAKE_OLDER.format(packages=_ALL, older=" ".join(OLDER))
    return guest_tree_with(version, [], setup)


@pytest.fixture(scope="module")
def worked(tree: Tree, version: str, aptguard_deb: str) -> tuple[Worked, Worked]:
    """The machine without the guard, and the one with it; both at the same time."""
    machines: dict[bool, Worked] = {}
    work = functools.partial(_work, version, tree, aptguard_deb, machines)
    other = threading.Thread(target=work, args=(False,))
    other.start()
    try:
        work(True)
    finally:
        other.join()
    return machines[False], machines[True]


def _work(version: str, tree: Tree, deb: str, machines: dict[bool, Worked], guarded: bool) -> None:
    said, exits = {}, {}
    runs: tuple[dict[str, Any], ...] = ()
    with Guest(version, tree=tree, network="private") as machine:
        if guarded:
            install_aptguard(machine, deb)
        for name, command in STEPS:
            said[name], exits[name] = _on_terminal(machine, command)
        if guarded:
            runs = _runs(machine)
            machine.run(["dpkg", "--purge", "aptguard"])
        packages = machine.run(["dpkg-query", "-W", "-f", "${Package} ${Version} ${Status}\\n"]).stdout
        machines[guarded] = Worked(said, exits, snapshot.take(machine.path("/")), packages, runs)


def _on_terminal(machine: Guest, command: str) -> tuple[str, int]:
    """Return every byte that the command shows on a terminal, and its exit code."""
    script = ["script", "--quiet", "--return", "--command", command, "/root/typescript"]
    done = machine.run(script, timeout=300, check=False, env={"TERM": "xterm"})
    with open(machine.path("/root/typescript"), encoding="utf-8", newline="") as file:
        said = file.read()
    machine.run(["rm", "/root/typescript"])
    return said, done.returncode


def _runs(machine: Guest) -> tuple[dict[str, Any], ...]:
    """Return what is on record of each run, once the last has been compared with its rehearsal."""
    for _ in range(100):
        log = json.loads(machine.run(["aptguard", "log", "--json", "-n", "100"]).stdout)
        if log["transactions"][0]["real_run"] is not None:
            break
        time.sleep(0.1)
    return tuple(log["transactions"])


def of_the_guard(said: str) -> list[str]:
    """Return the lines on the terminal that are aptguard's, progress that was wiped out again left out."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", said)
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n")]
    return [line for line in shown if "aptguard" in line]


def test_each_step_ends_with_the_same_exit_code(worked: tuple[Worked, Worked]) -> None:
    without, guarded = worked
    assert set(without.exits.values()) == {0}, without.said
    different = {
        name: guarded.said[name] for name, code in without.exits.items() if guarded.exits[name] != code
    }
    assert not different, "\n".join(f"--- {name}\n{said[-3000:]}" for name, said in different.items())


def test_the_terminal_has_at_most_one_line_more(worked: tuple[Worked, Worked]) -> None:
    _, guarded = worked
    lines = {name: of_the_guard(said) for name, said in guarded.said.items()}
    assert all(len(found) <= 1 for found in lines.values()), lines


def test_every_file_is_as_it_is_without_the_guard(worked: tuple[Worked, Worked]) -> None:
    without, guarded = worked
    assert len(without.files) > 5_000
    found = snapshot.harm(without.files, guarded.files)
    harm = [one for one in found if not snapshot._matches(one.path, BY_CHANCE)]
    assert harm == [], "\n".join(map(str, harm))


def test_the_same_packages_are_there_in_the_same_states(worked: tuple[Worked, Worked]) -> None:
    without, guarded = worked
    assert guarded.packages == without.packages


def test_each_run_ended_as_it_was_rehearsed(worked: tuple[Worked, Worked]) -> None:
    _, guarded = worked
    assert len(guarded.runs) > 5
    other = [one for one in guarded.runs if one["real_run"] != "as rehearsed"]
    assert other == []
