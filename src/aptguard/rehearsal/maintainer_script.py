# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of maintainer scripts, and who stands behind a change. Pure, no system calls."""

from __future__ import annotations

from dataclasses import dataclass

_DATABASE = b"/var/lib/dpkg/"
_DPKG_LOG = b"/var/log/dpkg.log"
RECORDS_OF_DPKG = (_DATABASE, _DPKG_LOG)
_NAMES = frozenset({b"preinst", b"postinst", b"prerm", b"postrm", b"config"})


def package_and_script(file: bytes) -> tuple[bytes | None, bytes] | None:
    """Return package and script by the name of a file that dpkg or debconf runs; None for other files.

    They are ``foo:amd64.postrm`` in dpkg's info, ``preinst`` of the package being unpacked, and
    ``foo.config.XXXXXX`` where apt-extracttemplates(1) puts it, before any package is unpacked.
    """
    package, _, name = file.rpartition(b".")
    if name not in _NAMES:
        package, _, name = package.rpartition(b".")
        if name != b"config":
            return None
    return package.split(b":")[0] or None, name


@dataclass(slots=True)
class Script:
    """One run of a maintainer script; package and argument are filled in as they become known."""

    package: bytes | None
    name: bytes
    file: bytes
    argument: bytes | None = None
    begun: float = 0.0  # by the clock of whoever applies the events
    ended: float | None = None

    def label(self) -> str:
        """Return the form of the report: ``postrm purge``."""
        words = [self.name] if self.argument is None else [self.name, self.argument]
        return b" ".join(words).decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class Origin:
    """Who stands behind a run of events; mutable, since dpkg's package is only known later."""

    script: Script | None
    package: bytes | None = None
    argv: tuple[bytes, ...] = ()

    def is_same(self, other: Origin) -> bool:
        """Whether it is the same script, or dpkg at the same package, whatever program was called."""
        if self.script is None and other.script is None:
            return self is other or (self.package is not None and self.package == other.package)
        return self.script is other.script

    def keeps_records(self, path: bytes) -> bool:
        """Whether it is dpkg, and writes down at ``path`` what it does all the time."""
        return self.script is None and path.startswith(RECORDS_OF_DPKG)
