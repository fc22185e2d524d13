# SPDX-License-Identifier: GPL-3.0-or-later
"""Which calls of dpkg are a front end's, and what it will have done after one of them."""

from __future__ import annotations

from typing import Any

import pytest

from aptguard.guard.dpkg_plan import steps_of_dpkg
from aptguard.guard.front_end_calls import is_of_front_end, with_what_follows
from aptguard.transaction.dpkg_command import DpkgCommand, read_dpkg_command

WORDS = ("/usr/bin/dpkg", "--remove", "toy")


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        (WORDS, {}, False),
        (WORDS, {"DPKG_FRONTEND_LOCKED": ""}, False),
        (WORDS, {"DPKG_FRONTEND_LOCKED": "true"}, True),
        (WORDS, None, False),
        (("/usr/bin/dpkg", "--status-fd", "19", "--remove", "toy"), {}, True),
        (("/usr/bin/dpkg", "--status-fd=19", "--remove", "toy"), {}, True),
        ((), {}, False),
    ],
)
def test_a_front_end_is_known_by_the_lock_it_holds_or_by_the_progress_it_wants(
    words: tuple[str, ...], environment: Any, expected: bool
) -> None:
    assert is_of_front_end({"environment": environment}, words) is expected


def command(text: str) -> DpkgCommand:
    return read_dpkg_command(text.encode().split())


def test_unpacking_is_followed_by_the_configuration_and_the_triggers() -> None:
    unpack = "dpkg --status-fd 9 --no-triggers --unpack --auto-deconfigure --force-overwrite /a.deb /b.deb"
    followed = with_what_follows(command(unpack))
    assert followed is not None
    (step,) = steps_of_dpkg(followed, b"/")
    assert {b"--install", b"--force-depends", b"--auto-deconfigure", b"--force-overwrite"} <= set(step.argv)
    assert not {b"--no-triggers", b"--unpack"} & set(step.argv)
    assert step.argv[-3:] == (b"--", b"/a.deb", b"/b.deb")


@pytest.mark.parametrize("action", ["--install /a.deb", "--remove a", "--purge a", "--configure --pending"])
def test_nothing_is_rehearsed_after_any_other_call(action: str) -> None:
    assert with_what_follows(command(f"dpkg {action}")) is None
