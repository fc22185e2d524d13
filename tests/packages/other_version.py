# SPDX-License-Identifier: GPL-3.0-or-later
"""aptguard's own package in another version: the same sources under another entry of the changelog."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from testbed.guest import Container
from testbed.server import copy_project

PROJECT = Path(__file__).resolve().parent.parent.parent
NEWER, OLDER = "99.0", "0.0.1"
# Where the version stands: Debian's and Python's.
STANDS = {
    "debian/changelog": r"(?<=^aptguard \()[^)]+",
    "pyproject.toml": r'(?<=^version = ")[^"]+',
    "src/aptguard/__init__.py": r'(?<=^__version__ = ")[^"]+',
}
MAKE = ["make", "--no-print-directory", "deb"]


def set_version(sources: str | os.PathLike[str], version: str) -> None:
    """Make the sources in this directory those of ``version``."""
    for name, pattern in STANDS.items():
        path = Path(sources, name)
        changed, count = re.subn(pattern, version, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
        assert count == 1, f"no version found in {name}"
        path.write_text(changed, "utf-8")


def build_here(directory: str | os.PathLike[str], version: str) -> str:
    """Build it on this machine and return the archive, which lies in ``directory``."""
    unwanted = shutil.ignore_patterns("build", ".git", ".hypothesis", "__pycache__", ".*_cache")
    with tempfile.TemporaryDirectory(prefix="other-version-") as parent:
        sources = shutil.copytree(PROJECT, f"{parent}/aptguard", symlinks=True, ignore=unwanted)
        set_version(sources, version)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        made = subprocess.run(MAKE, cwd=sources, env=environment, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout[-4000:] + made.stderr[-4000:]
        (deb,) = Path(sources, "build").glob("aptguard_*_all.deb")
        return shutil.copy2(deb, directory)


def build_there(machine: Container, version: str, directory: str | os.PathLike[str]) -> str:
    """Build it with the tools of another Debian and return the archive, which lies in ``directory``."""
    sources = copy_project(machine)
    set_version(machine.path(sources), version)
    machine.run([*MAKE[:2], "-C", sources, "build-packages"], timeout=900)
    machine.run([*MAKE[:2], "-C", sources, "deb"], timeout=300)
    (deb,) = Path(machine.path(f"{sources}/build")).glob("aptguard_*_all.deb")
    return shutil.copy2(deb, directory)
