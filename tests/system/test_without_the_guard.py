# SPDX-License-Identifier: GPL-3.0-or-later
"""The danger is real: what aptguard is there to stop does destroy a machine that has no guard."""

from __future__ import annotations

from pathlib import Path

import pytest

from packages.obsolete import OBSOLETE, Obsolete, build_obsolete
from testbed import snapshot
from testbed.guest import Guest

pytestmark = pytest.mark.needs_guest


# Not the one that calls userdel: it goes through / in the order of the directory and gives up at /proc,
# so how much it deletes differs from disk to disk.
CERTAIN = [package for package in OBSOLETE if "userdel" not in package.deed]


@pytest.mark.parametrize("package", CERTAIN, ids=lambda package: package.name)
def test_the_same_removal_destroys_the_machine(guest: Guest, toys: Path, package: Obsolete) -> None:
    guest.install(guest.copy_in(build_obsolete(toys, package), "/root/obsolete.deb"))
    before = snapshot.take(guest.path("/"))
    removal = guest.run(["apt-get", "-y", "purge", package.name], check=False)
    assert removal.returncode != 0, "apt notices, when it is too late"
    gone = snapshot.vanished(before, snapshot.take(guest.path("/")))
    assert len(gone) > 100
    assert "/etc/passwd" in gone
