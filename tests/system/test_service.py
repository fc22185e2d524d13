# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as systemd runs it: activation, what its hardening must not change, watchdog, idle exit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.builder import build_deb
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

SOCKET = "/run/aptguard/io.github.aptguard"
# Places that a service's hardening usually hides, empties or makes read-only.
PLACES = ("/home/alice", "/root", "/tmp", "/var/tmp", "/srv", "/usr/local/lib", "/etc", "/boot", "/opt")
# PTRACE_TRACEME, by a language that every Debian has: 101 on amd64.
PTRACE = "perl -e 'exit(syscall(101, 0, 0, 0, 0) != 0)'"
CLIENT = """
import json, sys
from aptguard.daemon import client
method, parameters, own_namespace = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] == "own"
try:
    descriptors = None if own_namespace else ()
    reply = client.call(method, parameters, descriptors=descriptors, socket_path=client.SOCKET_PATH)
except Exception as error:
    reply = {"error": f"{type(error).__name__} {getattr(error, 'name', '')}: {error}"}
print(json.dumps(reply))
"""


@pytest.fixture(scope="module")
def machine(needs_guest: None, version: str, aptguard_deb: str) -> Iterator[Guest]:
    with Guest(version) as guest:
        install_aptguard(guest, aptguard_deb)
        guest.write("/usr/local/bin/client.py", CLIENT)
        yield guest


def call(
    machine: Guest, method: str, parameters: dict | None = None, *, namespace: str = "own", user: str = "root"
):
    argv = ["/usr/bin/python3", "/usr/local/bin/client.py", method, json.dumps(parameters or {}), namespace]
    return json.loads(machine.run(["runuser", "-u", user, "--", *argv]).stdout)


def unit(machine: Guest, *properties: str) -> list[str]:
    asked = [f"--property={name}" for name in properties]
    shown = machine.run(["systemctl", "show", *asked, "aptguard.service"]).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines())
    return [values[name] for name in properties]


@pytest.fixture
def stopped(machine: Guest) -> Guest:
    """The daemon does not run, and systemd has forgotten how often the tests have started it."""
    machine.run(["systemctl", "stop", "aptguard.service"])
    machine.run(["systemctl", "reset-failed", "aptguard.service"], check=False)
    return machine


@pytest.mark.parametrize("namespace", ["own", "none"], ids=["callers-namespace", "daemons-namespace"])
def test_a_script_is_seen_in_every_place_that_hardening_likes_to_hide(
    machine: Guest, tmp_path: Path, namespace: str
) -> None:
    """Each file is the administrator's own, belongs to no package, and must be in the report."""
    files = [f"{place}/of-mine-{namespace}" for place in PLACES]
    machine.run(["useradd", "--create-home", "alice"], check=False)
    for file in files:
        machine.write(file, "mine")
    name = f"greedy-{namespace}"
    postrm = f'if [ "$1" = purge ]; then rm -f {" ".join(files)}; fi'
    deb = machine.copy_in(build_deb(tmp_path, name, scripts={"postrm": postrm}), f"/root/{name}.deb")
    machine.install(deb)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    asked = {"operation": "purge", "names": [name], "environment": environment}
    reply = call(machine, "Check", asked, namespace=namespace)
    deleted = {change["path"] for change in reply["report"]["changed_paths"] if "deleted" in change["kinds"]}
    assert set(files) <= deleted, json.dumps(reply)[:4000]
    assert reply["report"]["unknowns"] == []
    assert reply["report"]["verdict"] == "block"
    assert all(machine.exists(file) for file in files)


def test_what_a_script_does_to_the_null_device_is_seen_within_the_daemons_bounds(
    machine: Guest, tmp_path: Path
) -> None:
    """It needs device nodes of its own, which neither the unit nor its control group may forbid."""
    postrm = 'if [ "$1" = purge ]; then rm -f /dev/null 2>/dev/null || true; chmod 600 /dev/zero; fi'
    deb = machine.copy_in(build_deb(tmp_path, "tidy-log", scripts={"postrm": postrm}), "/root/tidy-log.deb")
    machine.install(deb)
    asked = {"operation": "purge", "names": ["tidy-log"], "environment": {"PATH": "/usr/sbin:/usr/bin"}}
    report = call(machine, "Check", asked)["report"]
    found = {(one["rule"], one["path"]) for one in report["findings"]}
    assert {("device-nodes", "/dev/null"), ("device-nodes", "/dev/zero")} <= found, json.dumps(report)[:4000]
    assert [note for note in report["notes"] if "/dev" in note] == []
    assert report["verdict"] == "block"
    machine.run("[ -c /dev/null ] && [ $(stat -c %a /dev/zero) = 666 ]")


@pytest.mark.parametrize(
    ("name", "deed", "told"),
    [
        ("users", "unshare -r rm -f /srv/of-mine", True),
        ("tracer", PTRACE + " && rm -f /srv/of-mine", True),
        ("real-time", "chrt -f 10 rm -f /srv/of-mine", False),
        ("mounts", "unshare -m rm -f /srv/of-mine", False),
        ("clock", "date -s 2030-01-01 && rm -f /srv/of-mine", False),
        (
            "set-user-id",
            "su nobody -s /bin/sh -c '/usr/local/bin/become-root -p -c \"rm -f /srv/of-mine\"'",
            False,
        ),
    ],
)
def test_the_unit_refuses_no_call_of_which_a_rehearsal_tells_or_says_that_it_was_done(
    machine: Guest, tmp_path: Path, name: str, deed: str, told: bool
) -> None:
    machine.write("/srv/of-mine", "mine")
    machine.run("cp /bin/bash /usr/local/bin/become-root && chmod 4755 /usr/local/bin/become-root")
    postrm = f'if [ "$1" = purge ]; then {deed} || true; fi'
    deb = machine.copy_in(build_deb(tmp_path, name, scripts={"postrm": postrm}), f"/root/{name}.deb")
    machine.install(deb)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    asked = {"operation": "purge", "names": [name], "environment": environment}
    report = call(machine, "Check", asked)["report"]
    deleted = {change["path"] for change in report["changed_paths"] if "deleted" in change["kinds"]}
    refused = [effect for effect in report["effects"] if effect["kind"] == "refused"]
    assert ("/srv/of-mine" in deleted, bool(refused)) == (not told, told), json.dumps(report)[:4000]
    assert report["verdict"] == ("unknown" if told else "block")
    assert machine.exists("/srv/of-mine")


def test_the_daemon_shares_the_mount_namespace_of_the_machine(machine: Guest) -> None:
    call(machine, "Log")
    (pid,) = unit(machine, "MainPID")
    one, its = machine.run(["readlink", "/proc/1/ns/mnt", f"/proc/{pid}/ns/mnt"]).stdout.split()
    assert one == its


def test_the_socket_starts_the_daemon_which_says_when_it_is_ready(stopped: Guest) -> None:
    assert unit(stopped, "ActiveState") == ["inactive"]
    assert "interfaces" in call(stopped, "org.varlink.service.GetInfo")
    assert unit(stopped, "ActiveState", "StatusText") == ["active", "Waiting for a transaction."]


def test_nobody_but_root_gets_as_far_as_the_socket(machine: Guest) -> None:
    machine.run(["chmod", "0755", "/usr/local/bin/client.py"])
    assert "Permission denied" in call(machine, "Log", user="nobody")["error"]
    listed = machine.run(["stat", "-c", "%a %U %n", "/run/aptguard", SOCKET, "/var/lib/aptguard"]).stdout
    assert listed.splitlines() == [
        "700 root /run/aptguard",
        f"600 root {SOCKET}",
        "700 root /var/lib/aptguard",
    ]


def test_where_the_socket_is_opened_to_others_the_daemon_itself_refuses_them(machine: Guest) -> None:
    machine.run(["chmod", "0755", "/run/aptguard"])
    machine.run(["chmod", "0666", SOCKET])
    try:
        for method in ("JudgeApt", "GrantOverride", "Pause", "Status", "Log"):
            reply = call(machine, method, user="nobody")
            assert "org.varlink.service.PermissionDenied" in reply["error"]
    finally:
        machine.run(["chmod", "0700", "/run/aptguard"])
        machine.run(["chmod", "0600", SOCKET])


def test_varlinkctl_calls_it(machine: Guest) -> None:
    if machine.run(["which", "varlinkctl"], check=False).returncode != 0:
        assert machine.version == "12"  # systemd 252 has none yet
        return
    described = machine.run(["varlinkctl", "introspect", SOCKET, "io.github.aptguard"]).stdout
    assert "method JudgeApt(" in described
    replied = machine.run(["varlinkctl", "call", SOCKET, "io.github.aptguard.Log", "{}"]).stdout
    assert "reports" in json.loads(replied)
    failed = machine.run(
        ["varlinkctl", "call", SOCKET, "io.github.aptguard.Show", '{"id":"2222-2222"}'], check=False
    )
    assert failed.returncode != 0
    assert "io.github.aptguard.NoSuchTransaction" in failed.stderr


def test_a_daemon_that_hangs_is_restarted_by_the_watchdog(stopped: Guest) -> None:
    stopped.write("/run/systemd/system/aptguard.service.d/short.conf", "[Service]\nWatchdogSec=2\n")
    stopped.run(["systemctl", "daemon-reload"])
    try:
        call(stopped, "Log")
        pid, before = unit(stopped, "MainPID", "NRestarts")
        stopped.run(["kill", "-STOP", pid])
        stopped.run(
            'while [ "$(systemctl show -P NRestarts aptguard.service)" = "'
            + before
            + '" ]; do sleep 0.1; done'
        )
        assert "reports" in call(stopped, "Log")
        assert unit(stopped, "MainPID") != [pid]
    finally:
        stopped.run(["rm", "-r", "/run/systemd/system/aptguard.service.d"])
        stopped.run(["systemctl", "daemon-reload"])


def test_an_idle_daemon_ends_and_the_next_call_starts_it_again(stopped: Guest) -> None:
    started = stopped.run(["systemctl", "show", "-P", "ExecStart", "aptguard.service"]).stdout
    command = started.split("argv[]=")[1].split(" ;")[0]
    stopped.write(
        "/run/systemd/system/aptguard.service.d/idle.conf",
        f"[Service]\nExecStart=\nExecStart={command} --idle 0.5\n",
    )
    stopped.run(["systemctl", "daemon-reload"])
    try:
        for _ in range(2):
            assert "reports" in call(stopped, "Log")
            stopped.run("while systemctl is-active --quiet aptguard.service; do sleep 0.1; done")
            assert unit(stopped, "Result", "ExecMainStatus") == ["success", "0"]
    finally:
        stopped.run(["rm", "-r", "/run/systemd/system/aptguard.service.d"])
        stopped.run(["systemctl", "daemon-reload"])


def test_a_reload_is_answered_and_loses_no_call(machine: Guest) -> None:
    call(machine, "Log")
    (pid,) = unit(machine, "MainPID")
    machine.run(["systemctl", "reload", "aptguard.service"])
    assert "reports" in call(machine, "Log")
    assert unit(machine, "MainPID") == [pid]


def test_the_units_are_valid_and_as_hard_as_they_were(machine: Guest) -> None:
    units = [f"/lib/systemd/system/aptguard.{kind}" for kind in ("service", "socket")]
    verified = machine.run(["systemd-analyze", "verify", "--man=no", *units])
    assert [line for line in (verified.stdout + verified.stderr).splitlines() if "aptguard" in line] == []
    # 7.5; of it 0.1 is the loop devices, which rehearsals on disk need, 0.1 the nodes of a rehearsal's /dev,
    # and 1.0 what scripts would inherit: namespaces, tracers and set-user-ID refused, and nobody told of it.
    machine.run(["systemd-analyze", "security", "--offline=true", "--threshold=75", units[0]])
