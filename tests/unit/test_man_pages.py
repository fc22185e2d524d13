# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual pages are valid, and say what the program says."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aptguard.cli.arguments import make_parser
from aptguard.policy.checks import CHECK_NAMES
from aptguard.policy.model import PolicyLimits

MAN = Path(__file__).resolve().parents[2] / "docs/man"
PAGES = sorted(MAN.iterdir())


def words_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the macros that must be in the page for each command and option of the parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"Cm {name}"
                yield from words_of(command)
        else:
            for option in action.option_strings:
                if option not in ("-h", "--help", "--version"):
                    yield f"Fl {option.removeprefix('-')}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_formatted_without_a_warning(page: Path) -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("the programs man and groff are not installed (Debian packages man-db, groff-base)")
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"},
        check=True,
    )
    assert done.stderr == ""
    assert "\N{EM DASH}" not in page.read_text() and page.read_text().isascii()


def test_the_page_of_the_command_has_every_command_and_option() -> None:
    text = (MAN / "aptguard.8").read_text()
    missing = {word for word in words_of(make_parser()) if not re.search(rf"\b{word}\b", text)}
    assert missing == set()


def test_the_page_of_the_policy_has_every_check_and_limit_with_its_default() -> None:
    text = (MAN / "aptguard-policy.5").read_text()
    for check in CHECK_NAMES:
        assert f".It Ic {check}\n" in text
    for field in dataclasses.fields(PolicyLimits):
        assert re.search(rf"\.It Ic {field.name}\n[^.]*; {field.default}\.\n", text), field.name


def test_a_page_that_another_one_refers_to_is_there() -> None:
    ours = {page.name for page in PAGES}
    for page in PAGES:
        for name, section in re.findall(r"\.Xr (aptguard\S*) (\d)", page.read_text()):
            assert f"{name}.{section}" in ours
