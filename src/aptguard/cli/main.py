# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``aptguard``.

Exit codes: 0 fine or allowed, 1 aptguard itself failed, 2 wrong usage or invalid input, 3 the guard is off,
10 blocked, 11 unknown; ``status`` exits with 1 when degraded.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from aptguard.cli.arguments import make_parser, options_first
from aptguard.cli.patient_output import nowhere, patient_output


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    sys.stdout = patient_output()
    sys.stderr = sys.stderr or nowhere()
    arguments = make_parser().parse_args(options_first(sys.argv[1:] if words is None else words))
    try:
        code = _command(arguments)(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("aptguard: interrupted; nothing was changed.", file=sys.stderr)
        return 1
    except Exception as error:
        from aptguard.cli.connection import fail

        code = fail(error)
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            _drop_output()
    return code


def _drop_output() -> None:
    """Let what could not be written go, so that Python's own flush at exit does not complain as well."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(arguments: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    match arguments.command:
        case "status" | "selftest":
            from aptguard.cli import health

            return health.status if arguments.command == "status" else health.selftest
        case "check" | "log" | "show":
            from aptguard.cli import verdicts

            commands = {"check": verdicts.check, "log": verdicts.log, "show": verdicts.show}
            return commands[str(arguments.command)]
        case "audit":
            from aptguard.cli.audit import audit

            return audit
        case "policy":
            from aptguard.cli import rules

            actions = {"show": rules.show, "test": rules.test, "check": rules.check}
            return actions[str(arguments.action)]
        case _:
            from aptguard.cli import switches

            named = {"override": switches.override, "pause": switches.pause, "resume": switches.resume}
            return named[str(arguments.command)]


if __name__ == "__main__":
    sys.exit(main())
