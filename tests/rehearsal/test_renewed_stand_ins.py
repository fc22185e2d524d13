# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction that brings a program with a stand-in is rehearsed with a stand-in for what it brought."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.changes.model import Change
from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import DESTRUCTION, RehearsalResult, Step
from aptguard.transaction.model import Action, Item, Transaction
from packages.builder import build_deb
from rehearsal.machine import Machine, shell

pytestmark = pytest.mark.needs_root

_SYSTEMCTL = r"""#!/bin/sh
# {version}
[ -z "$SYSTEMD_OFFLINE" ] || {{ echo 'Running in chroot, ignoring command'; exit 0; }}
case "$1" in
is-system-running) echo running ;;
--quiet) exit 4 ;;
show) printf '%s\n' Id=idle.service Names=idle.service LoadState=loaded ActiveState=inactive SubState=dead ;;
esac
"""
NEW = _SYSTEMCTL.format(version="the new one, from the package")
ASKING = "systemctl is-active -q idle || rm -rf /srv/data/table"


@pytest.fixture
def manager(machine: Machine) -> Machine:
    machine.write("/usr/bin/systemctl", _SYSTEMCTL.format(version="old"), 0o755)
    machine.write("/srv/data/table")
    return machine


def archive(machine: Machine, directory: Path, name: str, **parts: object) -> bytes:
    """Build a package and put it where the machine has it."""
    built = build_deb(directory / "debs", name, **parts)  # type: ignore[arg-type]
    inside = "/var/tmp/" + os.path.basename(built)
    machine.write(inside)
    with open(built, "rb") as source, open(machine.path(inside), "wb") as copy:
        copy.write(source.read())
    return inside.encode()


def bringing(machine: Machine, directory: Path, text: str = NEW, path: str = "/usr/bin/systemctl") -> bytes:
    postrm = "systemctl stop idle || true"
    return archive(
        machine, directory, "bringing", files={path: text}, modes={path: 0o755}, scripts={"postrm": postrm}
    )


def apt_installs(*archives: bytes) -> tuple[Step, ...]:
    items = tuple(
        Item(
            os.path.basename(one).split(b"_")[0].decode(),
            "all",
            Action.INSTALL,
            new_version="1.0",
            archive=one,
        )
        for one in archives
    )
    return steps(Transaction("apt-get", items), triggers=True)


def dpkg_installs(*archives: bytes) -> tuple[Step, ...]:
    return (Step((b"/usr/bin/dpkg", b"--force-unsafe-io", b"-i", *archives)),)


def change_of(result: RehearsalResult, path: str) -> Change:
    (found,) = [change for change in result.changes if change.path == path.encode()]
    return found


def deleted(result: RehearsalResult) -> set[bytes]:
    return {change.path for change in result.changes if change.deleted}


@pytest.mark.parametrize("installs", [apt_installs, dpkg_installs])
@pytest.mark.parametrize("script", ["preinst", "postinst"])
def test_a_service_manager_that_comes_with_the_package_whose_script_asks_it_is_stood_in_for(
    manager: Machine, tmp_path: Path, installs: object, script: str
) -> None:
    toy = archive(manager, tmp_path, "toy", scripts={script: ASKING})
    result = manager.rehearse(*installs(bringing(manager, tmp_path), toy))  # type: ignore[operator]
    assert result.complete, (result.unknowns, result.output)
    assert b"/srv/data/table" in deleted(result), result.output
    assert result.unknowns == ()


def test_what_a_transaction_brings_is_told_as_it_came(manager: Machine, tmp_path: Path) -> None:
    result = manager.rehearse(*apt_installs(bringing(manager, tmp_path)))
    change = change_of(result, "/usr/bin/systemctl")
    assert change.after is not None and change.before is not None
    assert (change.after.size, change.after.mode) == (len(NEW), 0o755)
    assert change.before.size == len(_SYSTEMCTL.format(version="old"))
    assert change.cause is not None and (change.cause.package, change.cause.script) == ("bringing", None)
    assert [one.path for one in result.changes if b"aptguard-rehearsal" in one.path] == []


def test_what_scripts_do_to_a_program_that_was_just_brought_is_told(manager: Machine, tmp_path: Path) -> None:
    brings = dpkg_installs(bringing(manager, tmp_path))
    result = manager.rehearse(*brings, shell("chmod 0700 /usr/bin/systemctl"))
    after = change_of(result, "/usr/bin/systemctl").after
    assert after is not None and (after.size, after.mode) == (len(NEW), 0o700)
    result = manager.rehearse(*brings, shell("rm /usr/bin/systemctl"))
    assert change_of(result, "/usr/bin/systemctl").deleted
    result = manager.rehearse(*brings, shell("echo x > /usr/bin/systemctl"))
    after = change_of(result, "/usr/bin/systemctl").after
    assert after is not None and after.size == 2


def test_the_call_of_a_tool_that_is_new_on_the_machine_is_recorded_under_its_further_name_too(
    manager: Machine, tmp_path: Path
) -> None:
    text = '#!/bin/sh\necho "called as ${0##*/}"; exit 5\n'
    volumes = archive(
        manager,
        tmp_path,
        "volumes",
        files={"/usr/sbin/lvm": text},
        modes={"/usr/sbin/lvm": 0o755},
        links={"/usr/sbin/lvremove": "lvm"},
    )
    toy = archive(manager, tmp_path, "toy", scripts={"postinst": "lvremove -f group/volume || true"})
    result = manager.rehearse(*dpkg_installs(volumes, toy))
    assert [(one.kind, one.cause) for one in result.effects] == [(DESTRUCTION, "toy postinst")]
    assert b"called as lvremove" in result.output
    assert result.unknowns == ()


def test_a_program_that_is_called_as_soon_as_a_script_has_brought_it_is_an_unknown(manager: Machine) -> None:
    # The shell does both itself: no program starts between the change and the call.
    script = (
        "exec 3> /usr/bin/systemctl; printf '#!/bin/sh\\nexit 0\\n' >&3; exec 3>&-; systemctl is-active x"
    )
    result = manager.rehearse(shell(script))
    assert any("before its calls could be recorded" in one.reason for one in result.unknowns), result


def test_without_anybody_to_wait_for_a_program_that_was_replaced_within_a_step_is_an_unknown(
    manager: Machine, tmp_path: Path
) -> None:
    brings, asks = dpkg_installs(bringing(manager, tmp_path)), shell(ASKING)
    manager.write("/etc/ld.so.cache", "")
    os.unlink(manager.path("/etc/ld.so.cache"))
    result = manager.rehearse(*brings, asks)
    assert b"/srv/data/table" in deleted(result), result.output
    assert any("not all calls since then are recorded" in one.reason for one in result.unknowns), result


def test_a_program_that_a_script_brings_after_more_starts_than_wait_is_an_unknown(
    manager: Machine, tmp_path: Path
) -> None:
    many = "i=0; while [ $i -lt 2100 ]; do /bin/true; i=$((i + 1)); done"
    bring = "printf '#!/bin/sh\\n' > /new; chmod 755 /new; mv /new /usr/bin/systemctl"
    first = archive(manager, tmp_path, "first", scripts={"postinst": f"{many}; {bring}; systemctl start x"})
    second = archive(manager, tmp_path, "second", scripts={"postinst": "true"})
    result = manager.rehearse(*dpkg_installs(first, second))
    assert any("not all calls since then are recorded" in one.reason for one in result.unknowns), result


def test_programs_that_start_after_the_linkers_cache_was_renewed_are_not_taken_for_held(
    manager: Machine, tmp_path: Path
) -> None:
    # The flood lets the watcher gather changes for a while, the new cache among them.
    for number in range(10):
        manager.write(f"/new{number}", NEW, 0o755)
    script = """
        for n in 0 1 2 3 4 5 6 7 8 9; do
            i=0; while [ $i -lt 400 ]; do : > /srv/data/f$i; i=$((i + 1)); done
            ldconfig; mv /new$n /usr/bin/systemctl; /bin/true
            systemctl is-active -q idle || : > /srv/data/seen$n
        done
    """
    result = manager.rehearse(*dpkg_installs(archive(manager, tmp_path, "toy", scripts={"postinst": script})))
    seen = {change.path for change in result.changes if change.path.startswith(b"/srv/data/seen")}
    assert len(seen) == 10 or result.unknowns, seen


def test_programs_that_start_without_the_linkers_cache_are_not_taken_for_held(
    manager: Machine, tmp_path: Path
) -> None:
    manager.write("/new", NEW, 0o755)
    script = f"rm /etc/ld.so.cache\nmv /new /usr/bin/systemctl\n/bin/true\n{ASKING}\nldconfig\n"
    result = manager.rehearse(*dpkg_installs(archive(manager, tmp_path, "toy", scripts={"postinst": script})))
    assert b"/srv/data/table" in deleted(result) or result.unknowns


def test_a_new_cache_of_the_linker_alone_makes_nothing_unknown(manager: Machine, tmp_path: Path) -> None:
    bringing_it = bringing(manager, tmp_path)
    toy = archive(manager, tmp_path, "toy", scripts={"postinst": f"ldconfig\n{ASKING}\nldconfig"})
    result = manager.rehearse(*dpkg_installs(bringing_it, toy))
    assert b"/srv/data/table" in deleted(result), result.output
    assert result.unknowns == ()
