# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``aptguard`` as a program of its own, with a state directory that a test has made."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from aptguard.policy.finding import Finding, Severity, Verdict
from aptguard.report.model import Report
from aptguard.transaction.fingerprint import short_id
from aptguard.transaction.model import Action, Item, Transaction

_PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {source!r})
from aptguard.cli import connection
from aptguard.daemon.client import Unreachable
from aptguard.guard.service import Guard

def nobody(*_arguments, **_named):
    raise Unreachable("a test has no daemon")

connection.call = nobody
Guard.__init__.__kwdefaults__["state_directory"] = {state!r}
from aptguard.cli.main import main
sys.exit(main())
"""


def write_command(directory: Path, state: Path) -> Path:
    """Write ``directory/aptguard``, which works on the ledger in ``state`` and knows of no daemon."""
    directory.mkdir(exist_ok=True)
    source = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "src")
    program = directory / "aptguard"
    program.write_text(_PROGRAM.format(python=sys.executable, source=source, state=str(state)))
    program.chmod(0o755)
    return program


def make_report(number: int = 1, verdict: Verdict = Verdict.BLOCK, **named: object) -> Report:
    """Return a report whose ID depends on ``number`` only; ``named`` replaces fields of it."""
    fingerprint = hashlib.sha256(str(number).encode()).hexdigest()
    findings = (
        Finding(
            rule="databases",
            severity=Severity.BLOCK,
            reason="A database lives here.",
            change="deleted",
            path=b"/var/lib/postgresql/15/main",
            package="old-statistics",
            script="postrm purge",
            command=(b"rm", b"-rf", b"/"),
            count=1204,
            size=9_000_000,
            origin="/usr/share/aptguard/policy.d/10-default.toml:61",
        ),
    )
    fields: dict[str, object] = {
        "id": short_id(fingerprint),
        "fingerprint": fingerprint,
        "time": 1_790_000_000.0 + number,
        "host": "db1",
        "verdict": verdict,
        "transaction": Transaction(
            "apt-get",
            (Item("old-statistics", "all", Action.PURGE, "1.0"),),
            command_line="apt-get purge old-statistics",
        ),
        "user": "alice (sudo)",
        "findings": findings if verdict is Verdict.BLOCK else (),
        "changes": {"kinds": {"deleted": 1204}, "owners": {"unowned": 1204}},
    }
    return Report(**{**fields, **named})  # type: ignore[arg-type]
