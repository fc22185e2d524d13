# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of aptguard's own package, in all front ends: how each is told to do each deed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packages.builder import build_deb
from packages.other_version import NEWER
from testbed.guest import Guest
from testbed.repository import publish

# A life goes through these in this order, and ends as it has begun: with the old version installed.
DEEDS = (
    "upgrade",
    "downgrade",
    "reinstall",
    "remove",
    "purge what is left",
    "install",
    "purge",
    "remove with its libraries",
)
BACK = "dpkg -i /root/toys/old.deb"
PKCON = "pkcon --plain --noninteractive"
PKCON_OLD = "'aptguard;OLD;all;'"

# A front end that lacks a deed does not have it.
COMMANDS: dict[str, dict[str, str]] = {
    "apt-get": {
        "upgrade": "apt-get -q -y install --only-upgrade aptguard",
        "downgrade": "apt-get -q -y --allow-downgrades install aptguard=OLD",
        "reinstall": "apt-get -q -y install --reinstall aptguard=OLD",
        "remove": "apt-get -q -y remove aptguard",
        "purge what is left": "apt-get -q -y purge aptguard",
        "install": "apt-get -q -y install aptguard=OLD",
        "purge": "apt-get -q -y purge aptguard",
        "remove with its libraries": "apt-get -q -y purge python3-structlog python3-systemd python3-pydantic",
    },
    "apt": {
        "upgrade": "apt -q -y install --only-upgrade aptguard",
        "downgrade": "apt -q -y --allow-downgrades install aptguard=OLD",
        "reinstall": "apt -q -y reinstall aptguard=OLD",
        "remove": "apt -q -y remove aptguard",
        "purge what is left": "apt -q -y purge aptguard",
        "install": "apt -q -y install aptguard=OLD",
        "purge": "apt -q -y purge aptguard",
        "remove with its libraries": "apt -q -y remove python3-structlog",
    },
    "aptitude": {
        "upgrade": "aptitude -q -y install aptguard",
        "downgrade": "aptitude -q -y install aptguard=OLD",
        "reinstall": "aptitude -q -y reinstall aptguard",
        "remove": "aptitude -q -y remove aptguard",
        "purge what is left": "aptitude -q -y purge aptguard",
        "install": "aptitude -q -y install aptguard=OLD",
        "purge": "aptitude -q -y purge aptguard",
        "remove with its libraries": "aptitude -q -y purge aptguard python3-structlog",
    },
    "python-apt": {
        "upgrade": f"a-program install:aptguard={NEWER}",
        "downgrade": "a-program install:aptguard=OLD",
        "reinstall": "a-program reinstall:aptguard=OLD",
        "remove": "a-program remove:aptguard",
        "install": "a-program install:aptguard=OLD",
        "purge": "a-program purge:aptguard",
        "remove with its libraries": "a-program purge:python3-structlog",
    },
    "PackageKit": {
        "upgrade": f"{PKCON} update aptguard",
        "downgrade": f"{PKCON} install --allow-downgrade {PKCON_OLD}",
        "remove": f"{PKCON} remove aptguard",
        "install": f"{PKCON} install {PKCON_OLD}",
        "remove with its libraries": f"{PKCON} remove aptguard python3-structlog",
    },
    "unattended-upgrades": {"upgrade": "unattended-upgrade"},
    "dpkg": {
        "upgrade": "dpkg -i /root/toys/newer.deb",
        "downgrade": "dpkg -i /root/toys/old.deb",
        "reinstall": "dpkg -i /root/toys/old.deb",
        "remove": "dpkg -r aptguard",
        "purge what is left": "dpkg -P aptguard",
        "install": "dpkg -i /root/toys/old.deb",
        "purge": "dpkg -P aptguard",
        "remove with its libraries": "dpkg -r aptguard python3-structlog python3-systemd",
    },
}
# What dpkg then says of aptguard; a purge is none where the front end has only removals.
AFTERWARDS = {
    "upgrade": (f"ii {NEWER}",),
    "downgrade": ("ii OLD",),
    "reinstall": ("ii OLD",),
    "remove": ("rc OLD",),
    "purge what is left": ("un",),
    "install": ("ii OLD",),
    "purge": ("un",),
    "remove with its libraries": ("rc OLD", "un"),
}
HARM = "[ $1 != remove ] || rm -f /srv/treasure"


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted machine that has aptguard in the old version and can get the newer one."""

    guest: Guest
    old: str

    def does(self, front_end: str, deed: str) -> None:
        """Do the deed by this front end, and look whether all is as it should be."""
        command = COMMANDS[front_end][deed].replace("OLD", self.old)
        self.guest.run("rm -f /var/lib/aptitude/pkgstates*")  # aptitude remembers what it could not do
        done = self.guest.run(command, check=False, timeout=300, env={"DEBIAN_FRONTEND": "noninteractive"})
        said = f"{front_end}: {deed}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        states = [state.replace("OLD", self.old) for state in AFTERWARDS[deed]]
        assert self.status() in states, said
        for word in ("BLOCKED", "NOT ", "Traceback", "No such file", "Could not", "no verdict"):
            assert word not in done.stderr, said
        assert self.guest.run(["dpkg", "--audit"]).stdout == "", said
        if states[0].startswith("ii"):
            self.assert_guarded(said)
        else:
            self.assert_free(said)

    def status(self) -> str:
        """Return dpkg's words for aptguard (``ii 1.0``), ``un`` when it knows none."""
        query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}", "aptguard"]
        words = self.guest.run(query, check=False).stdout.split()
        return " ".join(words) if words and words[0] != "un" else "un"

    def assert_guarded(self, said: str) -> None:
        """Check that harm is stopped by this very aptguard."""
        stopped = self.guest.run(["dpkg", "-r", "harmful"], check=False)
        assert stopped.returncode == 2 and "BLOCKED" in stopped.stderr, said + stopped.stderr
        assert self.guest.exists("/srv/treasure")

    def assert_free(self, said: str) -> None:
        """Check that packages come and go as if there had never been an aptguard."""
        done = self.guest.run(
            "dpkg -r harmless; dpkg -i /root/toys/harmless.deb;"
            "apt-get -q -y remove harmless; apt-get -q -y install harmless;"
            """test -z "$(systemctl --plain --no-legend list-units 'aptguard*')";"""
            """test -z "$(pgrep -af '/usr/libexec/[a]ptguard')";"""
            """test -z "$(apt-config dump | grep aptguard)";"""
        )
        assert "aptguard" not in done.stdout + done.stderr, said + done.stdout + done.stderr
        assert not self.guest.exists("/run/aptguard/io.github.aptguard"), said


def furnish(guest: Guest, directory: str, old_deb: str, newer_deb: str) -> None:
    """Give the machine both versions, one package that does harm when it goes, and one that does none."""
    harmful = build_deb(directory, "harmful", scripts={"prerm": HARM})
    harmless = build_deb(directory, "harmless")
    for name, deb in (("old", old_deb), ("newer", newer_deb), ("harmful", harmful), ("harmless", harmless)):
        guest.copy_in(deb, f"/root/toys/{name}.deb")
    publish(guest, [old_deb, newer_deb, harmful, harmless])
    guest.run("apt-get -q -y install harmful harmless")
    guest.write("/etc/apt/sources.list", "")  # unattended-upgrades makes one
    guest.write("/srv/treasure", "treasure\n")


def life_of(front_end: str) -> tuple[tuple[str, str], ...]:
    """Return a life by one front end; what it does not have, dpkg does."""
    own = COMMANDS[front_end]
    return tuple((front_end if deed in own else "dpkg", deed) for deed in DEEDS)


def missing() -> Iterator[tuple[str, str]]:
    """Yield the deeds that front ends do not have."""
    for front_end, own in COMMANDS.items():
        yield from ((front_end, deed) for deed in DEEDS if deed not in own)
