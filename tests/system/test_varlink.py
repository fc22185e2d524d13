# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's socket is a varlink service that systemd's own client can use; who is who, the kernel says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from packages.obsolete import build_harmless
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

SOCKET = "/run/aptguard/io.github.aptguard"
INTERFACE = "io.github.aptguard"
READERS = "/run/io.github.aptguard"


@pytest.fixture(scope="module")
def machine(
    needs_guest: None, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    with Guest("13") as guest:  # varlinkctl(1) came with systemd 255
        deb = build_harmless(tmp_path_factory.mktemp("varlink"), "heir", "/srv/treasure")
        guest.run(["dpkg", "-i", guest.copy_in(deb, "/root/heir.deb")])
        guest.write("/srv/treasure", "treasure\n")
        install_aptguard(guest, aptguard_deb)
        yield guest


def call(
    guest: Guest, method: str, parameters: dict[str, Any], *options: str, user: str = "", path: str = SOCKET
) -> Completed:
    command = [
        "varlinkctl",
        "--json=short",
        *options,
        "call",
        path,
        f"{INTERFACE}.{method}",
        json.dumps(parameters),
    ]
    return guest.run(["runuser", "-u", user, "--", *command] if user else command, check=False)


def test_varlinkctl_knows_the_service_and_its_shipped_interface(machine: Guest) -> None:
    info = machine.run(["varlinkctl", "--json=short", "info", SOCKET]).stdout
    assert INTERFACE in json.loads(info)["interfaces"]
    told = machine.run(["varlinkctl", "introspect", SOCKET, INTERFACE]).stdout
    shipped = machine.read("/usr/share/aptguard/io.github.aptguard.varlink")
    machine.run(["varlinkctl", "validate-idl", "/usr/share/aptguard/io.github.aptguard.varlink"])
    for text in (told, shipped):
        assert {"JudgeApt", "Status", "Log", "Show"} <= set(re.findall(r"method (\w+)", text))
    assert set(re.findall(r"^(?:method|error) \w+", told, re.M)) == set(
        re.findall(r"^(?:method|error) \w+", shipped, re.M)
    )


def test_every_reading_method_answers_with_the_keys_that_the_interface_declares(machine: Guest) -> None:
    idl = machine.read("/usr/share/aptguard/io.github.aptguard.varlink")
    for method, parameters in (("Status", {}), ("Log", {"limit": 5}), ("ListOverrides", {})):
        done = call(machine, method, parameters)
        assert done.returncode == 0, done.stderr
        declared = re.search(rf"method {method}\([^)]*\) -> \(([^)]*)\)", idl)
        assert declared
        names = dict(re.findall(r"(\w+): (\??)", declared[1]))
        reply = json.loads(done.stdout)
        assert set(reply) <= set(names)
        assert {name for name, optional in names.items() if not optional} <= set(reply)


def test_a_rehearsal_tells_its_progress_and_then_its_report(machine: Guest) -> None:
    done = call(machine, "Check", {"operation": "remove", "names": ["heir"]}, "--more")
    replies = [json.loads(line) for line in done.stdout.replace("\x1e", "").splitlines() if line]
    assert all("progress" in reply for reply in replies[:-1]) and len(replies) > 1
    assert replies[-1]["report"]["verdict"] == "block"


def test_errors_come_by_their_names(machine: Guest) -> None:
    for method, parameters, error in (
        ("Show", {"id": "2345-6789"}, f"{INTERFACE}.NoSuchTransaction"),
        ("Show", {"id": "x"}, f"{INTERFACE}.InvalidParameter"),
        ("GrantOverride", {"id": "2345-6789", "reason": " "}, f"{INTERFACE}.InvalidParameter"),
        ("Dance", {}, "org.varlink.service.MethodNotFound"),
    ):
        done = call(machine, method, parameters)
        assert done.returncode != 0
        assert error in done.stderr + done.stdout, (done.stdout, done.stderr)


def test_members_of_adm_may_read_the_record_and_all_else_stays_with_root(machine: Guest) -> None:
    machine.run("useradd -m -G adm reader; useradd -m stranger")
    modes = machine.run(["stat", "-c", "%a %U %G", "/run/aptguard", SOCKET, READERS]).stdout.splitlines()
    assert modes == ["700 root root", "600 root root", "660 root adm"]
    for path in (SOCKET, READERS):
        assert call(machine, "Log", {}, user="stranger", path=path).returncode != 0
    assert call(machine, "Log", {}, user="reader").returncode != 0
    for method in ("Status", "Log"):
        assert call(machine, method, {}, user="reader", path=READERS).returncode == 0
    for method, parameters in (
        ("Show", {"id": "2345-6789"}),
        ("Pause", {"reason": "x", "seconds": 60}),
        ("Check", {"operation": "remove", "names": ["heir"]}),
    ):
        done = call(machine, method, parameters, user="reader", path=READERS)
        assert done.returncode != 0 and "PermissionDenied" in done.stderr + done.stdout


def test_the_commands_that_read_serve_members_of_adm_and_tell_others_what_to_do(machine: Guest) -> None:
    machine.run("id reader > /dev/null 2>&1 || useradd -m -G adm reader; id stranger || useradd -m stranger")
    machine.run("systemctl stop aptguard.service")  # the readers' socket starts it, too
    as_root = json.loads(machine.run(["aptguard", "status", "--json"]).stdout)
    asked = machine.run(["runuser", "-u", "reader", "--", "aptguard", "status", "--json"], check=False)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert json.loads(asked.stdout)["state"] == as_root["state"] == "live"
    assert machine.run(["runuser", "-u", "reader", "--", "aptguard", "log"]).stderr == ""
    for words in (["status"], ["log"]):
        refused = machine.run(["runuser", "-u", "stranger", "--", "aptguard", *words], check=False)
        assert refused.returncode == 1 and "sudo" in refused.stderr and refused.stdout == ""
    refused = machine.run(["runuser", "-u", "reader", "--", "aptguard", "show", "2345-6789"], check=False)
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1 and "root" in refused.stderr


def test_without_the_guards_own_socket_the_readers_have_none(machine: Guest) -> None:
    machine.run("systemctl stop aptguard.socket")
    assert machine.run(["test", "-e", READERS], check=False).returncode == 1
    machine.run("systemctl start aptguard-readers.socket")
    assert call(machine, "Status", {}).returncode == 0
    assert call(machine, "Status", {}, path=READERS).returncode == 0
