# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that the tests themselves run on, where that is a throw-away virtual machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from testbed.guest import Guest

ON_A_THROW_AWAY = "APTGUARD_TEST_VM"


def missing_throw_away() -> str | None:
    """Return why this machine must not be changed by tests, or None where it is there for that."""
    # The agent has unpacked the project there, and no other machine has such a directory.
    if os.environ.get(ON_A_THROW_AWAY) and os.path.exists("/run/testbed/tests/testbed/vm_agent.py"):
        return None
    return "this changes the machine itself: only for the virtual machines of `make test-vm`"


class Here(Guest):
    """This machine, used as the tests use a guest."""

    def __init__(self) -> None:
        reason = missing_throw_away()
        if reason:
            raise RuntimeError(reason)
        with open("/etc/os-release", encoding="utf-8") as file:
            facts = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
        super().__init__(facts["VERSION_ID"].strip('"'), tree="/", network="private")

    def __enter__(self) -> Self:
        return self

    def path(self, path: str) -> str:
        return "/" + path.lstrip("/")

    def _enter(self) -> list[str]:
        return []

    def _wrapped(self, argv: list[str], timeout: float, env: Mapping[str, str]) -> list[str]:
        # The surroundings of the tests' own Python are not those of an administrator.
        clean = {"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "dumb", **env}
        variables = [f"{name}={value}" for name, value in clean.items()]
        return ["env", "-i", "-C", "/", *variables, "timeout", "-k5", f"{timeout:g}", *argv]
