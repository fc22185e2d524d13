# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: words, options and the help for each command."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import NoReturn

from aptguard import __version__
from aptguard.cli.times import age, duration

OPERATIONS = ("remove", "purge", "install", "upgrade", "full-upgrade", "autoremove")
_MOST_JOBS = 256


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence and, where a word is close, the right one."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit with 2, wrong usage."""
        match = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if match:
            words = [word.strip(" '") for word in match.group(2).split(",")]
            near = difflib.get_close_matches(match.group(1), words, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(words)}."
            message = f"'{match.group(1)}' is not known; {hint}"
        self.exit(2, f"aptguard: {message} See: {self.prog} --help\n")


def job_count(text: str) -> int:
    """Return the number of jobs; raises argparse.ArgumentTypeError with a sentence."""
    if not re.fullmatch("[0-9]{1,3}", text) or not 0 < int(text) <= _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of jobs from 1 to {_MOST_JOBS}.")
    return int(text)


def options_first(words: Sequence[str]) -> list[str]:
    """Return the words of a ``check`` with its options before its operands.

    argparse gives up on a list of operands at the first option that stands among them
    (``check purge --json foo``); the options of this command take no values.
    """
    if not words or words[0] != "check":
        return list(words)
    end = words.index("--") if "--" in words else len(words)
    options = [word for word in words[1:end] if word.startswith("-")]
    operands = [word for word in words[1:end] if not word.startswith("-")]
    return ["check", *options, *operands, *words[end:]]


def make_parser() -> Parser:
    """Return the parser of all commands; the chosen command's name is in ``command``."""
    parser = Parser(
        prog="aptguard",
        description="Rehearses each apt and dpkg transaction and blocks the ones that would do harm.",
        epilog="Example: aptguard check purge postgresql-15",
    )
    parser.add_argument("--version", action="version", version=f"aptguard {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    status = _add(commands, "status", "is the guard live, and what can it not cover here", "aptguard status")
    _add_peek(status)
    check = _add(commands, "check", "rehearse what apt would do; change nothing", "aptguard check purge foo")
    check.add_argument("operation", choices=OPERATIONS, metavar="OPERATION", help=", ".join(OPERATIONS))
    check.add_argument("names", nargs="*", metavar="PKG|FILE.deb", help="as apt-get takes them")
    check.add_argument("--changes", action="store_true", help="list each changed path")
    log = _add(commands, "log", "what was judged, newest first", "aptguard log --verdict block")
    log.add_argument("-n", type=int, default=20, dest="limit", metavar="N", help="at most N (20)")
    log.add_argument("--since", type=age, metavar="TIME", help="since TIME (2h, 7d, yesterday, 2026-01-31)")
    log.add_argument(
        "--verdict", choices=("allow", "block", "unknown"), metavar="V", help="allow, block, unknown"
    )
    log.add_argument("--package", metavar="PKG", help="only transactions with this package")
    _add_peek(log)
    log.add_argument("--path", metavar="PATH", help="only transactions that would change this path")
    log.add_argument("--directory", metavar="DIR", help="read the journals of all machines in DIR")
    show = _add(commands, "show", "one transaction in full", "aptguard show 7F3K-92QX")
    show.add_argument("--html", metavar="FILE", help="write a page to be looked at in a browser")
    show.add_argument("id", metavar="ID")
    _add_peek(show)
    show.add_argument("--changes", action="store_true", help="list each changed path")
    _add_audit(commands)
    _add_override(commands)
    pause = _add(
        commands,
        "pause",
        "switch blocking off for a while, loudly",
        'aptguard pause --for 30min --reason "x"',
    )
    pause.add_argument(
        "--for", type=duration, required=True, dest="seconds", metavar="TIME", help="30min, 2h"
    )
    pause.add_argument("--reason", required=True, metavar="TEXT")
    _add(commands, "resume", "end the pause", "aptguard resume")
    _add_policy(commands)
    _add(
        commands,
        "selftest",
        "rehearse a booby-trapped package: it must be blocked",
        "aptguard selftest",
    )
    return parser


def _add_peek(command: Parser) -> None:
    command.add_argument("--peek", action="store_true", help="for programs: the login banner stays")


def _add_audit(commands: argparse._SubParsersAction[Parser]) -> None:
    audit = _add(
        commands,
        "audit",
        "rehearse the purge of each installed package; list those that would do harm",
        "aptguard audit --html /root/audit.html",
    )
    audit.add_argument("packages", nargs="*", metavar="PKG", help="only these")
    audit.add_argument(
        "--jobs", type=job_count, metavar="N", help="rehearse N at a time (one for each processor)"
    )
    audit.add_argument("--html", metavar="FILE", help="write a page to be looked at in a browser")


def _add_override(commands: argparse._SubParsersAction[Parser]) -> None:
    override = _add(
        commands,
        "override",
        "let one blocked transaction through, once",
        'aptguard override 7F3K-92QX --reason "ticket 123"',
    )
    override.add_argument("id", nargs="?", metavar="ID")
    override.add_argument("--reason", metavar="TEXT", help="why; it goes on the record")
    override.add_argument(
        "--for", type=duration, dest="seconds", metavar="TIME", help="how long it holds (15min)"
    )
    override.add_argument("--list", action="store_true", help="list the overrides")
    override.add_argument("--revoke", metavar="ID", help="take one back")


def _add_policy(commands: argparse._SubParsersAction[Parser]) -> None:
    policy = _add(commands, "policy", "the rules: show, test, check", "aptguard policy test /srv/www")
    actions = policy.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    show = _add(actions, "show", "the rules in force and where they are written", "aptguard policy show")
    show.add_argument("rules", nargs="*", metavar="RULE", help="only these rules, checks and exceptions")
    test = _add(actions, "test", "which rule speaks for a path, and why", "aptguard policy test /etc/fstab")
    test.add_argument("paths", nargs="+", metavar="PATH")
    check = _add(actions, "check", "is a policy file valid", "aptguard policy check my.toml")
    check.add_argument("files", nargs="*", metavar="FILE")


def _add(commands: argparse._SubParsersAction[Parser], name: str, summary: str, example: str) -> Parser:
    parser = commands.add_parser(name, help=summary, description=summary + ".", epilog=f"Example: {example}")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser
