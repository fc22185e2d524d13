# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's first command on machines that have nothing but Debian's smallest system and make."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed.guest import Container, Guest
from testbed.trees import bare_tree, guest_tree_with

pytestmark = pytest.mark.needs_guest

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@contextmanager
def machine(version: str, booted: bool) -> Iterator[Container]:
    """A bare machine: booted by systemd, or without any init as containers are."""
    if booted:
        with Guest(version, tree=guest_tree_with(version, ["make"])) as guest:
            yield guest
    else:
        with Container(version, tree=bare_tree(version)) as container:
            yield container


def copy_project(machine: Container) -> str:
    """Put the sources, without what was built from them, into the machine."""
    directory = "/usr/local/src/aptguard"
    os.makedirs(machine.path(directory))
    pack = ["tar", "--create", "--exclude=./build", "--exclude=./.git", "."]
    packed = subprocess.run(pack, cwd=PROJECT, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "--extract", "-C", machine.path(directory)], input=packed, check=True)
    return directory


@pytest.mark.parametrize("booted", [False, True], ids=["container", "booted"])
@pytest.mark.parametrize("release", ["12", "13"], ids=["debian12", "debian13"])
def test_make_install_sets_everything_up_and_ends_with_the_selftest(release: str, booted: bool) -> None:
    with machine(release, booted) as bare:
        directory = copy_project(bare)
        done = bare.run(["make", "-C", directory, "install"], timeout=600)
        assert bare.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "aptguard"]).stdout.strip() == "ii"
        selftest = bare.run(["aptguard", "selftest"], check=False)
        assert selftest.returncode == 0, selftest.stdout + selftest.stderr
        assert done.stdout.rstrip().splitlines()[-1] in selftest.stdout
