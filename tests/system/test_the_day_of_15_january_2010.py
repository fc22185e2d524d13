# SPDX-License-Identifier: GPL-3.0-or-later
"""The day replayed: an obsolete package goes from a database server, and its account's home is ``/``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from packages.obsolete import OBSOLETE, Obsolete, build_obsolete
from testbed import snapshot
from testbed.guest import Completed, Guest
from testbed.server import install_aptguard, rows_of_customers
from testbed.trees import Tree

pytestmark = pytest.mark.needs_guest

NAMES = [package.name for package in OBSOLETE]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to get rid of the package, with the machine as it was before and after."""

    package: Obsolete
    action: str
    machine: Guest
    result: Completed
    before: snapshot.Snapshot
    after: snapshot.Snapshot
    rows_before: str
    rows_after: str

    @property
    def terminal(self) -> str:
        """All that was shown to the person who typed the command."""
        return self.result.stdout + self.result.stderr

    @property
    def event(self) -> dict[str, Any]:
        """The last journal entry of a blocked transaction that concerns this package."""
        entries = self.machine.journal("SYSLOG_IDENTIFIER=aptguard", "APTGUARD_EVENT=blocked")
        mine = [entry for entry in entries if self.package.name in values(entry, "APTGUARD_PACKAGE")]
        assert mine, f"no event 'blocked' for {self.package.name} in the journal: {entries}"
        return mine[-1]

    @property
    def identifier(self) -> str:
        """The short id that was shown on the terminal."""
        found = re.search(r"aptguard override (\S+)", self.terminal)
        assert found, f"the terminal names no override command:\n{self.terminal}"
        return found[1]

    def shown(self) -> dict[str, Any]:
        """The report as ``aptguard show ID --json`` has it."""
        return json.loads(self.machine.run(["aptguard", "show", self.identifier, "--json"]).stdout)


def values(entry: dict[str, Any], field: str) -> list[str]:
    """Return a journal field's values; a field that was sent once is a string, else a list."""
    value = entry.get(field, [])
    return [value] if isinstance(value, str) else value


@pytest.fixture(scope="module")
def server(postgresql_tree: Tree, version: str, aptguard_deb: str, tmp_path_factory: Any) -> Iterator[Guest]:
    """The database server, two years after the packages were installed; the guard came later."""
    directory = tmp_path_factory.mktemp("obsolete")
    with Guest(version, tree=postgresql_tree) as machine:
        debs = [
            machine.copy_in(build_obsolete(directory, package), f"/root/{package.name}.deb")
            for package in OBSOLETE
        ]
        machine.install(*debs)
        install_aptguard(machine, aptguard_deb)
        for package in OBSOLETE:
            assert machine.run(["getent", "passwd", package.account]).stdout.split(":")[5] == "/"
        yield machine


@pytest.fixture(scope="module", params=["purge", "remove"])
def action(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=OBSOLETE, ids=NAMES)
def attempt(server: Guest, action: str, request: pytest.FixtureRequest) -> Attempt:
    """``apt-get purge`` or ``apt-get remove`` of one of the packages, with witnesses outside the machine."""
    package: Obsolete = request.param
    rows_before = rows_of_customers(server)
    before = snapshot.take(server.path("/"))
    result = server.run(
        ["apt-get", "-y", action, package.name],
        env={"DEBIAN_FRONTEND": "noninteractive"},
        timeout=300,
        check=False,
    )
    after = snapshot.take(server.path("/"))
    rows_after = rows_of_customers(server)
    return Attempt(package, action, server, result, before, after, rows_before, rows_after)


def test_apt_ends_with_100(attempt: Attempt) -> None:
    assert attempt.result.returncode == 100, attempt.terminal


def test_every_file_of_the_machine_is_as_it_was(attempt: Attempt) -> None:
    assert len(attempt.before) > 10_000
    harm = snapshot.harm(attempt.before, attempt.after, snapshot.POSTGRESQL_WRITES)
    assert harm == [], [str(difference) for difference in harm[:40]]


def test_the_database_still_answers_with_the_same_rows(attempt: Attempt) -> None:
    assert attempt.rows_before.startswith("5000|")
    assert attempt.rows_after == attempt.rows_before


def test_the_package_is_still_installed(attempt: Attempt) -> None:
    status = attempt.machine.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", attempt.package.name])
    assert status.stdout.strip() == "ii"


def test_the_terminal_names_package_script_paths_rule_and_override(attempt: Attempt) -> None:
    findings = [f for f in attempt.shown()["findings"] if f["severity"] == "block"]
    assert attempt.package.name in attempt.terminal
    assert attempt.package.script in attempt.terminal
    assert any(finding["rule"] in attempt.terminal for finding in findings)
    paths = [finding["path"] for finding in findings if finding.get("path")]
    assert paths, "no finding names a path"
    assert any(path in attempt.terminal for path in paths)
    assert f"aptguard override {attempt.identifier} --reason" in attempt.terminal


def test_the_journal_has_the_event_with_its_fields(attempt: Attempt) -> None:
    event = attempt.event
    assert event["APTGUARD_ID"] == attempt.identifier
    assert event["APTGUARD_VERDICT"] == "block"
    assert event["PRIORITY"] == "2"
    assert re.fullmatch(r"[0-9a-f]{32}", event["MESSAGE_ID"])
    assert attempt.package.name in values(event, "APTGUARD_PACKAGE")
    assert any(attempt.package.script in script for script in values(event, "APTGUARD_SCRIPT"))
    assert all(path.startswith("/") for path in values(event, "APTGUARD_PATH"))
    assert values(event, "APTGUARD_PATH") and values(event, "APTGUARD_RULE")
    assert values(event, "APTGUARD_USER")


def test_log_and_show_tell_the_same(attempt: Attempt) -> None:
    log = attempt.machine.run(["aptguard", "log"]).stdout
    line = next((line for line in log.splitlines() if attempt.identifier in line), "")
    assert "block" in line.lower(), log
    text = attempt.machine.run(["aptguard", "show", attempt.identifier]).stdout
    report = attempt.shown()
    assert report["schema"] == 1
    assert report["id"] == attempt.identifier
    assert report["verdict"] == "block"
    (item,) = [i for i in report["transaction"]["items"] if i["package"] == attempt.package.name]
    assert item["action"] == attempt.action
    blocking = [finding for finding in report["findings"] if finding["severity"] == "block"]
    assert blocking
    assert {finding["package"] for finding in blocking if finding.get("package")} <= {attempt.package.name}
    assert set(values(attempt.event, "APTGUARD_RULE")) <= {finding["rule"] for finding in report["findings"]}
    for finding in blocking[:3]:
        assert finding["rule"] in text


def test_the_account_with_home_root_is_among_the_findings(attempt: Attempt) -> None:
    report = attempt.shown()
    told = json.dumps([report["findings"], report.get("notes", [])])
    assert attempt.package.account in told


def test_apt_still_works_afterwards(attempt: Attempt) -> None:
    assert attempt.machine.run(["apt-get", "check"], check=False).returncode == 0
    assert attempt.machine.run(["dpkg", "--audit"]).stdout == ""
