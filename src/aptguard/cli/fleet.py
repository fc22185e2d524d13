# SPDX-License-Identifier: GPL-3.0-or-later
"""``aptguard log --directory``: what was judged on all machines whose journals are gathered there."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from aptguard.cli.output import print_json, stdout_style
from aptguard.guard.errors import GuardError
from aptguard.report.machine import timestamp
from aptguard.shown import shown


def log_of_directory(arguments: argparse.Namespace) -> int:
    """Print the judged transactions in the journals of a directory, the newest first."""
    found = [entry for entry in _entries(arguments) if _fits(entry, arguments)][: arguments.limit]
    if arguments.json:
        print_json({"transactions": found})
        return 0
    if not found:
        print("Nothing in these journals fits.")
    style = stdout_style()
    for entry in found:
        packages = ", ".join(entry["packages"][:3])
        more = len(entry["packages"]) - 3
        rest = f" and {more} more" if more > 0 else ""
        line = f"{entry['time']}  {entry['host']}  {entry['id']}  {entry['verdict']:<7}  {entry['user']}"
        print(style.fit(f"{line}  {packages}{rest}"))
    return 0


def _entries(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the events of transactions; each text is escaped, since another machine wrote it."""
    if not os.path.isdir(arguments.directory):
        raise GuardError("InvalidParameter", f"There is no directory {shown(arguments.directory)}.")
    command = ["journalctl", f"--directory={arguments.directory}", "--output=json", "--all", "--no-pager"]
    command += ["--quiet", "--reverse", "SYSLOG_IDENTIFIER=aptguard"]
    if arguments.since is not None:
        command.append(f"--since=@{int(time.time()) - arguments.since}")
    try:
        read = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise GuardError("CannotRead", f"journalctl could not be run: {error.strerror}.") from error
    said = shown(read.stderr.strip()[:300])
    if read.returncode != 0 and said:  # it ends with 1 also when nothing matches, and then says nothing
        raise GuardError("CannotRead", f"journalctl could not read {shown(arguments.directory)}: {said}")
    for line in read.stdout.splitlines():
        entry = json.loads(line)
        if entry.get("APTGUARD_VERDICT"):
            yield {
                "time": timestamp(int(entry.get("__REALTIME_TIMESTAMP", 0)) / 1e6),
                "host": _one(entry, "_HOSTNAME"),
                "id": _one(entry, "APTGUARD_ID"),
                "verdict": _one(entry, "APTGUARD_VERDICT"),
                "outcome": _one(entry, "APTGUARD_OUTCOME"),
                "mode": _one(entry, "APTGUARD_MODE"),
                "user": _one(entry, "APTGUARD_USER"),
                "packages": _all(entry, "APTGUARD_PACKAGE"),
                "rules": _all(entry, "APTGUARD_RULE"),
                "paths": _all(entry, "APTGUARD_PATH"),
                "message": _one(entry, "MESSAGE"),
            }


def _fits(entry: dict[str, Any], arguments: argparse.Namespace) -> bool:
    if arguments.verdict is not None and entry["verdict"] != arguments.verdict:
        return False
    if arguments.package is not None and arguments.package not in entry["packages"]:
        return False
    if arguments.path is None:
        return True
    below = shown(arguments.path).rstrip("/") + "/"
    return any(path == below[:-1] or path.startswith(below) for path in entry["paths"])


def _one(entry: dict[str, Any], name: str) -> str:
    values = _all(entry, name)
    return values[0] if values else ""


def _all(entry: dict[str, Any], name: str) -> list[str]:
    """Return a field's values: JSON Export Format of journalctl(1), where bytes are lists of numbers."""
    value = entry.get(name)
    if value is None:
        return []
    if isinstance(value, list) and not (value and isinstance(value[0], int)):
        return [_text(one) for one in value]
    return [_text(value)]


def _text(value: object) -> str:
    # What aptguard wrote is escaped already; only what it never writes is escaped here.
    text = bytes(value).decode("utf-8", "replace") if isinstance(value, list) else str(value)
    return "".join(sign if sign.isprintable() else shown(sign) for sign in text)
