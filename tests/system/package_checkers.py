# SPDX-License-Identifier: GPL-3.0-or-later
"""What Debian itself tries with each package: piuparts and autopkgtest, on Debian 12 and 13.

They ask Debian's archive for some packages and take minutes: ``make piuparts``, ``make autopkgtest``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.guest import Guest
from testbed.repository import packages_index
from testbed.server import copy_project
from testbed.trees import CODENAMES, bare_tree, guest_tree_with

pytestmark = pytest.mark.needs_guest

CHROOT = "/srv/chroot"
REPOSITORY = "/srv/earlier"
EARLIER = "0.0.1"


@pytest.fixture
def checker(version: str) -> Iterator[Guest]:
    """A machine with both programs; /srv takes device nodes, as /tmp does not."""
    with Guest(version, tree=guest_tree_with(version, ("piuparts", "autopkgtest", "dpkg-dev"))) as machine:
        yield machine


@pytest.fixture
def chroot(checker: Guest, aptguard_deb: str, tmp_path: Path) -> str:
    """The smallest Debian in a directory of the machine; its apt knows an earlier aptguard as well."""
    subprocess.run(["cp", "-a", bare_tree(checker.version, ()), checker.path(CHROOT)], check=True)
    earlier = version_of(aptguard_deb, EARLIER, tmp_path)
    checker.copy_in(earlier, f"{CHROOT}{REPOSITORY}/{os.path.basename(earlier)}")
    checker.write(f"{CHROOT}{REPOSITORY}/Packages", packages_index([earlier]))
    source = f"deb [trusted=yes] file:{REPOSITORY} ./\n"
    checker.write(f"{CHROOT}/etc/apt/sources.list.d/earlier.list", source)
    return CHROOT


def version_of(deb: str, version: str, directory: Path) -> str:
    """Return the same package with another version."""
    root = directory / "root"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, root], check=True)
    control = root / "DEBIAN" / "control"
    lines = control.read_text("utf-8").splitlines()
    changed = [f"Version: {version}" if line.startswith("Version:") else line for line in lines]
    control.write_text("\n".join(changed) + "\n", "utf-8")
    built = directory / f"aptguard_{version}_all.deb"
    pack = ["dpkg-deb", "--root-owner-group", "--build", str(root), str(built)]
    subprocess.run(pack, check=True, capture_output=True)
    return str(built)


@pytest.mark.parametrize("order", ["install, purge, upgrade", "install, remove, install"])
def test_piuparts_finds_nothing(checker: Guest, chroot: str, aptguard_deb: str, order: str) -> None:
    deb = checker.copy_in(aptguard_deb, f"/root/{os.path.basename(aptguard_deb)}")
    again = ["--install-remove-install"] if order.endswith("remove, install") else []
    done = checker.run(
        [
            *("piuparts", f"--existing-chroot={chroot}", "--tmpdir=/srv", "--keep-sources-list"),
            *("--no-eatmydata", f"--distribution={CODENAMES[checker.version]}", *again, deb),
        ],
        check=False,
        timeout=1200,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    assert "PASS: All tests." in said
    assert "PASS: Installation and purging test." in said
    if not again:
        assert "PASS: Installation, upgrade and purging tests." in said, said[-6000:]
        assert f"Setting up aptguard ({EARLIER})" in said
    # It was live all the time, and had nothing to stop: piuparts removes what it has installed.
    assert "aptguard: BLOCKED" not in said
    assert "NOT GUARDED" not in said and "NOT JUDGED" not in said


def test_autopkgtest_passes_on_the_installed_package(checker: Guest, aptguard_deb: str) -> None:
    deb = checker.copy_in(aptguard_deb, "/root/aptguard.deb")
    sources = copy_project(checker)
    # The machine is a container of its own, which "null" (run it here) does not know.
    asked = ["autopkgtest", "--no-built-binaries", "--ignore-restrictions=isolation-container"]
    done = checker.run([*asked, deb, sources, "--", "null"], check=False, timeout=1800)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    results = dict(line.split()[:2] for line in done.stderr.rpartition(" summary\n")[2].splitlines()[:-1])
    assert results == {"selftest": "PASS", "blocks-and-lets-pass": "PASS"}, done.stderr[-3000:]
