# SPDX-License-Identifier: GPL-3.0-or-later
"""The package is one that Debian's own checker has nothing against."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def test_lintian_has_no_error_no_warning_and_nothing_pedantic_to_say(aptguard_deb: str) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("the program lintian is not installed (Debian package lintian)")
    done = subprocess.run(
        [
            *("lintian", "--allow-root", "--pedantic", "--fail-on", "error,warning,pedantic"),
            *("--tag-display-limit", "0", aptguard_deb),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
