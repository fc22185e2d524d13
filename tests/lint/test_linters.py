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

# As in the Makefile's SHELL_SCRIPTS.
PLACES = (".ci", "debian", "docs", "hooks", "systemd", "tests")
COMPLETION = os.path.join(PROJECT, "src/aptguard/cli/completions/bash/aptguard")  # no program
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
    scripts = [COMPLETION]
    for place in PLACES:
        top = os.path.join(PROJECT, place)
        assert os.path.isdir(top), top
        for directory, below, names in os.walk(top):
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
    for script in (".ci/run", "docs/examples/notify.d/apprise", "hooks/apt-hook"):
        assert os.path.join(PROJECT, script) in scripts
    lint("shellcheck", *scripts)


def test_make_lint_gives_shellcheck_the_same_scripts() -> None:
    if shutil.which("make") is None:
        pytest.skip("the program make is not installed (Debian package make)")
    command = ["make", "--silent", "--eval=scripts: ; @echo $(SHELL_SCRIPTS)", "scripts"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=PROJECT, env=alone, capture_output=True, text=True, check=True)
    assert sorted(os.path.join(PROJECT, script) for script in done.stdout.split()) == sorted(shell_scripts())
