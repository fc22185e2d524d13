# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make lint` demands is demanded of each change: the linters are tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.path.join(PROJECT, "build", "venv", "bin")

SHELL = re.compile(rb"#! ?/bin/(ba|da)?sh\b")


def lint(*command: str) -> None:
    """Run one linter in the project and fail with what it says."""
    program, *arguments = command
    found = shutil.which(program, path=f"{TOOLS}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"the program {program} is not installed (make lint installs it, from pip or Debian)")
    done = subprocess.run([found, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def shell_scripts() -> list[str]:
    """Return every shell script of the sources, found by its first line."""
    scripts = [os.path.join(PROJECT, "src/aptguard/cli/completions/bash/aptguard")]  # no program
    for top in (".ci", "alerts", "debian", "hooks", "tests"):
        for directory, below, names in os.walk(os.path.join(PROJECT, top)):
            below[:] = [name for name in below if name not in {"aptguard", "tmp", ".debhelper"}]
            for name in names:
                path = os.path.join(directory, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        if SHELL.match(file.readline()):
                            scripts.append(path)
    return scripts


def test_ruff_finds_nothing() -> None:
    lint("ruff", "check", "--no-cache", "--extend-exclude", "build", ".")


def test_ruff_would_format_nothing_otherwise() -> None:
    lint("ruff", "format", "--no-cache", "--check", "--extend-exclude", "build", ".")


def test_mypy_finds_nothing() -> None:
    lint("mypy", "--cache-dir", os.devnull)


def test_shellcheck_finds_nothing() -> None:
    scripts = shell_scripts()
    assert os.path.join(PROJECT, ".ci", "run") in scripts
    lint("shellcheck", *scripts)
