# SPDX-License-Identifier: GPL-3.0-or-later
"""A guarded machine for one incident: an overlay on a tree that has aptguard, up in a tenth of a second."""

from __future__ import annotations

import hashlib
import os
import stat
from datetime import datetime, timedelta

from testbed import cache
from testbed.guest import Container, Guest, _children
from testbed.trees import Tree, base_tree

APT_CONFIGURATION = "/etc/apt/apt.conf.d/05aptguard"
DPKG_CONFIGURATION = "/etc/dpkg/dpkg.cfg.d/aptguard"
TWO_YEARS = timedelta(days=730)
TWO_YEARS_NS = int(TWO_YEARS.total_seconds()) * 10**9
STATE = "/var/lib/aptguard"

_FAST = {
    # The machine is in memory and gone in a second: there is nothing to sync.
    "/etc/dpkg/dpkg.cfg.d/testbed": "force-unsafe-io\nno-debsig\n",
    # Only the packages that lie on the machine count, so that apt is fast and asks nobody.
    "/etc/apt/apt.conf.d/98incidents": 'Dir::Etc::SourceList "/dev/null";\nDir::Etc::SourceParts "/dev/null";\n'
    'Dir::State::Lists "/var/tmp/no-lists";\nAPT::Sandbox::User "root";\n',
}

# What apt makes when it is called for the first time.
PREPARE = "mkdir -p /var/tmp/no-lists/partial /var/tmp/no-lists/auxfiles && apt-get check"


def guarded_tree(version: str, deb: str) -> Tree:
    """Return the tree of a machine with aptguard installed from ``deb``, its hooks not yet in place."""
    with open(deb, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    base = base_tree(version)

    def make(directory: str) -> None:
        os.mkdir(directory, 0o755)
        with Container(version, tree=base, upper=directory) as machine:
            for path, text in _FAST.items():
                machine.write(path, text)
            machine.copy_in(deb, "/var/tmp/aptguard.deb")
            machine.run("dpkg -i /var/tmp/aptguard.deb && rm /var/tmp/aptguard.deb")
            machine.run(PREPARE)
            for path in (APT_CONFIGURATION, DPKG_CONFIGURATION):
                os.rename(machine.path(path), machine.path(f"{path}.not-armed.disabled"))

    return Tree(
        version,
        (
            cache.made_once("guarded", f"{version}-{cache.key(base, digest, repr(_FAST), PREPARE)}", make),
            base,
        ),
    )


class Guarded(Container):
    """What an incident needs of its machine, however that was started."""

    def arm(self) -> None:
        """Put the hooks in place; until then nobody guards the machine."""
        os.makedirs(self.path(f"{STATE}/recordings"), mode=0o700)
        os.chmod(self.path(STATE), 0o700)
        for path in (APT_CONFIGURATION, DPKG_CONFIGURATION):
            os.rename(self.path(f"{path}.not-armed.disabled"), self.path(path))

    def two_years_pass(self) -> None:
        """Make all that was written so far two years older, and dpkg's log say so.

        What a package made itself is told from what others made by the time; on a machine that is set up
        within one second nobody could tell.
        """
        for directory, names, files in os.walk(os.fsencode(self.written)):
            for name in (*names, *files):
                path = os.path.join(directory, name)
                status = os.lstat(path)
                if not stat.S_ISCHR(status.st_mode):
                    times = (status.st_atime_ns - TWO_YEARS_NS, status.st_mtime_ns - TWO_YEARS_NS)
                    os.utime(path, ns=times, follow_symlinks=False)
        log = self.path("/var/log/dpkg.log")
        with open(log, encoding="utf-8") as file:
            lines = [_two_years_earlier(line) for line in file]
        with open(log, "w", encoding="utf-8") as file:
            file.writelines(lines)

    @property
    def written(self) -> str:
        """Where the host sees all that was ever written to the root file system, and nothing else."""
        assert self._unshare is not None
        (holder,) = _children(self._unshare.pid)
        return f"/proc/{holder}/root{cache.cache_directory('mount-point')}/upper"

    def mounts(self) -> list[str]:
        """Return the places at which the incident has mounted something."""
        with open(f"/proc/{self.leader}/mountinfo", encoding="utf-8") as file:
            points = [line.split(" ")[4] for line in file]
        return [
            point for point in points if point.startswith(("/srv", "/var", "/opt", "/home", "/mnt", "/media"))
        ]


class Machine(Guarded):
    """A container without init: the hooks ask the engine that runs in the same process tree."""


class BootedMachine(Guarded, Guest):
    """A machine that systemd has booted: the hooks ask the daemon, which sits behind its socket."""


def _two_years_earlier(line: str) -> str:
    """Return a line of dpkg's log, which begins with ``2026-11-22 10:00:00 ``, with its time put back."""
    form = "%Y-%m-%d %H:%M:%S"
    return (datetime.strptime(line[:19], form) - TWO_YEARS).strftime(form) + line[19:]
