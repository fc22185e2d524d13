# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands status and selftest."""

from __future__ import annotations

import argparse
from typing import Any

from aptguard.cli.connection import Connection
from aptguard.cli.output import print_json, stdout_style
from aptguard.report.machine import report_as_plain
from aptguard.report.model import Report
from aptguard.report.quantity import moment
from aptguard.serialization import from_plain
from aptguard.shown import shown

_EXIT = {"live": 0, "degraded": 1, "off": 3}


def status(arguments: argparse.Namespace) -> int:
    """Say whether the guard is live: 0 live, 1 degraded, 3 off."""
    connection = Connection()
    reply = connection.call("Status", {"seen": not arguments.peek})
    if connection.through_daemon:
        daemon = {"name": "daemon", "state": "ok", "detail": "answers on its socket"}
    else:
        detail = "no daemon can be reached: each hook runs the engine itself, which is slower."
        daemon = {"name": "daemon", "state": "degraded", "detail": detail}
        reply["state"] = "degraded" if reply["state"] == "live" else reply["state"]
    reply["checks"] = [daemon, *reply["checks"]]
    if arguments.json:
        print_json(reply)
    else:
        _print_status(reply)
    return _EXIT[reply["state"]]


def _print_status(reply: dict[str, Any]) -> None:
    style = stdout_style()
    lines = [f"{style.bold('aptguard ' + reply['version'])}: {reply['state'].upper()}, mode {reply['mode']}"]
    if reply["pause"] is not None:
        lines.append(f"PAUSED until {moment(reply['pause']['until'])}: {shown(reply['pause']['reason'])}")
    lines += [f"  {check['state']:<9} {check['name']:<12} {check['detail']}" for check in reply["checks"]]
    if reply["dormant"]:
        lines += ["Dangers lying dormant"]
        lines += [
            f"  {danger.get('account') or danger.get('path', '')}: {danger['reason']}"
            for danger in reply["dormant"]
        ]
    if reply["verdicts"]:
        lines += ["Last verdicts"]
        lines += [
            f"  {last['time']}  {last['id']}  {last['verdict']:<7}  {', '.join(last['items'][:3])}"
            for last in reply["verdicts"]
        ]
    print("\n".join(style.fit(line) for line in lines))


def selftest(arguments: argparse.Namespace) -> int:
    """Rehearse a booby-trapped package: 0 when it is blocked and the host is untouched, else 1."""
    reply = Connection().call("Selftest", {})
    if arguments.json:
        report = None if reply["report"] is None else report_as_plain(from_plain(Report, reply["report"]))
        steps = [{"passed": passed, "said": said} for passed, said in reply["steps"]]
        print_json({"passed": reply["passed"], "steps": steps, "report": report})
    else:
        for passed, said in reply["steps"]:
            print(f"{'ok    ' if passed else 'FAILED'}  {said}")
        print("selftest: the guard works" if reply["passed"] else "selftest: the guard does NOT work")
    return 0 if reply["passed"] else 1
