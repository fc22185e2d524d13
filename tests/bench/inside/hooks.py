# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks of apt and dpkg put in place and out of the way, by the program that they belong to."""

from __future__ import annotations

import os

AWAY = "/root/hooks-away"
FILES = {
    "aptguard": ("/etc/apt/apt.conf.d/05aptguard", "/etc/dpkg/dpkg.cfg.d/aptguard"),
    "apt-listbugs": ("/etc/apt/apt.conf.d/10apt-listbugs",),
    "etckeeper": ("/etc/apt/apt.conf.d/05etckeeper",),
    "needrestart": ("/etc/apt/apt.conf.d/99needrestart", "/etc/dpkg/dpkg.cfg.d/needrestart"),
}


def only(*programs: str) -> None:
    """Let the hooks of ``programs`` be in place and those of all others not."""
    os.makedirs(AWAY, exist_ok=True)
    for program, files in FILES.items():
        for file in files:
            away = os.path.join(AWAY, file.replace("/", "_"))
            source, target = (away, file) if program in programs else (file, away)
            if os.path.exists(source):
                os.rename(source, target)


def there(program: str) -> bool:
    """Tell whether ``program`` has hooks on this machine, in place or not."""
    return any(
        os.path.exists(path)
        for file in FILES[program]
        for path in (file, os.path.join(AWAY, file.replace("/", "_")))
    )
