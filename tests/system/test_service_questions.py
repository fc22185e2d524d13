# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts hear of services on a booted machine is what they hear when they are rehearsed there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.builder import build_deb
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

_UNIT = """[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
"""
_INSTALL = "[Install]\nWantedBy=multi-user.target\n"
# Each deletes /srv/db for real; HARM stands for that.
SCRIPTS = {
    "signal": "start-stop-daemon --stop --signal 0 --quiet --exec /usr/bin/tail 2>/dev/null || HARM",
    "trial": "if start-stop-daemon --stop --test --quiet --exec /usr/bin/dbus-daemon; then HARM; fi",
    "setting": "if sysctl -n kernel.no_such_key >/dev/null 2>&1; then echo has; else HARM; fi",
    "list": '[ -n "$(systemctl list-units -q --plain "no-such*")" ] || HARM',
    "policy": "[ -x /usr/sbin/policy-rc.d ] || HARM",
    "disabled": "deb-systemd-invoke restart toy-off.service || true; systemctl is-active -q toy-off || HARM",
    "script": "/etc/init.d/toy-script stop || true; systemctl is-active -q toy-script || HARM",
}
# On a machine whose policy-rc.d denies all.
DENIED = "deb-systemd-invoke stop toy-on.service || true; if systemctl is-active -q toy-on; then HARM; fi"
# What is compared: the exit code of a call, the state of its unit afterwards, and what policy-rc.d was asked.
TRY = """
policy() {
    rm -f /usr/sbin/policy-rc.d
    [ "$1" ] || return 0
    printf '#!/bin/sh\\necho "$@" >> /srv/asked\\n[ %s != 106 ] || echo stop\\nexit %s\\n' $1 $1 \\
        > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
}
try() {
    policy "$3"
    systemctl -q "$2" "$1" 2> /dev/null
    eval "$4" > /dev/null 2>&1
    echo "$1 $2 $3 $4: $? $(systemctl is-active "$1")"
}
"""
_REHEARSE = """
import sys
from aptguard.rehearsal.model import Limits, RehearsalRequest, Step
from aptguard.rehearsal.rehearse import rehearse
path = {b"PATH": b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
request = RehearsalRequest((Step((b"/bin/sh", b"/root/calls")),), path, limits=Limits(seconds=100.0))
result = rehearse(request)
sys.stdout.buffer.write(result.output)
print(result.unknowns, [one.detail for one in result.effects if one.kind in ("unanswered", "unclear")])
"""


@pytest.fixture(scope="module")
def server(version: str, aptguard_deb: str) -> Iterator[Guest]:
    with Guest(version, network="private") as guest:
        install_aptguard(guest, aptguard_deb)
        for name, lines in (
            ("toy-on", _INSTALL),
            ("toy-off", _INSTALL),
            ("toy-static", ""),
            ("toy-script", ""),
            ("toy-reload", "ExecReload=/bin/true\n"),
        ):
            guest.write(f"/etc/systemd/system/{name}.service", _UNIT + lines)
        guest.write("/etc/init.d/toy-script", "#!/bin/sh\n. /lib/lsb/init-functions\n", 0o755)
        guest.run("systemctl daemon-reload; systemctl enable --now toy-on")
        yield guest


def verdict_and_truth(server: Guest, directory: Path, name: str, script: str) -> tuple[str, bool]:
    """Return the verdict on the purge, and whether it deletes /srv/db when it is done."""
    server.run("mkdir -p /srv/db; echo kept > /srv/db/table; systemctl start toy-on toy-script")
    postrm = f'if [ "$1" = purge ]; then\n{script.replace("HARM", "rm -rf /srv/db")}\nfi\n'
    deb = build_deb(directory, f"toy-{name}", scripts={"postrm": postrm})
    server.run(["dpkg", "-i", server.copy_in(deb, f"/root/{name}.deb")])
    checked = server.run(["aptguard", "check", "purge", f"toy-{name}", "--json"], check=False)
    server.run(["apt-get", "-y", "purge", f"toy-{name}"], check=False)
    return json.loads(checked.stdout)["verdict"], not server.exists("/srv/db/table")


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_deleted_was_not_allowed(server: Guest, tmp_path: Path, name: str) -> None:
    assert verdict_and_truth(server, tmp_path, name, SCRIPTS[name]) != ("allow", True)


def test_what_the_policy_of_services_denies_is_not_taken_as_done(server: Guest, tmp_path: Path) -> None:
    server.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    try:
        assert verdict_and_truth(server, tmp_path, "denied", DENIED) != ("allow", True)
    finally:
        server.run("rm /usr/sbin/policy-rc.d")


def calls() -> Iterator[tuple[str, str, str, str]]:
    """Yield a unit, what is done with it first, what policy-rc.d ends with (if there is one), and a call."""
    for unit in ("toy-on", "toy-off", "toy-static"):
        for before in ("start", "stop"):
            for action in ("start", "stop", "restart", "try-restart"):
                yield unit, before, "", f"deb-systemd-invoke {action} {unit}.service"
            for action in ("start", "stop", "restart", "force-reload", "status"):
                yield unit, before, "", f"invoke-rc.d {unit} {action}"
            yield unit, before, "", f"invoke-rc.d --disclose-deny {unit} restart"
            yield unit, before, "", f"invoke-rc.d --force {unit} restart"
            yield unit, before, "", f"invoke-rc.d --skip-systemd-native {unit} restart"
            yield unit, before, "", f"service {unit} force-reload"
    for code in ("0", "100", "101", "106", "55"):
        for unit, before in (("toy-on", "start"), ("toy-off", "stop")):
            yield unit, before, code, f"deb-systemd-invoke restart {unit}.service"
            yield unit, before, code, f"deb-systemd-invoke stop {unit}.service"
            for words in ("UNIT restart", "UNIT status", "--disclose-deny UNIT stop", "--force UNIT restart"):
                yield unit, before, code, f"invoke-rc.d {words.replace('UNIT', unit)}"
            yield unit, before, code, f"invoke-rc.d --try-anyway {unit} stop"
            yield unit, before, code, f"invoke-rc.d --quiet --no-fallback {unit} stop"


def test_what_becomes_of_a_call_is_what_becomes_of_it_on_the_machine(server: Guest) -> None:
    tried = "\n".join(f"try {unit} {before} '{code}' '{call}'" for unit, before, code, call in calls())
    asked = "cat /srv/asked; systemctl -P CanReload show toy-on toy-reload no-such; runlevel || true"
    server.write("/root/calls", f"{TRY}\n{tried}\n{asked}\nrm /srv/asked /usr/sbin/policy-rc.d\n")
    rehearsed = server.run(["python3", "-c", _REHEARSE]).stdout
    done = server.run(["sh", "/root/calls"]).stdout
    assert rehearsed.splitlines() == [*done.splitlines(), "() []"]
