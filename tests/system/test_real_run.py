# SPDX-License-Identifier: GPL-3.0-or-later
"""The real run of an approved transaction is compared with what was rehearsed, and told where it diverges."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from packages.builder import build_deb
from testbed.guest import Container, Guest
from testbed.repository import publish
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

# What appears after the verdict: another hook of apt, which runs after the guard's.
AFTER_THE_VERDICT = 'DPkg::Pre-Install-Pkgs { "sh /root/after-the-verdict"; };\n'
DIVERGED = "APTGUARD_EVENT=diverged"

# Removes a file of its own, unless it is told otherwise; then also, or instead, what is nobody's business.
FICKLE = """
case "$1" in
purge) {
    [ ! -e /root/slow ] || sleep 641
    [ -e /root/spare ] || rm -f /srv/fickle/own
    [ ! -e /root/harm ] || rm -rf /srv/data
    [ ! -e /root/fail ] || exit 1
} ;;
esac
"""
# Stops the daemon when its rehearsal of a purge has got to the script, and lets the script be quick then.
HANG_IN_THE_MIDDLE = """
apt-get -q -y purge fickle < /dev/null > /root/said 2>&1 &
until pgrep -x sleep -a | grep -q 641; do sleep 0.05; done
rm /root/slow
systemctl kill --signal STOP aptguard.service
wait $!
code=$?
cat /root/said
exit $code
"""


def set_up(machine: Container, toys: Any) -> None:
    packages = [
        build_deb(
            toys,
            "fickle",
            files={"/usr/lib/fickle/x": "x\n"},
            scripts={"postinst": "mkdir -p /srv/fickle; touch /srv/fickle/own", "postrm": FICKLE},
        ),
        build_deb(toys, "steady", files={"/usr/lib/steady/x": "x\n"}),
    ]
    publish(machine, packages, alone=True)
    machine.write("/etc/apt/apt.conf.d/99after", AFTER_THE_VERDICT)
    machine.write(
        "/etc/aptguard/policy.d/fickle.toml",
        '[exception.fickle]\nreason = "It is a toy."\npackages = ["fickle"]\npaths = ["/srv/fickle/**"]\n',
    )


def again(machine: Container, flag: str = "") -> None:
    """Put both packages and the data back, with ``flag`` to appear after the next verdict."""
    machine.run("rm -f /root/after-the-verdict /root/{spare,harm,fail,slow}; touch /root/after-the-verdict")
    machine.run("apt-get -y install fickle steady && mkdir -p /srv/data && touch /srv/data/precious")
    machine.write("/root/after-the-verdict", f"touch /root/{flag}\n" if flag else "")


def last_run(machine: Container, identifier: str | None = None) -> dict[str, Any]:
    """Return the newest transaction in full, once its real run has been compared."""
    for _ in range(200):
        log = json.loads(machine.run(["aptguard", "log", "--json"]).stdout)["transactions"]
        newest = identifier or log[0]["id"]
        shown = json.loads(machine.run(["aptguard", "show", newest, "--json"]).stdout)
        if shown["real_run"] is not None:
            return dict(shown)
        time.sleep(0.1)
    raise AssertionError(f"nobody compared the run of {newest}")


@pytest.fixture(scope="module")
def machine(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    with Guest(version) as guest:
        install_aptguard(guest, aptguard_deb)
        set_up(guest, tmp_path_factory.mktemp("toys"))
        yield guest


def divergences(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["kind"], one.get("path") or one["package"]) for one in report["real_run"]["divergences"]]


def events(machine: Guest) -> list[dict[str, Any]]:
    return machine.journal(DIVERGED)


def test_a_run_that_does_what_its_rehearsal_did_is_no_divergence(machine: Guest) -> None:
    again(machine)
    before = len(events(machine))
    assert last_run(machine)["real_run"]["end"] == "as rehearsed"
    machine.run("apt-get -y purge fickle steady")
    report = last_run(machine)
    assert (report["real_run"]["end"], divergences(report)) == ("as rehearsed", [])
    assert len(events(machine)) == before


def test_harm_that_a_script_does_only_in_the_real_run_is_an_alarm(machine: Guest) -> None:
    again(machine, "harm")
    before = len(events(machine))
    machine.run("apt-get -y purge fickle")
    assert not machine.exists("/srv/data")
    report = last_run(machine)
    assert report["verdict"] == "allow"
    assert (report["real_run"]["end"], divergences(report)) == ("diverged", [("gone", "/srv/data")])
    (event,) = events(machine)[before:]
    assert (event["APTGUARD_ID"], event["APTGUARD_PATH"]) == (report["id"], "/srv/data")
    assert event["PRIORITY"] == "2" and event["APTGUARD_PACKAGE"] == "fickle"
    text = machine.run(["aptguard", "show", report["id"]]).stdout
    assert "Real run" in text and "/srv/data" in text
    assert f"(diverged: aptguard show {report['id']})" in machine.run(["aptguard", "log"]).stdout
    machine.run(["aptguard", "show", report["id"], "--html", "/root/page.html"])
    assert "/srv/data" in machine.read("/root/page.html")
    assert "Real run" in machine.read("/root/page.html")


def test_what_a_script_spares_only_in_the_real_run_is_still_there(machine: Guest) -> None:
    again(machine, "spare")
    machine.run("apt-get -y purge fickle")
    report = last_run(machine)
    assert divergences(report) == [("still there", "/srv/fickle/own")]
    assert events(machine)[-1]["PRIORITY"] == "4"


def test_a_script_that_fails_only_in_the_real_run_is_told_and_nothing_that_was_not_begun(
    machine: Guest,
) -> None:
    again(machine, "fail")
    before = len(events(machine))
    done = machine.run("apt-get -y purge fickle steady", check=False)
    assert done.returncode == 100
    report = last_run(machine)
    assert report["real_run"]["end"] == "half-way"
    assert {kind for kind, _ in divergences(report)} == {"state"}
    assert divergences(report)[0][1] == "fickle"
    assert len(events(machine)) == before + 1
    machine.run("rm -f /root/fail; dpkg --purge fickle")


def test_a_run_that_another_hook_stops_is_no_divergence(machine: Guest) -> None:
    again(machine)
    machine.write("/root/after-the-verdict", "exit 1\n")
    before = len(events(machine))
    assert machine.run("apt-get -y purge fickle", check=False).returncode == 100
    report = last_run(machine)
    assert (report["real_run"]["end"], len(events(machine))) == ("not begun", before)


def test_a_call_of_dpkg_is_compared_when_it_has_ended(machine: Guest) -> None:
    again(machine)
    machine.run("dpkg --purge steady")
    assert last_run(machine)["real_run"]["end"] == "as rehearsed"
    machine.run("dpkg --unpack /srv/testbed-repository/steady_1.0_all.deb")
    assert last_run(machine)["real_run"]["end"] == "as rehearsed"
    machine.run("dpkg --configure steady")
    assert last_run(machine)["real_run"]["end"] == "as rehearsed"


def test_the_run_that_upgrades_the_guard_itself_is_followed_by_the_new_daemon(
    machine: Guest, aptguard_deb: str
) -> None:
    machine.write("/root/after-the-verdict", "")
    machine.run("apt-get -y --reinstall install /root/aptguard.deb")
    assert last_run(machine)["real_run"]["end"] == "as rehearsed"


def test_a_run_whose_end_nobody_saw_is_looked_at_later_and_says_so(machine: Guest) -> None:
    again(machine)
    # The daemon dies after the verdict, and none may come in its place before the run is over.
    mask = "systemctl mask --runtime aptguard.socket aptguard.service 2>/dev/null"
    kill = "systemctl kill --signal KILL aptguard.service; systemctl stop aptguard.socket"
    machine.write("/root/after-the-verdict", f"{mask}; {kill}; true\n")
    machine.run("apt-get -y purge steady")
    machine.run(
        "systemctl unmask --runtime aptguard.socket aptguard.service; systemctl start aptguard.socket"
    )
    machine.write("/root/after-the-verdict", "")
    report = last_run(machine)
    assert report["real_run"]["end"] == "as rehearsed"
    assert "later" in report["real_run"]["reason"]


HANG = "systemctl kill --signal STOP aptguard.service"


def test_when_the_daemon_is_killed_or_hangs_after_the_verdict_the_run_goes_on_as_approved(
    machine: Guest,
) -> None:
    for deed in ("systemctl kill --signal KILL aptguard.service", HANG):
        again(machine)
        machine.write("/root/after-the-verdict", f"{deed}\n")
        done = machine.run("time -p apt-get -q -y purge steady")
        assert "aptguard" not in done.stdout + done.stderr
        # The next daemon, or this one once the watchdog has ended it, sees what became of the run.
        machine.write("/root/after-the-verdict", "")
        machine.run("systemctl kill --signal KILL aptguard.service", check=False)
        assert last_run(machine)["real_run"]["end"] == "as rehearsed"


def test_what_apt_calls_beyond_its_plan_is_rehearsed_on_the_spot(machine: Guest) -> None:
    again(machine)
    machine.run("touch /root/harm")
    other = 'case " $* " in *" --remove "*) exec /usr/bin/dpkg --purge fickle ;; esac'
    wrapper = f'#!/bin/sh\n{other}\nexec /usr/bin/dpkg "$@"\n'
    machine.write("/root/dpkg", wrapper, 0o755)
    done = machine.run("apt-get -q -y -o Dir::Bin::dpkg=/root/dpkg remove steady", check=False)
    assert done.returncode == 100
    assert "aptguard: BLOCKED" in done.stdout + done.stderr and "/srv/data" in done.stdout + done.stderr
    assert machine.exists("/srv/data/precious")
    log = json.loads(machine.run(["aptguard", "log", "--json"]).stdout)["transactions"]
    assert [(one["verdict"], one["items"]) for one in log[:2]] == [
        ("block", ["purge fickle"]),
        ("allow", ["remove steady"]),
    ]


def test_a_daemon_that_hangs_in_the_middle_of_a_rehearsal_is_ended_and_the_engine_judges(
    machine: Guest,
) -> None:
    again(machine)
    machine.write("/run/systemd/system/aptguard.service.d/short.conf", "[Service]\nWatchdogSec=3\n")
    machine.run("systemctl daemon-reload; systemctl restart aptguard.service")
    machine.write("/root/hang", HANG_IN_THE_MIDDLE)
    machine.run("touch /root/slow /root/harm")
    done = machine.run(["bash", "/root/hang"], check=False)
    machine.run("rm -r /run/systemd/system/aptguard.service.d; systemctl daemon-reload")
    assert done.returncode == 100, done.stdout
    assert "aptguard: BLOCKED" in done.stdout and "/srv/data" in done.stdout
    assert machine.exists("/srv/data/precious")


@pytest.fixture(scope="module")
def container(
    version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    with Container(version) as machine:
        install_aptguard(machine, aptguard_deb)
        set_up(machine, tmp_path_factory.mktemp("toys"))
        yield machine


def test_without_a_daemon_the_engines_own_child_compares_and_goes(container: Container) -> None:
    again(container, "harm")
    assert last_run(container)["real_run"]["end"] == "as rehearsed"
    container.run("apt-get -y purge fickle 2>&1 | cat")  # a pipe that is kept open would hang here
    report = last_run(container)
    assert divergences(report) == [("gone", "/srv/data")]
    for _ in range(100):
        left = container.run(["pgrep", "-f", "[g]uard.embedded"], check=False).stdout
        if not left:
            break
        time.sleep(0.1)
    assert left == ""
    assert container.run("ls -A /run/aptguard/runs").stdout == ""


def test_an_archive_to_which_apt_has_no_path_is_refused_with_what_to_do(container: Container) -> None:
    container.run("touch /root/after-the-verdict; apt-get -y purge steady")
    # A repository of the kind file: has it, but without a download apt asks nobody where.
    command = ["apt-get", "-q", "-y", "--no-download", "install", "steady"]
    done = container.run(command, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 100
    assert "Run it again without --no-download" in said
    without_the_guard = [*command, "-c", "/root/no-hooks"]
    container.write("/root/no-hooks", "#clear DPkg::Pre-Install-Pkgs;\n")
    done = container.run(without_the_guard, check=False)
    assert done.returncode == 100 and "Pathname to install is not absolute" in done.stderr
    assert container.run("apt-get -y install steady").returncode == 0
