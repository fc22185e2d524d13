# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is broken around the guard: one clear error, the documented verdict, nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packages.builder import build_deb
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

HOOK = "/usr/libexec/aptguard/apt-hook"
POSTRM = 'if [ "$1" = remove ]; then rm -f /srv/treasure; fi'
HEADER = "VERSION 3\nAPT::Architecture=amd64\nDir=/\nDir::State::status=/var/lib/dpkg/status\n"


@pytest.fixture(scope="module")
def machine(version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A booted machine with the guard, a harmful package (heir) and a harmless one (plain)."""
    directory: Path = tmp_path_factory.mktemp("toys")
    with Guest(version) as guest:
        install_aptguard(guest, aptguard_deb)
        guest.write("/srv/treasure", "treasure\n")
        heir = build_deb(directory, "heir", scripts={"postrm": POSTRM})
        plain = build_deb(directory, "plain", files={"/usr/share/plain/x": "x"})
        guest.run(
            ["dpkg", "-i", guest.copy_in(heir, "/root/heir.deb"), guest.copy_in(plain, "/root/plain.deb")]
        )
        yield guest


def hook(machine: Guest, data: str) -> Completed:
    """Run the installed hook as apt would, with ``data`` on its pipe."""
    script = f'printf %b "$DATA" | APT_HOOK_INFO_FD=9 {HOOK} 9<&0 0</dev/null'
    escaped = data.replace("\\", "\\\\").replace("\n", "\\n").replace("\x00", "\\0000")
    return machine.run(script, env={"DATA": escaped}, check=False)


def status_of(machine: Guest, name: str) -> str:
    """Return dpkg's short status of a package."""
    return machine.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", name]).stdout.strip()


def removal(machine: Guest, name: str, *options: str) -> Completed:
    """Try to remove a package."""
    return machine.run(["apt-get", "-y", "-q", *options, "remove", name], check=False)


def assert_still_there(machine: Guest, ended: Completed) -> None:
    """The removal of heir was stopped and nothing changed."""
    assert ended.returncode == 100, ended.stdout + ended.stderr
    assert "aptguard" in ended.stderr
    assert status_of(machine, "heir") == "ii"
    assert machine.exists("/srv/treasure")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("", "protocol 1"),
        ("VERSION 2\n\n", "protocol"),
        ("VERSION 4\n\n", "update aptguard"),
        ("/root/plain.deb\n", "protocol"),
        (HEADER, "empty line"),
        (HEADER + "\nheir 1.0 all none > - - none **REMO", "middle of a line"),
        (HEADER + "\nheir 1.0 all none >\n", "line"),
        (HEADER + "\nheir 1.0 all none > - - none **BURN**\n", "**BURN**"),
        (HEADER + "\nhe\x00ir 1.0 all none > - - none **REMOVE**\n", "line"),
    ],
    ids=["empty", "version-2", "version-4", "version-1", "cut-header", "cut-line", "short", "tail", "nul"],
)
def test_hook_input_that_is_no_plan_is_refused_with_one_sentence(
    machine: Guest, data: str, word: str
) -> None:
    ended = hook(machine, data)
    assert ended.returncode == 10, ended.stderr
    told = " ".join(ended.stderr.split())
    assert "could not be rehearsed" in told
    assert word in told
    assert "aptguard override" in told
    assert "Traceback" not in ended.stderr


def test_a_hook_that_was_given_protocol_1_by_a_users_option_blocks(machine: Guest) -> None:
    ended = removal(machine, "heir", "-o", f"DPkg::Tools::Options::{HOOK}::Version=1")
    assert_still_there(machine, ended)


@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "no-daemon"])
def test_a_call_of_dpkg_that_hides_its_command_line_is_judged_or_refused(
    machine: Guest, daemon: bool
) -> None:
    around = ("unshare --fork --pid {}", "unshare --mount sh -c 'umount -l /proc; exec {}'")
    machine.run(["systemctl", "start" if daemon else "mask", "--now", "aptguard.socket"])
    try:
        for wrapper in around:
            ended = machine.run(wrapper.format("dpkg -r heir"), check=False)
            assert (ended.returncode, status_of(machine, "heir")) == (2, "ii"), ended.stderr
            assert "aptguard" in ended.stderr
            assert machine.exists("/srv/treasure")
            if daemon:  # it sees who really asks
                assert "dpkg -r heir" in ended.stderr and "treasure" in ended.stderr
            if daemon or "umount" in wrapper:
                passed = machine.run(wrapper.format("dpkg -i /root/plain.deb"), check=False)
                assert passed.returncode == 0, passed.stderr
            if not daemon and "umount" in wrapper:
                assert "mount -t proc proc /proc" in " ".join(ended.stderr.split())
    finally:
        machine.run("systemctl unmask aptguard.socket; systemctl start aptguard.socket")


def test_a_corrupt_ledger_is_put_aside_and_the_guard_goes_on(machine: Guest) -> None:
    machine.run(["systemctl", "stop", "aptguard.service"])
    machine.run(
        "head -c 8192 /dev/urandom > /var/lib/aptguard/ledger.db; rm -f /var/lib/aptguard/ledger.db-*"
    )
    assert_still_there(machine, removal(machine, "heir"))
    assert machine.run("ls /var/lib/aptguard/").stdout.count("corrupt")
    assert machine.journal("SYSLOG_IDENTIFIER=aptguard", "APTGUARD_EVENT=degraded")
    assert json.loads(machine.run(["aptguard", "log", "--json"]).stdout)["transactions"]


@contextmanager
def mounted_over(machine: Guest, directory: str, options: str, fill: bool) -> Iterator[None]:
    """Have a small copy of a directory there, full or read-only."""
    machine.run(["systemctl", "stop", "aptguard.service"])
    machine.run(f"mkdir -p /root/aside && cp -a {directory}/. /root/aside/")
    machine.run(f"mount -t tmpfs -o size=8m,mode=700 t {directory} && cp -a /root/aside/. {directory}/")
    if fill:
        machine.run(f"dd if=/dev/zero of={directory}/fill bs=4k status=none || true")
    if options:
        machine.run(["mount", "-o", f"remount,{options}", directory])
    try:
        yield
    finally:
        machine.run(f"systemctl stop aptguard.service; umount -l {directory}; rm -rf /root/aside")


@pytest.mark.parametrize(("options", "fill"), [("ro", False), ("", True)], ids=["read-only", "full"])
def test_without_room_for_its_ledger_the_guard_still_blocks_and_still_lets_pass(
    machine: Guest, options: str, fill: bool
) -> None:
    with mounted_over(machine, "/var/lib/aptguard", options, fill):
        assert_still_there(machine, removal(machine, "heir"))
        ended = removal(machine, "plain")
        assert ended.returncode == 0, ended.stderr
        status = json.loads(machine.run(["aptguard", "status", "--json"], check=False).stdout)
        assert status["state"] == "degraded"
        (ledger,) = [check for check in status["checks"] if check["name"] == "ledger"]
        assert "/var/lib/aptguard" in ledger["detail"]
        removes = HEADER + "\nheir 1.0 all none > - - none **REMOVE**\n"
        assert hook(machine, removes).returncode == 10
        machine.run(["aptguard", "pause", "--for", "15min", "--reason", "the disk is full"])
        passed = hook(machine, removes)
        assert passed.returncode == 0 and "PAUSED until" in passed.stderr, passed.stderr
        machine.run(["aptguard", "resume"])
        assert hook(machine, removes).returncode == 10
    machine.run(["dpkg", "-i", "/root/plain.deb"])


def test_a_missing_dpkg_database_is_unknown_and_stops_a_removal(machine: Guest) -> None:
    # apt itself cannot plan without it, so the hook is asked directly, with the plan of a moment before.
    plan = HEADER + "\nheir 1.0 all none > - - none **REMOVE**\n"
    machine.run(["mv", "/var/lib/dpkg/status", "/var/lib/dpkg/status.aside"])
    try:
        ended = hook(machine, plan)
    finally:
        machine.run(["mv", "/var/lib/dpkg/status.aside", "/var/lib/dpkg/status"])
    assert ended.returncode == 10
    told = " ".join(ended.stderr.split())
    assert "could not be rehearsed" in told and "/var/lib/dpkg/status" in told
    assert "Traceback" not in ended.stderr


def test_a_damaged_file_list_is_unknown_and_stops_a_removal(machine: Guest) -> None:
    machine.run(["dpkg", "-i", "/root/plain.deb"])
    machine.run(["mv", "/var/lib/dpkg/info/plain.list", "/root/plain.list"])
    try:
        ended = removal(machine, "plain")
    finally:
        machine.run(["mv", "/root/plain.list", "/var/lib/dpkg/info/plain.list"])
    assert ended.returncode == 100, ended.stderr
    assert status_of(machine, "plain") == "ii"


@pytest.mark.parametrize("kind", ["directory", "dangling-link", "not-toml"])
def test_a_policy_file_that_is_none_leaves_the_rules_in_force(machine: Guest, kind: str) -> None:
    path = "/etc/aptguard/policy.toml"
    machine.run(
        {
            "directory": f"mkdir {path}",
            "dangling-link": f"ln -s /nowhere {path}",
            "not-toml": f"printf '\\377\\000' > {path}",
        }[kind]
    )
    try:
        assert_still_there(machine, removal(machine, "heir"))
        status = json.loads(machine.run(["aptguard", "status", "--json"], check=False).stdout)
        (policy,) = [check for check in status["checks"] if check["name"] == "policy"]
        assert policy["state"] == "degraded" and path in policy["detail"]
    finally:
        machine.run(["rm", "-rf", path])
