# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit on booted Debians: the land mines among many packages, and going on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packages.builder import build_deb
from testbed import snapshot
from testbed.guest import Guest
from testbed.server import install_aptguard

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]

HARMLESS = [f"harmless{number}" for number in range(8)]
MINE = 'if [ "$1" = purge ]; then rm -rf /srv/customers; fi'
LEFT_OVER = 'if [ "$1" = purge ]; then rm -f /home/alice/letter; fi'
TIDY = 'if [ "$1" = purge ]; then rm -rf /var/lib/{name}; fi'
ACCOUNT = "useradd --system --home-dir / --no-create-home obsolete"

# Kills the audit as soon as it has told something, the harder way.
INTERRUPT = """
aptguard audit --jobs 2 {names} & pid=$!
until [ "$(wc -l < /var/lib/aptguard/audit.jsonl)" -ge 4 ]; do
    kill -0 $pid || exit 9
    sleep 0.05
done 2> /dev/null
kill -KILL $pid
wait $pid || true
"""


@pytest.fixture(scope="module")
def machine(version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    directory: Path = tmp_path_factory.mktemp("toys")
    with Guest(version, network="private") as guest:
        debs = [build_deb(directory, "mine", scripts={"postrm": MINE})]
        debs += [
            build_deb(directory, "leftover", scripts={"postrm": LEFT_OVER}, files={"/etc/leftover": "x"})
        ]
        debs += [
            build_deb(
                directory, name, scripts={"postrm": TIDY.format(name=name)}, files={f"/opt/{name}/x": "x"}
            )
            for name in HARMLESS
        ]
        guest.run(["dpkg", "-i", *(guest.copy_in(deb, f"/root/{Path(deb).name}") for deb in debs)])
        guest.run("dpkg -r leftover")
        guest.write("/srv/customers/list", "customers\n")
        guest.write("/home/alice/letter", "letter\n")
        for name in HARMLESS:
            guest.write(f"/var/lib/{name}/state", "state\n")
        install_aptguard(guest, aptguard_deb)
        yield guest


@pytest.fixture(scope="module")
def audited(machine: Guest) -> dict[str, Any]:
    """What an audit of the whole machine says, with the machine looked at before and after."""
    before = snapshot.take(machine.path("/"))
    done = machine.run("aptguard audit --json --html /var/log/audit.html", check=False, timeout=500)
    assert done.returncode == 10, done.stdout + done.stderr
    harm = snapshot.harm(before, snapshot.take(machine.path("/")))
    assert harm == [], list(map(str, harm))
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_land_mines_are_found_among_many_packages(audited: dict[str, Any]) -> None:
    mines = {one["package"]: one for one in audited["land_mines"]}
    assert set(mines) == {"mine", "leftover"}, json.dumps(audited["land_mines"], indent=1)
    assert audited["rehearsed"] > 50
    (finding,) = mines["mine"]["findings"]
    assert finding["path"] == "/srv/customers" and finding["script"] == "postrm purge"
    assert mines["leftover"]["status"] == "config-files"
    assert mines["leftover"]["findings"][0]["path"] == "/home/alice/letter"


def test_packages_that_clean_up_after_themselves_are_harmless(audited: dict[str, Any]) -> None:
    assert {f"{name}:all" for name in HARMLESS} <= set(audited["harmless"])


def test_only_what_refuses_to_go_is_not_known(audited: dict[str, Any]) -> None:
    # systemd's own prerm refuses while it runs the machine; dbus stays, with a trigger, where its half goes.
    refusing = {"systemd", "dbus-system-bus-common"}
    assert {one["package"] for one in audited["unknown"]} <= refusing, json.dumps(audited["unknown"])


def test_the_page_is_there_for_root_alone(machine: Guest, audited: dict[str, Any]) -> None:
    assert machine.run("stat -c %a /var/log/audit.html").stdout.strip() == "600"
    assert "/srv/customers" in machine.read("/var/log/audit.html")


def test_harmless_packages_alone_end_with_0(machine: Guest) -> None:
    done = machine.run(["aptguard", "audit", *HARMLESS[:2]])
    assert "2 purges rehearsed" in done.stdout and "0 land mines" in done.stdout


def test_an_account_whose_home_is_the_root_is_a_danger_by_itself(machine: Guest) -> None:
    machine.run(ACCOUNT)
    done = machine.run(["aptguard", "audit", HARMLESS[0]], check=False)
    machine.run(["userdel", "obsolete"])
    assert done.returncode == 10 and "obsolete" in done.stdout


def test_a_name_that_nobody_knows_is_refused(machine: Guest) -> None:
    done = machine.run(["aptguard", "audit", "nosuch"], check=False)
    assert done.returncode == 2 and "nosuch is not installed" in done.stderr


def test_an_audit_that_was_killed_goes_on_and_leaves_nothing_running(machine: Guest) -> None:
    names = ["mine", "leftover", *HARMLESS]
    machine.run(INTERRUPT.replace("{names}", " ".join(names)), timeout=200)
    assert machine.run(["pgrep", "--exact", "aptguard"], check=False).stdout == ""
    done = machine.run(["aptguard", "audit", *names], check=False)
    assert done.returncode == 10 and "10 purges rehearsed" in done.stdout
    assert "an audit that was interrupted" in done.stderr
    assert not machine.exists("/var/lib/aptguard/audit.jsonl")
