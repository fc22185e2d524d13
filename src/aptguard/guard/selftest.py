# SPDX-License-Identifier: GPL-3.0-or-later
"""A booby-trapped package, rehearsed: it must be blocked, and the host must be untouched.

The witness is a file that the package's script deletes; it stands in aptguard's own state directory and
is compared on the host after the rehearsal. The package is never installed.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from aptguard.guard.errors import GuardError
from aptguard.policy.finding import Verdict
from aptguard.report.model import Report
from aptguard.shown import shown
from aptguard.transaction.model import Action, Item, Transaction

PACKAGE = "aptguard-selftest-trap"
_WITNESS = b"This file is the witness of aptguard's selftest.\n"
_CONTROL = f"""\
Package: {PACKAGE}
Version: 1
Architecture: all
Maintainer: aptguard selftest <root@localhost>
Description: deletes a witness when it is installed; made by aptguard selftest
"""


@dataclass(frozen=True, slots=True)
class SelftestResult:
    """What was seen: each step with whether it came out as it must, and the report of the rehearsal."""

    steps: tuple[tuple[bool, str], ...]
    report: Report | None

    @property
    def passed(self) -> bool:
        """Whether every step came out as it must."""
        return all(passed for passed, _ in self.steps)


def run_selftest(state_directory: str, examine: Callable[[Transaction], Report]) -> SelftestResult:
    """Build the trap, examine its installation and look at the witness afterwards.

    Raises GuardError when the trap cannot be set (no room, no dpkg-deb).
    """
    witness_directory = os.path.join(state_directory, "selftest")
    witness = os.path.join(witness_directory, "witness")
    try:
        os.makedirs(witness_directory, mode=0o700, exist_ok=True)
        with open(witness, "wb") as file:
            file.write(_WITNESS)
        with tempfile.TemporaryDirectory(prefix="selftest-", dir=state_directory) as directory:
            archive = _build_trap(directory, witness_directory)
            report = examine(_installation(archive))
    except (OSError, subprocess.CalledProcessError) as error:
        raise GuardError("CannotPlan", f"The selftest could not build its package: {error}") from error
    return SelftestResult((*_blocked(report, os.fsencode(witness)), _untouched(witness)), report)


def _build_trap(directory: str, target: str) -> str:
    tree = os.path.join(directory, "trap")
    os.makedirs(os.path.join(tree, "DEBIAN"), mode=0o755)
    os.chmod(tree, 0o755)
    os.chmod(os.path.join(tree, "DEBIAN"), 0o755)
    with open(os.path.join(tree, "DEBIAN", "control"), "w", encoding="utf-8") as file:
        file.write(_CONTROL)
    script = os.path.join(tree, "DEBIAN", "postinst")
    with open(script, "w", encoding="utf-8") as file:
        # The path is aptguard's own constant or a test's directory, and single-quoted all the same.
        quoted = "'" + target.replace("'", "'\\''") + "'"
        file.write(f"#!/bin/sh\nrm -rf {quoted}\n")
    os.chmod(script, 0o755)
    archive = os.path.join(directory, f"{PACKAGE}_1_all.deb")
    subprocess.run(
        ["/usr/bin/dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, archive],
        check=True,
        capture_output=True,
    )
    return archive


def _installation(archive: str) -> Transaction:
    item = Item(PACKAGE, "all", Action.INSTALL, new_version="1", archive=os.fsencode(archive))
    return Transaction(frontend="selftest", items=(item,), command_line="aptguard selftest")


def _blocked(report: Report, witness: bytes) -> tuple[tuple[bool, str], ...]:
    named = [
        finding
        for finding in report.findings
        if finding.path is not None and (witness == finding.path or witness.startswith(finding.path + b"/"))
    ]
    verdict = f"the rehearsal of a package that deletes {shown(witness)} ended with {report.verdict.value}"
    if report.verdict is not Verdict.BLOCK:
        reasons = "; ".join(f"{shown(unknown.what)}: {shown(unknown.reason)}" for unknown in report.unknowns)
        verdict += f" ({reasons})" if reasons else ""
    by = next((f"{finding.package} {finding.script}" for finding in named if finding.script), None)
    said = f"the finding names the path and {by or 'no script'}" if named else "no finding names the path"
    return ((report.verdict is Verdict.BLOCK, verdict), (bool(named), said))


def _untouched(witness: str) -> tuple[bool, str]:
    try:
        with open(witness, "rb") as file:
            whole = file.read() == _WITNESS
    except OSError as error:
        return False, f"the host was touched: the witness is gone ({error.strerror})"
    if whole:
        return True, "the host is untouched"
    return False, "the host was touched: the witness has another content"
