# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told besides terminal and journal: at login, in metrics, to the administrator's programs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator

import pytest

from packages.builder import build_deb
from packages.obsolete import build_harmless
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = pytest.mark.needs_guest

TREASURE = "/srv/treasure"
COLLECTOR = "/var/lib/prometheus/node-exporter"
LOGIN = ["run-parts", "--lsbsysinit", "/etc/update-motd.d"]  # what pam_motd(8) runs


@pytest.fixture(scope="module")
def machine(version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with Guest(version) as guest:
        deb = build_harmless(tmp_path_factory.mktemp("alerts"), "heir", TREASURE)
        guest.run(["dpkg", "-i", guest.copy_in(deb, "/root/heir.deb")])
        guest.run(["mkdir", "-p", COLLECTOR])
        guest.write(TREASURE, "treasure\n")
        install_aptguard(guest, aptguard_deb)
        yield guest


def blocked(guest: Guest) -> str:
    """Have a transaction blocked and return its ID."""
    ended = guest.run(["apt-get", "-y", "remove", "heir"], check=False)
    assert ended.returncode == 100, ended.stdout + ended.stderr
    found = re.search(r"aptguard override (\S+)", ended.stderr)
    assert found, ended.stderr
    return found[1]


def login(guest: Guest) -> list[str]:
    """Return what aptguard says at a login."""
    said = guest.run(LOGIN).stdout.splitlines()
    return [line for line in said if "aptguard" in line]


def comes(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Wait for what another process does in its own time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def metric(guest: Guest, name: str) -> float:
    text = guest.read(f"{COLLECTOR}/aptguard.prom")
    found = re.search(rf"^{re.escape(name)} ([0-9.]+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_a_block_is_at_the_login_until_root_has_looked_at_it(machine: Guest) -> None:
    identifier = blocked(machine)
    (line,) = login(machine)
    assert "BLOCKED" in line and f"aptguard show {identifier}" in line
    machine.run(["aptguard", "show", "--peek", identifier])
    assert login(machine) == [line]
    machine.run(["aptguard", "show", identifier])
    assert login(machine) == []
    blocked(machine)
    assert login(machine) != []
    machine.run(["aptguard", "log"])
    assert login(machine) == []


def test_a_pause_is_at_the_login_and_in_the_metrics_until_it_is_over(machine: Guest) -> None:
    machine.run(["aptguard", "pause", "--for", "30min", "--reason", "moving the cluster"])
    (line,) = login(machine)
    assert "PAUSED until" in line and "moving the cluster" in line
    assert metric(machine, "aptguard_paused_until_timestamp_seconds") > time.time()
    machine.run(["aptguard", "resume"])
    assert login(machine) == []
    assert metric(machine, "aptguard_paused_until_timestamp_seconds") == 0


def test_an_account_whose_home_is_the_root_is_told_once_as_long_as_it_is_there(
    machine: Guest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def dangers() -> list[dict[str, str]]:
        return machine.journal("SYSLOG_IDENTIFIER=aptguard", "APTGUARD_EVENT=danger")

    # The account comes with a package, whose run itself is told of it.
    script = 'if [ "$1" = configure ]; then useradd --system --no-create-home --home-dir / sleeper; fi'
    deb = build_deb(tmp_path_factory.mktemp("sleeper"), "sleeper", scripts={"postinst": script})
    machine.run(["aptguard", "pause", "--for", "30min", "--reason", "to have the danger made"])
    machine.run(["dpkg", "-i", machine.copy_in(deb, "/root/sleeper.deb")])
    machine.run(["aptguard", "resume"])
    assert comes(lambda: len(dangers()) == 1), dangers()
    (event,) = dangers()
    assert (
        event["APTGUARD_ACCOUNT"] == "sleeper" and "the root of the file system" in event["APTGUARD_REASON"]
    )
    blocked(machine)
    machine.run(["aptguard", "status"], check=False)
    assert len(dangers()) == 1
    machine.run("userdel sleeper; aptguard status; useradd --system --no-create-home --home-dir / sleeper")
    machine.run(["aptguard", "status"], check=False)
    assert len(dangers()) == 2
    machine.run("userdel sleeper; aptguard log")


def test_a_broken_policy_is_at_the_login_until_it_is_mended(machine: Guest) -> None:
    machine.write("/etc/aptguard/policy.d/broken.toml", "this is no TOML\n")
    machine.run(["aptguard", "status", "--peek"], check=False)
    assert any("DEGRADED" in line for line in login(machine))
    machine.run(["rm", "/etc/aptguard/policy.d/broken.toml"])
    machine.run(["aptguard", "status", "--peek"], check=False)
    assert login(machine) == []


def test_a_login_works_and_says_it_with_a_python_that_is_broken(machine: Guest) -> None:
    identifier = blocked(machine)
    machine.run(
        "mv /usr/bin/python3 /usr/bin/python3.away; printf '#!/bin/sh\\nsleep 1000\\n' > /usr/bin/python3"
    )
    machine.run(["chmod", "755", "/usr/bin/python3"])
    try:
        assert any(identifier in line for line in login(machine))
    finally:
        machine.run(["mv", "/usr/bin/python3.away", "/usr/bin/python3"])
    machine.run(["aptguard", "show", identifier])


def test_a_login_of_somebody_else_is_told_nothing_and_gets_no_error(machine: Guest) -> None:
    blocked(machine)
    done = machine.run(["runuser", "-u", "nobody", "--", *LOGIN])
    assert "aptguard" not in done.stdout + done.stderr
    machine.run(["aptguard", "log"])


def test_the_metrics_count_and_can_be_read_by_the_exporter(machine: Guest) -> None:
    before = metric(machine, 'aptguard_verdicts_total{verdict="block"}')
    blocked(machine)
    assert metric(machine, 'aptguard_verdicts_total{verdict="block"}') == before + 1
    assert metric(machine, "aptguard_unseen_blocks") == 1
    assert 0 < metric(machine, "aptguard_last_run_seconds") < 60
    machine.run(["runuser", "-u", "nobody", "--", "cat", f"{COLLECTOR}/aptguard.prom"])
    assert machine.run(["ls", "-A", COLLECTOR]).stdout.split() == ["aptguard.prom"]
    machine.run(["aptguard", "log"])


def test_a_program_of_the_administrator_gets_the_report_and_keeps_nobody_waiting(machine: Guest) -> None:
    machine.write("/etc/aptguard/notify.d/tell", '#!/bin/sh\nsleep 3\ncat > "/root/told.$1"\n', 0o755)
    machine.write("/etc/aptguard/notify.d/open", "#!/bin/sh\ntouch /root/never\n", 0o777)
    identifier = blocked(machine)
    assert not machine.exists("/root/told.blocked")
    assert comes(lambda: machine.exists("/root/told.blocked") and machine.read("/root/told.blocked") != "")
    told = json.loads(machine.read("/root/told.blocked"))
    assert (told["event"], told["id"], told["verdict"]) == ("blocked", identifier, "block")
    assert told["findings"][0]["path"] == TREASURE
    assert comes(lambda: machine.run(["ls", "-A", "/run/aptguard/notify"]).stdout == "")
    assert not machine.exists("/root/never")
    refused = machine.journal("SYSLOG_IDENTIFIER=aptguard-notify")
    assert any("open was not told" in entry["MESSAGE"] for entry in refused)
    machine.run("rm /etc/aptguard/notify.d/*; aptguard log")


def test_the_shipped_example_mails_what_was_blocked(machine: Guest) -> None:
    machine.write("/usr/sbin/sendmail", "#!/bin/sh\ncat > /root/mail\n", 0o755)
    machine.run("cp /usr/share/doc/aptguard/examples/mail /etc/aptguard/notify.d/mail")
    identifier = blocked(machine)
    assert comes(lambda: machine.exists("/root/mail") and "rule" in machine.read("/root/mail"))
    mail = machine.read("/root/mail")
    assert re.search(rf"^Subject: aptguard on \S+: blocked {identifier}$", mail, re.MULTILINE)
    assert TREASURE in mail and "heir postrm remove" in mail
    machine.run("rm /etc/aptguard/notify.d/*; aptguard log")


# The notifier alone: its module is the daemon's, too.
DROP_IN = "/run/systemd/system/aptguard-notify.service.d"
BROKEN = "[Service]\nExecStart=\nExecStart=/usr/bin/python3 -I -m aptguard.alerts.of_no_such_name\n"
TELL = '#!/bin/sh\necho "$1" >> /root/told\n'


def starts_of_the_notifier(guest: Guest) -> int:
    return len(guest.journal("UNIT=aptguard-notify.service", "JOB_TYPE=start", "JOB_RESULT=failed"))


def wait_until_it_rests(guest: Guest) -> None:
    """Wait for the end of the notifier, and for what systemd does after that."""
    ended = "systemctl show --value -p ActiveState aptguard-notify.service"
    rests = lambda: guest.run(ended).stdout.strip() in ("inactive", "failed")  # noqa: E731
    assert comes(lambda: rests() and guest.run(["ls", "-A", "/run/aptguard/notify"]).stdout == "")


def test_a_notifier_that_does_not_start_is_not_tried_for_ever_and_tells_all_once_it_does(
    machine: Guest,
) -> None:
    machine.write("/etc/aptguard/notify.d/tell", TELL, 0o755)
    before = starts_of_the_notifier(machine)
    machine.write(f"{DROP_IN}/broken.conf", BROKEN)
    machine.run(["systemctl", "daemon-reload"])
    try:
        machine.run("aptguard pause --for 1min --reason trial; aptguard resume")
        assert comes(lambda: starts_of_the_notifier(machine) > before)
        wait_until_it_rests(machine)
        assert starts_of_the_notifier(machine) - before <= 2, "once for each event"
        assert machine.run(["systemctl", "is-active", "aptguard-notify.path"]).stdout == "active\n"
    finally:
        machine.run(f"rm -r {DROP_IN}; systemctl daemon-reload")
    assert not machine.exists("/root/told")
    blocked(machine)
    assert comes(lambda: machine.exists("/root/told") and "blocked" in machine.read("/root/told"))
    assert machine.read("/root/told").split() == ["paused", "resumed", "blocked"]
    assert machine.run(["ls", "-A", "/run/aptguard/notify-aside"]).stdout == ""
    machine.run("rm /etc/aptguard/notify.d/* /root/told; aptguard log")


def test_what_is_no_event_does_not_start_the_notifier_for_ever(machine: Guest) -> None:
    machine.write("/etc/aptguard/notify.d/tell", TELL, 0o755)
    machine.run("mkdir -p /run/aptguard/notify/stray/directory")
    wait_until_it_rests(machine)
    assert machine.run("ls /run/aptguard/notify-aside/stray.*").stdout == "directory\n"
    blocked(machine)
    assert comes(lambda: machine.exists("/root/told") and machine.read("/root/told") == "blocked\n")
    machine.run("rm -r /run/aptguard/notify-aside /etc/aptguard/notify.d/* /root/told; aptguard log")


def test_a_hundred_events_in_a_row_are_all_told(machine: Guest) -> None:
    machine.write("/etc/aptguard/notify.d/tell", TELL, 0o755)
    machine.run("for _ in $(seq 50); do aptguard pause --for 1min --reason trial && aptguard resume; done")
    assert comes(lambda: machine.read("/root/told").split() == ["paused", "resumed"] * 50)
    machine.run("rm /etc/aptguard/notify.d/* /root/told; aptguard log")
