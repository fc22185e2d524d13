# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts have started by systemd-run or start-stop-daemon is rehearsed like what they do themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import UNCLEAR, RehearsalResult
from aptguard.transaction.model import Action, Item, Transaction
from packages.builder import build_deb
from rehearsal.machine import Machine
from rehearsal.toys import rehearse_purge

pytestmark = pytest.mark.needs_root


@pytest.fixture
def machine_with_data(machine: Machine) -> Machine:
    machine.write("/srv/data/table")
    machine.write("/usr/bin/systemd-run", "#!/bin/sh\necho the machine runs it >&2; exit 1\n", 0o755)
    return machine


def deleted(result: RehearsalResult) -> set[bytes]:
    return {change.path for change in result.changes if change.deleted}


def unclear(result: RehearsalResult) -> list[str]:
    return [effect.detail for effect in result.effects if effect.kind == UNCLEAR]


@pytest.mark.parametrize(
    "call",
    [
        "systemd-run rm -rf /srv/data/table",
        "systemd-run --wait rm -rf /srv/data/table",
        "systemd-run -q --wait --pipe -p Type=exec -- rm -rf /srv/data/table",
        "systemd-run --scope --unit=cleanup rm -rf /srv/data/table",
        "systemd-run --on-active=30 --unit cleanup /bin/sh -c 'rm -rf table; rm -rf srv/data/table'",
        "cd /srv; systemd-run -d --wait rm -rf data/table",
        "systemd-run --wait --working-directory=/srv/data -u x rm -rf table",
        "systemd-run --service-type=oneshot -E WHAT=/srv/data/table sh -c 'rm -rf `printenv WHAT`'",
        "chown games /srv/data /srv/data/table; systemd-run --uid=games --wait rm /srv/data/table",
        "start-stop-daemon --start --exec /bin/rm -- -rf /srv/data/table",
        "start-stop-daemon -S -b -x /bin/rm -- -rf /srv/data/table",
        "start-stop-daemon --start --startas /bin/sh --name x -- -c 'rm -rf /srv/data/table'",
        "start-stop-daemon --start --chdir /srv/data --exec /usr/bin/rm -- -rf table",
        "ln -s /bin/rm /sbin/food; start-stop-daemon --start --exec /sbin/food -- -rf /srv/data/table",
    ],
)
def test_what_a_postrm_has_run_by_another_program_is_told(
    machine_with_data: Machine, tmp_path: Path, call: str
) -> None:
    result = rehearse_purge(machine_with_data, tmp_path, call)
    assert result.complete, (result.unknowns, result.output)
    assert b"/srv/data/table" in deleted(result)
    assert unclear(result) == []
    assert machine_with_data.read("/srv/data/table") == "kept\n"


def test_a_command_of_systemd_run_has_no_environment_of_the_script(machine_with_data: Machine) -> None:
    script = "cd /srv; FOO=1 systemd-run -q --wait --pipe -E BAR=2 sh -c 'pwd; env'; echo $?"
    words = machine_with_data.rehearse_shell(script).output.split()
    assert words[0] == b"/"
    assert b"BAR=2" in words
    assert b"FOO=1" not in words
    assert words[-1] == b"0"


def test_systemd_run_ends_as_its_command_does_only_when_it_waits(machine_with_data: Machine) -> None:
    calls = ("--wait sh -c 'exit 7'", "sh -c 'exit 7'", "--scope sh -c 'exit 7'", "/no/such/program", "")
    calls = (*calls, "--service-type=oneshot sh -c 'exit 7'", "--wait sh -c 'kill -9 $$$$'")
    script = "; ".join(f"systemd-run {call}; echo =$?" for call in calls)
    output = machine_with_data.rehearse_shell(script).output
    codes = [int(line[1:]) for line in output.splitlines() if line.startswith(b"=")]
    assert codes == [7, 0, 7, 1, 1, 1, 1], output


@pytest.mark.parametrize(
    "call",
    [
        "systemd-run -M container rm -rf /srv/data",
        "systemd-run -p RootDirectory=/srv/root rm -rf /data",
        "systemd-run -p ExecStopPost='/bin/rm -rf /srv/data' true",
        "systemd-run --path-property=PathExists=/srv/x rm -rf /srv/data/table",
        "systemd-run sh -c 'rm -rf $WHAT'",
    ],
)
def test_what_systemd_would_run_otherwise_than_the_rehearsal_can_is_not_clear(
    machine_with_data: Machine, call: str
) -> None:
    assert unclear(machine_with_data.rehearse_shell(f"{call} || true"))


def test_what_is_given_to_the_journal_is_no_doubt_and_what_writes_to_it_runs(
    machine_with_data: Machine,
) -> None:
    machine_with_data.write("/usr/bin/systemd-cat", "#!/bin/sh\nexit 1\n", 0o755)
    script = (
        "echo x | systemd-cat -t toy -p info; echo =$?; systemd-cat -t toy sh -c 'echo x; exit 7'; echo =$?"
    )
    result = machine_with_data.rehearse_shell(script)
    assert (result.output.split(), result.effects) == ([b"=0", b"=7"], ())
    result = machine_with_data.rehearse_shell("systemd-cat --identifier toy rm -rf /srv/data/table")
    assert b"/srv/data/table" in deleted(result)


def test_without_systemd_nothing_is_run_by_it(machine_with_data: Machine) -> None:
    machine_with_data.run("rmdir", "/run/systemd/system")
    result = machine_with_data.rehearse_shell("systemd-run --wait rm -rf /srv/data/table || echo failed")
    assert b"the machine runs it\nfailed" in result.output
    assert deleted(result) == set()


def test_a_package_that_starts_its_own_daemon_is_only_recorded(machine: Machine, tmp_path: Path) -> None:
    archive = build_deb(
        tmp_path / "debs",
        "toy",
        files={"/usr/sbin/toyd": "#!/bin/sh\ntouch /srv/data/started; sleep 4345\n"},
        modes={"/usr/sbin/toyd": 0o755},
        scripts={
            "postinst": "start-stop-daemon --start --quiet --background --exec /usr/sbin/toyd -- -d",
            "prerm": "start-stop-daemon --stop --oknodo --exec /usr/sbin/toyd",
        },
    )
    machine.write("/var/tmp/empty")
    with open(archive, "rb") as source, open(machine.path("/var/tmp/toy.deb"), "wb") as copy:
        copy.write(source.read())
    item = Item("toy", "all", Action.INSTALL, new_version="1.0", archive=b"/var/tmp/toy.deb")
    result = machine.rehearse(*steps(Transaction("apt-get", (item,)), triggers=True))
    assert result.complete, (result.unknowns, result.output)
    assert result.unknowns == ()
    assert [(one.kind, one.cause) for one in result.effects] == [("service", "toy postinst")]
    assert b"/srv/data/started" not in {change.path for change in result.changes}


def test_a_payload_that_goes_on_is_seen_to_do_so(machine_with_data: Machine) -> None:
    result = machine_with_data.rehearse_shell("systemd-run sh -c 'sleep 60; rm -rf /srv/data/table'")
    assert any("sleep 60" in unknown.reason for unknown in result.unknowns)
