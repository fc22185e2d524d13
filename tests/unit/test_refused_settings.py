# SPDX-License-Identifier: GPL-3.0-or-later
"""A refused write into /proc is told by what the programs say of it."""

from __future__ import annotations

import pytest

from aptguard.rehearsal.refused_settings import settings_refused

PATH = b"/proc/sys/vm/swappiness"


@pytest.mark.parametrize(
    "line",
    [
        b"/var/lib/dpkg/info/toy.postinst: 3: cannot create /proc/sys/vm/swappiness: Read-only file system",
        b"x.sh: line 1: /proc/sys/vm/swappiness: Read-only file system",
        b"tee: /proc/sys/vm/swappiness: Read-only file system",
        b"touch: cannot touch '/proc/sys/vm/swappiness': Read-only file system",
        "touch: cannot touch \u2018/proc/sys/vm/swappiness\u2019: Read-only file system".encode(),
    ],
)
def test_each_program_s_words_name_the_file_once(line: bytes) -> None:
    (effect,) = settings_refused(b"Setting up toy ...\n" + line + b"\n" + line + b"\n")
    assert (effect.kind, effect.path) == ("kernel", PATH)


def test_a_control_group_that_could_not_be_made_is_named() -> None:
    words = b"mkdir: cannot create directory '/sys/fs/cgroup/mine': Read-only file system\n"
    (effect,) = settings_refused(words)
    assert (effect.kind, effect.path) == ("kernel", b"/sys/fs/cgroup/mine")


def test_other_refusals_are_no_settings() -> None:
    assert settings_refused(b"rm: cannot remove '/srv/x': Read-only file system\n") == ()
    assert settings_refused(b"cat: /proc/sys/x: No such file or directory\n") == ()
