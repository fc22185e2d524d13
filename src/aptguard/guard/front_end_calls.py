# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of dpkg by a front end whose run apt's hook has not judged.

It was started before the hook was installed, say. Each call is judged by itself, after those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aptguard.transaction.dpkg_command import DpkgCommand


def is_of_front_end(parameters: Mapping[str, Any], words: Sequence[str]) -> bool:
    """Whether the call is a front end's: one of several, and dpkg's selections tell of a purge (dpkg(1)).

    One that holds dpkg's lock says so. aptitude does not, nor do programs that take none; but apt's library
    has dpkg report its progress in each of them.
    """
    environment = parameters.get("environment")
    if isinstance(environment, dict) and environment.get("DPKG_FRONTEND_LOCKED"):
        return True
    return any(word.partition("=")[0] == "--status-fd" for word in words)


def with_what_follows(command: DpkgCommand) -> DpkgCommand | None:
    """Return the call that does at once what a front end has done by later ones; None where nothing follows.

    What is unpacked will be configured, and the triggers run. What it depends on may come in between.
    """
    if command.action != "unpack":
        return None
    options = tuple(option for option in command.options if option != b"--no-triggers")
    return replace(command, action="install", options=(*options, b"--force-depends"))
