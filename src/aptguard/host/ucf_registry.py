# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files that ucf(1) manages, by package."""

from __future__ import annotations

from collections.abc import Container


def ucf_files(registry: bytes, packages: Container[str]) -> tuple[bytes, ...]:
    """Return the paths which ``registry`` (/var/lib/ucf/registry) gives to one of ``packages``.

    One line each: package, white space, path (ucfr(1)). Lines of another form name no package's file.
    """
    found = []
    for line in registry.split(b"\n"):
        words = line.split(None, 1)
        if len(words) == 2 and words[1].startswith(b"/"):
            package = words[0].decode("utf-8", "surrogateescape")
            if package in packages:
                found.append(words[1].rstrip())
    return tuple(found)
