# SPDX-License-Identifier: GPL-3.0-or-later
"""There is no side door: each front end, told what it can be told, on a booted machine.

The harmful twin of each case is blocked with nothing changed; the harmless one does what it is told. Of the
further cases only harmful ones by those who are furthest from apt-get; all of them with APTGUARD_WHOLE=1, as
``make test-lifecycle`` sets it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from packages.front_end_toys import TREASURE, build_toys
from system.drivers import LOCKS, put_drivers
from system.front_ends import PACKAGES, TOYS, Case, all_cases
from system.more_front_ends import more_cases
from testbed import snapshot
from testbed.guest import Guest
from testbed.repository import publish
from testbed.server import install_aptguard
from testbed.trees import CODENAMES, guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]


def due_cases() -> Iterator[object]:
    """Yield what runs on which Debian, one Debian after the other."""
    whole = os.environ.get("APTGUARD_WHOLE", "") not in {"", "0"}
    for version in sorted(CODENAMES):
        for case in all_cases():
            yield pytest.param(version, case, id=f"{case.name}-debian{version}")
        for case in more_cases():
            far = case.name.startswith(("aptitude", "python-apt")) and case.afterwards is None
            if whole or far:
                yield pytest.param(version, case, id=f"{case.name}-debian{version}")


WITNESSED = ("/var/lib/dpkg", "/var/lib/apt", "/srv", "/etc")
# dpkg's copies of its own files from before its last change, and the names of its locks.
NOT_WITNESSED = ("-old", "/lock", "/lock-frontend", "/triggers/Lock", "-stamp")

# dpkg's files but for its locks, which somebody may have open, and those of the toys.
KEEP = """
cd /
find var/lib/dpkg var/lib/apt/extended_states usr/lib/bad-* usr/lib/good-* usr/lib/gone-* \\
    -type f ! -name 'lock*' ! -name Lock > /root/files
tar --create --file /root/sound.tar --files-from /root/files
"""
# What a case left behind goes, what it took away comes back. apt takes its cache for fresh when dpkg's status
# file has the same size and second as before, as it can have here.
RESTORE = """
cd /
rm -rf usr/lib/bad-* usr/lib/good-* usr/lib/gone-*
find var/lib/dpkg -type f ! -name 'lock*' ! -name Lock -delete
tar --extract --touch --file /root/sound.tar
rm -f /var/cache/apt/pkgcache.bin /var/lib/aptitude/pkgstates /etc/aptguard/policy.d/triggers.toml
"""


@dataclass
class Machine:
    """A booted machine with aptguard, all front ends and the toys."""

    guest: Guest
    sound: snapshot.Snapshot
    now: snapshot.Snapshot

    def look(self) -> snapshot.Snapshot:
        """Return what the witness outside sees."""
        found = snapshot.take(self.guest.path("/"), WITNESSED)
        return {path: entry for path, entry in found.items() if not os.fsdecode(path).endswith(NOT_WITNESSED)}

    def restore(self) -> None:
        """Have the toys as they were before the first case."""
        self.guest.run(RESTORE)
        self.guest.write(TREASURE, "treasure\n")

    def status(self, package: str) -> str:
        """Return dpkg's words for a package (``ii 1.0``), ``un`` when it knows none."""
        query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}", package]
        words = self.guest.run(query, check=False).stdout.split()
        return " ".join(words) if words and words[0] != "un" else "un"


@pytest.fixture(scope="module")
def machine(
    needs_guest: None, version: str, aptguard_deb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    archives = build_toys(tmp_path_factory.mktemp("toys"))
    with Guest(version, tree=guest_tree_with(version, PACKAGES)) as guest:
        publish(guest, archives, alone=True)
        for archive in archives:
            guest.copy_in(archive, f"{TOYS}/{os.path.basename(archive)}")
        put_drivers(guest)
        guest.run(f"cd {TOYS}; dpkg -i $(printf '%s\\n' *_2.0_all.deb)")
        guest.write("/etc/apt/sources.list", "")  # unattended-upgrades makes one
        guest.run(["systemctl", "start", "packagekit.service"])
        install_aptguard(guest, aptguard_deb)
        guest.run("apt-mark showauto | xargs --no-run-if-empty apt-mark -qq manual")
        guest.run(KEEP)
        guest.write(TREASURE, "treasure\n")
        machine = Machine(guest, {}, {})
        machine.sound = machine.look()
        yield machine


@pytest.fixture
def restored(machine: Machine) -> Machine:
    machine.now = machine.look()
    if snapshot.differences(machine.sound, machine.now):
        machine.restore()
        machine.now = machine.look()
        assert snapshot.differences(machine.sound, machine.now) == []
    return machine


# Without the scope it would be that of `case`, a function, and each case would boot a machine of its own.
@pytest.mark.parametrize(("version", "case"), due_cases(), indirect=["version"], scope="module")
def test_harm_is_blocked_and_all_else_done(restored: Machine, case: Case) -> None:
    guest = restored.guest
    before = restored.now
    if case.before:
        guest.run(case.before)
        before = restored.look()
    complaints = guest.run(["dpkg", "--audit"]).stdout if case.afterwards is None else ""
    done = guest.run(case.command, check=False)
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == case.exit_code, said
    if case.afterwards is None:
        changed = snapshot.differences(before, restored.look())
        assert changed == [], "\n".join([*map(str, changed), said])
        assert guest.run(["python3", "-c", LOCKS]).stderr == ""
        assert guest.run(["dpkg", "--audit"]).stdout == complaints
        # Of Debian 12, unattended-upgrade keeps what it is told to its log.
        assert "aptguard" in said or "unattended-upgrade" in case.command
    else:
        assert {package: restored.status(package) for package in case.afterwards} == case.afterwards, said
        assert guest.exists(TREASURE), said
        assert "BLOCKED" not in said
