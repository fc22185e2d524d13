# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands check, log and show."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, assert_never

from aptguard.cli.connection import Connection
from aptguard.cli.output import clear_live_line, live_line, print_json, stdout_style
from aptguard.guard.errors import GuardError
from aptguard.policy.finding import Verdict
from aptguard.report.details import details
from aptguard.report.machine import report_as_plain
from aptguard.report.model import Report
from aptguard.serialization import from_plain
from aptguard.shown import shown


def check(arguments: argparse.Namespace) -> int:
    """Rehearse the plan that apt would make: 0 allow, 10 block, 11 unknown."""
    names = [os.path.abspath(name) if _is_archive(name) else name for name in arguments.names]
    takes_names = arguments.operation in ("remove", "purge", "install")
    if takes_names and not names:
        print(f"aptguard: check {arguments.operation} needs at least one package.", file=sys.stderr)
        return 2
    parameters: dict[str, Any] = {
        "operation": arguments.operation,
        "names": names,
        "environment": dict(os.environ),
        "cwd": os.getcwd(),
        "umask": _umask(),
    }
    reply = Connection().call("Check", parameters, progress=None if arguments.json else live_line())
    clear_live_line()
    report = from_plain(Report, reply["report"])
    if report.transaction.items or arguments.json:
        _print_report(report, arguments)
    else:
        print("apt would do nothing.")
    match report.verdict:
        case Verdict.ALLOW:
            return 0
        case Verdict.BLOCK:
            return 10
        case Verdict.UNKNOWN:
            return 11
        case _:
            assert_never(report.verdict)


def show(arguments: argparse.Namespace) -> int:
    """Print one transaction in full."""
    reply = Connection().call("Show", {"id": arguments.id, "seen": not arguments.peek})
    report = from_plain(Report, reply["report"])
    overrides = reply.get("overrides", [])
    if arguments.html:
        _write_page(report, arguments.html)
    if arguments.json:
        print_json({**report_as_plain(report, changes=arguments.changes), "overrides": overrides})
        return 0
    if arguments.html:
        print(f"{report.id} is written to {shown(arguments.html)}.")
        return 0
    _print_report(report, arguments)
    for override in overrides:
        print(f"override: {override['state']}, {shown(override['reason'])}")
    return 0


def log(arguments: argparse.Namespace) -> int:
    """Print what was judged, the newest first."""
    if arguments.directory is not None:
        from aptguard.cli.fleet import log_of_directory

        return log_of_directory(arguments)
    parameters: dict[str, Any] = {
        name: value
        for name in ("since", "verdict", "package", "path", "limit")
        if (value := getattr(arguments, name)) is not None
    }
    reports = Connection().call("Log", {**parameters, "seen": not arguments.peek})["reports"]
    if arguments.json:
        print_json({"transactions": reports})
        return 0
    if not reports:
        print("Nothing on record that fits.")
    for summary in reports:
        items = ", ".join(summary["items"][:3])
        more = len(summary["items"]) - 3
        rest = f" and {more} more" if more > 0 else ""
        verdict = summary["verdict"]
        line = f"{summary['time']}  {summary['id']}  {verdict:<7}  {summary['user']}  {items}{rest}"
        if summary.get("real_run") in ("diverged", "half-way"):
            line += f"  ({summary['real_run']}: aptguard show {summary['id']})"
        print(stdout_style().fit(shown(line)))
    return 0


def _write_page(report: Report, path: str) -> None:
    """Write the page of ``report``; it names files that only root may list, so only the user may read it."""
    from aptguard.report.report_page import report_page

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(report_page(report))
    except OSError as error:
        raise GuardError(
            "InvalidParameter", f"The page could not be written to {shown(path)}: {error.strerror}."
        ) from error


def _print_report(report: Report, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(report_as_plain(report, changes=arguments.changes))
    else:
        print(details(report, stdout_style(), changes=arguments.changes), end="")


def _is_archive(name: str) -> bool:
    """Whether a .deb file is meant: a file that is named as a package is (hello) is not what is asked for."""
    return ("/" in name or name.endswith(".deb")) and os.path.isfile(name)


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
