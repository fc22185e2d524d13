# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's first command on machines that have nothing but Debian's smallest system and make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed.guest import Container, Guest
from testbed.server import copy_project
from testbed.trees import bare_tree, guest_tree_with

pytestmark = [pytest.mark.needs_guest, pytest.mark.on_either_debian]


@contextmanager
def machine(version: str, booted: bool) -> Iterator[Container]:
    """A bare machine: booted by systemd, or without any init as containers are."""
    if booted:
        with Guest(version, tree=guest_tree_with(version, ["make"])) as guest:
            yield guest
    else:
        with Container(version, tree=bare_tree(version)) as container:
            yield container


@pytest.mark.parametrize("booted", [False, True], ids=["container", "on-a-booted-machine"])
@pytest.mark.parametrize("release", ["12", "13"], ids=["debian12", "debian13"])
def test_make_install_sets_everything_up_and_ends_with_the_selftest(release: str, booted: bool) -> None:
    with machine(release, booted) as bare:
        directory = copy_project(bare)
        done = bare.run(["make", "--no-print-directory", "-C", directory, "install"], timeout=600)
        assert bare.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "aptguard"]).stdout.strip() == "ii"
        selftest = bare.run(["aptguard", "selftest"], check=False)
        assert selftest.returncode == 0, selftest.stdout + selftest.stderr
        assert done.stdout.rstrip().splitlines()[-1] in selftest.stdout
