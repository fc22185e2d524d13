# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion as it is met: a real shell on a terminal of its own, keys pressed, the line read back."""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from own_command import make_report, write_command

from aptguard.cli.arguments import make_parser
from aptguard.ledger.store import Ledger
from aptguard.policy.finding import Verdict

PROJECT = Path(__file__).resolve().parents[2]
COMPLETIONS = PROJECT / "src/aptguard/cli/completions"
BASH, ZSH = COMPLETIONS / "bash/aptguard", COMPLETIONS / "zsh/_aptguard"
TO_START, TO_END, EVERY = "\x01", "\x05", "\x1b*"
BLOCKED, ALLOWED = make_report(1), make_report(2, Verdict.ALLOW)

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # movements and colours, ECMA-48

Keys = Callable[[str], list[str]]


class Terminal:
    """A shell that was started with a terminal; lines are typed, words of the line are read back."""

    def __init__(self, argv: list[str], environment: dict[str, str], directory: Path) -> None:
        self._ours, theirs = pty.openpty()
        self._shell = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm", "COLUMNS": "1000"},
            cwd=directory,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read_until(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        seen, deadline = "", time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.2)[0]:
                seen += os.read(self._ours, 65536).decode(errors="replace")
                if found := re.search(pattern, _CONTROL.sub("", seen), re.DOTALL):
                    return found
        raise AssertionError(f"the shell did not say {pattern!r}, but {seen!r}")

    def completed(self, line: str) -> list[str]:
        """Return the words of the line after the keys of ``line`` were pressed."""
        self.type(line)
        # Until the shell has taken all keys, what follows could reach it while it looks for completions.
        self.type(f"{TO_START}echo @@{TO_END}@@\r")
        return self.read_until(r"[\r\n]@@([^@\r\n]*)@@[\r\n]")[1].split()

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._ours)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("completion")
    state = directory / "state"
    ledger = Ledger(str(state))
    ledger.record(BLOCKED)
    ledger.record(ALLOWED)
    ledger.close()
    command = write_command(directory / "bin", state)
    return {"PATH": f"{command.parent}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(directory), "LANG": "C"}


@pytest.fixture(scope="module")
def bash(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    directory = tmp_path_factory.mktemp("bash")
    (directory / "toy.deb").touch()
    (directory / "page.html").touch()
    terminal = Terminal(["/usr/bin/bash", "--norc", "--noprofile", "-i"], environment, directory)
    terminal.type(f"bind 'set enable-bracketed-paste off'; source {BASH}; echo rea''dy\r")
    terminal.read_until("ready")
    yield terminal.completed
    terminal.close()


@pytest.fixture(scope="module")
def zsh(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    if shutil.which("zsh") is None:
        pytest.skip("the program zsh is not installed (Debian package zsh)")
    directory = tmp_path_factory.mktemp("zsh")
    terminal = Terminal([shutil.which("zsh") or "", "-f", "-i"], environment, directory)
    set_up = f"PS1='> '; fpath=({ZSH.parent} $fpath); autoload -U compinit; compinit -u -D; bindkey -e"
    terminal.type(f"{set_up}; unsetopt zle_bracketed_paste; unset zle_bracketed_paste; echo rea''dy\r")
    terminal.read_until("ready")
    yield terminal.completed
    terminal.close()


def options_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield each command that the parser knows, with each of its options."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield (name, "--help")
                for nested in command._actions:
                    yield from ((name, option) for option in nested.option_strings if option != "-h")


@pytest.mark.parametrize("script", [BASH, ZSH], ids=["bash", "zsh"])
def test_every_command_and_option_that_exists_is_completed(script: Path) -> None:
    text = script.read_text()
    missing = {
        f"{command} {option}"
        for command, option in options_of(make_parser())
        if not re.search(rf"\b{command}\b", text) or not re.search(rf"(?<![\w-]){option}\b", text)
    }
    assert missing == set()


def test_bash_offers_the_commands(bash: Keys) -> None:
    assert set(bash("aptguard " + EVERY)[1:]) >= {"status", "check", "log", "show", "override", "pause"}
    assert bash("aptguard che\t") == ["aptguard", "check"]


def test_bash_offers_the_options_of_a_command_and_not_those_of_another(bash: Keys) -> None:
    assert set(bash("aptguard log --" + EVERY)[2:]) == {
        "--since", "--verdict", "--package", "--path", "--directory", "--peek", "--json", "--help",
    }  # fmt: skip


def test_bash_offers_packages_after_an_operation(bash: Keys) -> None:
    assert bash("aptguard check pur\t")[-1] == "purge"
    assert "dpkg" in bash("aptguard check purge dpk" + EVERY)[3:]
    assert bash("aptguard check upgrade dpk" + EVERY)[3:] in (["dpk"], ["dpk*"])


def test_bash_offers_package_files_where_a_path_is_typed(bash: Keys) -> None:
    assert bash("aptguard check install ./to\t")[-1] == "./toy.deb"


def test_bash_offers_verdicts_and_files_for_options_that_take_them(bash: Keys) -> None:
    assert bash("aptguard log --verdict bl\t")[-1] == "block"
    assert bash("aptguard show --html pa\t")[-1] == "page.html"


@pytest.mark.needs_root
def test_bash_offers_ids_on_record_also_when_typed_small(bash: Keys) -> None:
    assert set(bash("aptguard show " + EVERY)[2:]) == {BLOCKED.id, ALLOWED.id}
    assert bash(f"aptguard show {BLOCKED.id[:6].lower()}\t")[-1] == BLOCKED.id


@pytest.mark.needs_root
def test_bash_offers_only_what_was_not_allowed_to_override(bash: Keys) -> None:
    assert bash("aptguard override " + EVERY)[2:] == [BLOCKED.id]


def test_bash_offers_the_names_of_rules(bash: Keys) -> None:
    assert bash("aptguard policy sh\t")[-1] == "show"
    assert "foreign-file" in bash("aptguard policy show foreign-fi\t")


def test_zsh_offers_commands_options_operations_and_verdicts(zsh: Keys) -> None:
    assert zsh("aptguard che\t") == ["aptguard", "check"]
    assert zsh("aptguard check pur\t") == ["aptguard", "check", "purge"]
    assert zsh("aptguard log --verd\t\tbl\t") == ["aptguard", "log", "--verdict", "block"]
    assert zsh("aptguard policy te\t") == ["aptguard", "policy", "test"]


def test_zsh_offers_packages(zsh: Keys) -> None:
    assert zsh("aptguard check purge libapt-pkg\t")[-1].startswith("libapt-pkg")
    assert zsh("aptguard check purge base-pass\t")[-1] == "base-passwd"


@pytest.mark.needs_root
def test_zsh_offers_ids_on_record(zsh: Keys) -> None:
    assert zsh(f"aptguard show {BLOCKED.id[:6]}\t")[-1] == BLOCKED.id
    assert zsh("aptguard override \t")[-1] == BLOCKED.id


def test_zsh_offers_the_names_of_rules(zsh: Keys) -> None:
    assert zsh("aptguard policy show foreign-fi\t")[-1] == "foreign-file"
