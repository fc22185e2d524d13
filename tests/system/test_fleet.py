# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines upload their journals to a third, as docs/fleet.md shows; one command reads them all."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from packages.obsolete import build_harmless
from testbed.guest import Guest
from testbed.server import install_aptguard
from testbed.trees import Tree, guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

TREASURE = "/srv/treasure"
REMOTE = "/var/log/journal/remote"
PORT = 19532


@pytest.fixture(scope="module")
def tree(version: str) -> Tree:
    return guest_tree_with(version, ["systemd-journal-remote"])


@pytest.fixture(scope="module")
def gatherer(version: str, tree: Tree, aptguard_deb: str) -> Iterator[Guest]:
    """The machine that gathers; the guests share one network, so 127.0.0.1 is common to them."""
    with Guest(version, tree=tree) as machine:
        install_aptguard(machine, aptguard_deb)
        program = machine.run("ls /lib/systemd/systemd-journal-remote").stdout.strip()
        machine.run(
            f"mkdir -p {REMOTE}; systemd-run --unit=gather {program} --listen-http=127.0.0.1:{PORT}"
            f" --output={REMOTE}/"
        )
        yield machine


@pytest.fixture(scope="module")
def blocked(
    version: str, tree: Tree, aptguard_deb: str, gatherer: Guest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Two machines on which the purge of a package of their own was blocked: host to ID."""
    identifiers = {}
    with ExitStack() as stack:
        for host in ("db1", "web3"):
            machine = stack.enter_context(Guest(version, tree=tree))
            machine.run(["hostnamectl", "set-hostname", host])
            deb = build_harmless(tmp_path_factory.mktemp(host), f"heir-{host}", TREASURE)
            machine.run(["dpkg", "-i", machine.copy_in(deb, "/root/heir.deb")])
            machine.write(TREASURE, "treasure\n")
            install_aptguard(machine, aptguard_deb)
            ended = machine.run(["apt-get", "-y", "purge", f"heir-{host}"], check=False)
            found = re.search(r"aptguard override (\S+)", ended.stderr)
            assert found, ended.stderr
            identifiers[host] = found[1]
            machine.run(["journalctl", "--sync"])
            machine.write("/etc/systemd/journal-upload.conf", f"[Upload]\nURL=http://127.0.0.1:{PORT}\n")
            machine.run(["systemctl", "start", "systemd-journal-upload.service"])
        yield identifiers


def log(machine: Guest, *filters: str) -> list[dict[str, str]]:
    command = ["aptguard", "log", "--directory", REMOTE, "--json", *filters]
    return json.loads(machine.run(command).stdout)["transactions"]


def test_one_command_lists_what_was_blocked_on_all_machines(gatherer: Guest, blocked: dict[str, str]) -> None:
    deadline = time.monotonic() + 30
    while len(log(gatherer, "--verdict", "block")) < len(blocked) and time.monotonic() < deadline:
        time.sleep(0.2)
    told = {one["host"]: one["id"] for one in log(gatherer, "--verdict", "block")}
    assert told == blocked, gatherer.run(f"ls -l {REMOTE}; systemctl status gather", check=False).stdout
    assert [one["host"] for one in log(gatherer, "--package", "heir-web3")] == ["web3"]
    assert {one["host"] for one in log(gatherer, "--path", "/srv")} == set(blocked)
    assert log(gatherer, "--path", "/usr/share/doc") == [] and log(gatherer, "--verdict", "allow") == []
    text = gatherer.run(["aptguard", "log", "--directory", REMOTE]).stdout
    for host, identifier in blocked.items():
        assert re.search(rf"Z  {host}  {identifier}  block", text)


def test_a_directory_that_is_not_there_is_one_sentence(gatherer: Guest) -> None:
    done = gatherer.run(["aptguard", "log", "--directory", "/nonexistent"], check=False)
    assert done.returncode == 2
    assert done.stderr == "aptguard: There is no directory /nonexistent.\n"
