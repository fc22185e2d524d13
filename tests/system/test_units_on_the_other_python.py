# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit tests pass with the Python and the pydantic of the Debian that this machine is not."""

from __future__ import annotations

import platform

import pytest

from testbed.guest import Container
from testbed.server import copy_project
from testbed.trees import CODENAMES

VERSION_HERE = platform.freedesktop_os_release().get("VERSION_ID", "")

pytestmark = pytest.mark.needs_guest


@pytest.mark.parametrize("release", [release for release in sorted(CODENAMES) if release != VERSION_HERE])
def test_the_unit_tests_pass(release: str) -> None:
    with Container(release) as machine:
        directory = copy_project(machine)
        done = machine.run(
            ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{directory}/tests/unit"],
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
