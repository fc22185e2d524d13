# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what a run has changed on an overlay, for the tests of it."""

from __future__ import annotations

from collections.abc import Callable

from overlays import OPTION_SETS, Overlay, in_private_mounts, overlay

from aptguard.changes.model import Change
from aptguard.changes.upper import ChangeSet


def write(path: bytes, content: bytes = b"x") -> None:
    with open(path, "wb") as file:
        file.write(content)


def by_path(found: ChangeSet) -> dict[bytes, Change]:
    assert found.problems == () and not found.truncated
    return {change.path: change for change in found.changes}


def on_overlay(
    build: Callable[[bytes], None], then: Callable[[Overlay], None], options: str = OPTION_SETS[0]
) -> None:
    def in_private(base: bytes) -> None:
        with overlay(base, build, options) as place:
            then(place)

    in_private_mounts(in_private)
