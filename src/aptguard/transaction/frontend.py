# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program asked apt's library for a transaction; standard library only.

Only apt and apt-get say it plainly. The others are known by the command line that they record, or by the
process itself; what is not recognised is ``libapt``, of which nothing may be assumed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from aptguard.transaction.configuration import AptConfiguration

_INTERPRETERS = ("python", "perl", "sh", "bash", "dash")
_ARGV_NAMES = {
    "aptitude": "aptitude",
    "aptitude-curses": "aptitude",
    "packagekitd": "packagekit",
    "unattended-upgrade": "unattended-upgrade",
    "unattended-upgrades": "unattended-upgrade",
}


def recognise_frontend(configuration: AptConfiguration, argv: Sequence[str] = ()) -> str:
    """Return ``apt``, ``apt-get``, ``aptitude``, ``packagekit``, ``unattended-upgrade`` or ``libapt``.

    ``argv`` is the command line of the process that runs the hook, empty where it is not known.
    """
    binary = configuration.text("Binary")
    if binary in ("apt", "apt-get"):
        return binary
    command_line = recorded_command_line(configuration)
    if command_line is not None:
        if command_line.startswith("packagekit role="):
            return "packagekit"
        if _names(command_line.split()) & {"unattended-upgrade", "unattended-upgrades"}:
            return "unattended-upgrade"
    for name in _names(argv):
        if name in _ARGV_NAMES:
            return _ARGV_NAMES[name]
    return "libapt"


def recorded_command_line(configuration: AptConfiguration) -> str | None:
    """Return ``CommandLine::AsString``; for display: apt drops quotes from it and cuts it off."""
    return configuration.text("CommandLine::AsString")


def is_dselect_upgrade(configuration: AptConfiguration, argv: Sequence[str] = ()) -> bool:
    """Return whether apt-get was called to follow dpkg's selections."""
    words = list(argv) or (recorded_command_line(configuration) or "").split()
    return "dselect-upgrade" in words[1:]


def _names(argv: Sequence[str]) -> frozenset[str]:
    """Return the base names that can be the program's: of the first word, and of an interpreter's script."""
    names = [posixpath.basename(word) for word in argv[:1]]
    if names and names[0].rstrip("0123456789.") in _INTERPRETERS:
        script = next((word for word in argv[1:] if not word.startswith("-")), None)
        if script is not None:
            names.append(posixpath.basename(script))
    return frozenset(names)
