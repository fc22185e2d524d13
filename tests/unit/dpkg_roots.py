# SPDX-License-Identifier: GPL-3.0-or-later
"""A small dpkg database in a directory, for the tests of the host room."""

from __future__ import annotations

import os
from collections.abc import Iterable


class Root:
    """A root directory with merged /usr and a dpkg database in it."""

    def __init__(self, path: str) -> None:
        self.path = os.fsencode(path)
        for directory in ("etc", "usr/bin", "usr/lib", "var/lib/dpkg/info", "var/lib/dpkg/updates", "srv"):
            os.makedirs(os.path.join(path, directory), exist_ok=True)
        for name in ("bin", "lib"):
            os.symlink(f"usr/{name}", os.path.join(path, name))
        self.write("/var/lib/dpkg/status", b"")

    def write(self, path: str, content: bytes) -> None:
        place = self.path + os.fsencode(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)

    def package(
        self,
        name: str,
        paths: Iterable[bytes],
        *,
        status: str = "install ok installed",
        architecture: str = "amd64",
        same: bool = False,
        fields: str = "",
    ) -> None:
        stanza = f"Package: {name}\nStatus: {status}\nArchitecture: {architecture}\nVersion: 1\n"
        stanza += ("Multi-Arch: same\n" if same else "") + fields + "\n"
        with open(self.path + b"/var/lib/dpkg/status", "ab") as file:
            file.write(stanza.encode())
        self.list(f"{name}:{architecture}" if same else name, paths)

    def list(self, name: str, paths: Iterable[bytes]) -> None:
        """As dpkg does it: written beside, renamed into place."""
        place = f"/var/lib/dpkg/info/{name}.list"
        self.write(place + "-new", b"/.\n" + b"".join(path + b"\n" for path in paths))
        os.rename(self.path + os.fsencode(place) + b"-new", self.path + os.fsencode(place))
