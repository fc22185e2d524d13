# SPDX-License-Identifier: GPL-3.0-or-later
"""A local ``file:`` repository of toy packages, so that apt itself can install them without a network."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable

from testbed.guest import Container

DIRECTORY = "/srv/testbed-repository"


def packages_index(archives: Iterable[str]) -> str:
    """Return the text of the ``Packages`` file for these ``.deb`` files: deb822, as repositories have it."""
    stanzas = []
    for archive in archives:
        control = subprocess.run(
            ["dpkg-deb", "--field", archive], check=True, capture_output=True, text=True
        ).stdout.rstrip("\n")
        with open(archive, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        stanzas.append(
            f"{control}\nFilename: ./{os.path.basename(archive)}\n"
            f"Size: {os.path.getsize(archive)}\nSHA256: {digest}\n"
        )
    return "\n".join(stanzas)


def publish(
    guest: Container, archives: Iterable[str], directory: str = DIRECTORY, *, alone: bool = False
) -> None:
    """Put the archives into a repository in the guest, add it to apt's sources and read its list.

    ``alone``: apt then knows of nothing else. All front ends read what it knows of Debian's archive anew
    after each change of a package, for a second or two; it is for tests that need nothing of the archive.
    """
    archives = list(archives)
    if alone:
        guest.run("rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/* /var/cache/apt/*.bin")
        guest.write("/etc/apt/sources.list", "")
    for archive in archives:
        guest.copy_in(archive, f"{directory}/{os.path.basename(archive)}")
    guest.write(f"{directory}/Packages", packages_index(archives))
    source = "/etc/apt/sources.list.d/testbed.list"
    guest.write(source, f"deb [trusted=yes] file:{directory} ./\n")
    # Only this list: those of the archive stay as they are and no network is asked.
    guest.run(
        [
            *("apt-get", "-q", "update", "-o", f"Dir::Etc::sourcelist={source}"),
            *("-o", "Dir::Etc::sourceparts=-", "-o", "APT::Get::List-Cleanup=0"),
        ]
    )
