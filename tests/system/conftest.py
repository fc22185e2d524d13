# SPDX-License-Identifier: GPL-3.0-or-later
"""The built package, and booted machines that have it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.other_version import NEWER, build_here
from testbed.guest import Guest
from testbed.server import install_aptguard, tree_with_postgresql
from testbed.trees import CODENAMES, Tree

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="session")
def aptguard_deb(needs_guest: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The package as ``make deb`` builds it from this source tree, once in a test run.

    In a virtual machine of ``make test-vm`` it has been built already, and nothing there could build it.
    """
    if "APTGUARD_TEST_DEB" in os.environ:
        return os.environ["APTGUARD_TEST_DEB"]
    build = tmp_path_factory.mktemp("package")
    made = subprocess.run(
        ["make", "--no-print-directory", "deb", f"BUILD={build}"],
        cwd=PROJECT,
        # Not the flags of the `make test` that this may run under.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert made.returncode == 0, f"make deb failed:\n{made.stdout[-6000:]}"
    (deb,) = build.glob("aptguard_*_all.deb")
    return str(deb)


@pytest.fixture(scope="session")
def newer_aptguard_deb(needs_guest: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same source tree as a much newer version."""
    return build_here(tmp_path_factory.mktemp("newer"), NEWER)


@pytest.fixture(scope="session", params=sorted(CODENAMES), ids=lambda version: f"debian{version}")
def version(request: pytest.FixtureRequest) -> str:
    """Each Debian that aptguard is made for."""
    return str(request.param)


@pytest.fixture
def guest(needs_guest: None, version: str) -> Iterator[Guest]:
    """A booted machine without aptguard."""
    with Guest(version) as machine:
        yield machine


@pytest.fixture
def guarded(guest: Guest, aptguard_deb: str) -> Guest:
    """A booted machine with aptguard installed from its package."""
    install_aptguard(guest, aptguard_deb)
    return guest


@pytest.fixture(scope="session")
def postgresql_tree(needs_guest: None, version: str) -> Tree:
    """A server with a PostgreSQL cluster from Debian's archive that has rows in it."""
    return tree_with_postgresql(version)


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    """A directory on the host in which a test builds its packages."""
    return tmp_path
