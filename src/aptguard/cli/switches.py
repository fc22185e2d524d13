# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands override, pause and resume."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from aptguard.cli.connection import Connection
from aptguard.cli.output import print_json
from aptguard.report.machine import timestamp
from aptguard.report.quantity import moment
from aptguard.shown import shown


def override(arguments: argparse.Namespace) -> int:
    """Grant, list or revoke an override."""
    if arguments.list:
        overrides = [_override(plain) for plain in Connection().call("ListOverrides", {})["overrides"]]
        if arguments.json:
            print_json({"overrides": overrides})
        elif not overrides:
            print("There are no overrides.")
        else:
            for plain in overrides:
                print(
                    f"{plain['id']}  {plain['state']:<8} until {plain['expires']}  {shown(plain['reason'])}"
                )
        return 0
    if arguments.revoke:
        plain = _override(Connection().call("RevokeOverride", {"id": arguments.revoke})["override"])
        return _print(arguments, {"override": plain}, f"The override of {plain['id']} is revoked.")
    if not arguments.id or not arguments.reason:
        print('aptguard: override needs an ID and a reason: override ID --reason "WHY".', file=sys.stderr)
        return 2
    parameters: dict[str, Any] = {"id": arguments.id, "reason": arguments.reason, **_who()}
    if arguments.seconds is not None:
        parameters["seconds"] = arguments.seconds
    reply = Connection().call("GrantOverride", parameters)["override"]
    text = (
        f"{reply['id']} may run once, until {moment(reply['expires_at'])}. Run the same command again;"
        " if anything new is found, it is blocked again."
    )
    return _print(arguments, {"override": _override(reply)}, text)


def pause(arguments: argparse.Namespace) -> int:
    """Switch blocking off for a while."""
    parameters = {"seconds": arguments.seconds, "reason": arguments.reason, **_who()}
    plain = Connection().call("Pause", parameters)["pause"]
    until = moment(plain["until"])
    text = f"Blocking is off until {until}; everything is still rehearsed, and what is found is told."
    return _print(arguments, {"pause": _times(plain, "since", "until")}, text)


def resume(arguments: argparse.Namespace) -> int:
    """End the pause."""
    plain = Connection().call("Resume", {})["pause"]
    text = "There was no pause." if plain is None else "The pause is over: blocking is on."
    return _print(arguments, {"pause": None if plain is None else _times(plain, "since", "until")}, text)


def _print(arguments: argparse.Namespace, document: dict[str, Any], text: str) -> int:
    if arguments.json:
        print_json(document)
    else:
        print(text)
    return 0


def _override(plain: dict[str, Any]) -> dict[str, Any]:
    named = {key: plain[key] for key in ("id", "state", "reason", "grantor")}
    return {
        **named,
        "granted": timestamp(plain["granted_at"]),
        "expires": timestamp(plain["expires_at"]),
        "used": None if plain["used_at"] is None else timestamp(plain["used_at"]),
    }


def _times(plain: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: timestamp(value) if key in names else value for key, value in plain.items()}


def _who() -> dict[str, Any]:
    try:
        terminal: str | None = os.ttyname(sys.stdin.fileno())
    except OSError:
        terminal = None
    return {"sudo_user": os.environ.get("SUDO_USER"), "tty": terminal}
