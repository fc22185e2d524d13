# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries one package on a booted machine of its own: install, purge, and purge of what it brought along."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import time

from aptguard.ledger.store import Ledger
from aptguard.report.model import Report
from aptguard.shown import shown
from corpus.data import TYPICAL_DATA
from corpus.results import Result, Step
from testbed import cache
from testbed.guest import Container, Guest, GuestError
from testbed.server import install_aptguard
from testbed.trees import Tree, base_tree

STATE = "/var/lib/aptguard"
APT = "apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0"
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}


def machine_tree(version: str, deb: str) -> Tree:
    """Return the tree of a machine with aptguard on it and fresh lists of the archive."""
    base = base_tree(version)
    with open(deb, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()

    def make(directory: str) -> None:
        os.mkdir(directory, 0o755)
        with Guest(version, tree=base, upper=directory) as machine:
            machine.run(["apt-get", "-q", "update"], timeout=300)
            install_aptguard(machine, deb)
            # The machine is in memory and gone in a minute: there is nothing to sync.
            machine.write("/etc/dpkg/dpkg.cfg.d/testbed", "force-unsafe-io\n")
            machine.write("/etc/machine-id", "")
            machine.shut_down()

    name = f"{version}-{cache.key(base, digest)}"
    return Tree(version, (cache.made_once("corpus", name, make), base))


def download(version: str, tree: Tree, packages: list[str]) -> dict[str, str]:
    """Have the archives of ``packages`` in the cache; return what apt said where it could not get them."""
    problems = {}
    with Container(version, tree=tree) as machine:
        for package in packages:
            command = f"{APT} --download-only install {package}"
            done = machine.run(command, timeout=600, check=False, env={**ENVIRONMENT, "APTGUARD": ""})
            if done.returncode != 0:
                problems[package] = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "?"
    return problems


def try_package(package: str, version: str, tree: Tree, recordings: str | None = None) -> Result:
    """Return what the guard said of ``package``; nothing is blocked, all is judged."""
    start = time.monotonic()
    result = Result(package, version)
    try:
        with Guest(version, tree=tree, network="private") as machine:
            machine.run(
                ["aptguard", "pause", "--for", "1d", "--reason", "the corpus judges, it does not stop"]
            )
            if recordings:
                machine.run(f"install -d -m 700 {STATE}/recordings")
            _steps(machine, package, result)
            _judged(machine, result)
            if recordings:
                _keep_recordings(machine, package, recordings)
    except (GuestError, OSError, TimeoutError) as error:
        result.problem = shown(str(error))[-600:]
    result.seconds = round(time.monotonic() - start, 1)
    return result


def _steps(machine: Guest, package: str, result: Result) -> None:
    _step(machine, result, f"{APT} install {package}")
    if result.steps[-1].exit != 0 and "Unable to locate" in result.steps[-1].said:
        result.problem = "not in the archive"
        return
    if package in TYPICAL_DATA:
        machine.run(TYPICAL_DATA[package], check=False)
    _step(machine, result, f"aptguard check remove {package}")
    _step(machine, result, f"{APT} purge {package}")
    _step(machine, result, f"{APT} autoremove --purge")


def _step(machine: Guest, result: Result, command: str) -> None:
    start = time.monotonic()
    done = machine.run(command.split(), timeout=600, check=False, env=ENVIRONMENT)
    said = "" if done.returncode == 0 else (done.stdout + done.stderr)[-1500:]
    result.steps.append(
        Step(command, done.returncode, seconds=round(time.monotonic() - start, 1), said=shown(said))
    )


def _judged(machine: Guest, result: Result) -> None:
    """Put each report of the guard's ledger to the step that it is of: both are in order of time."""
    for report in reports(machine):
        step = next((step for step in result.steps if not step.verdict and _is_of(report, step)), None)
        if step is None:
            continue
        step.verdict = report.verdict.value
        step.findings = [
            {
                "rule": one.rule,
                "severity": one.severity.value,
                "change": one.change,
                "path": shown(one.path) if one.path is not None else None,
                "account": one.account,
                "package": one.package,
                "script": one.script,
                "count": one.count,
                "reason": one.reason,
            }
            for one in report.findings
        ]
        step.unknowns = [{"what": one.what, "reason": one.reason} for one in report.unknowns]


def _is_of(report: Report, step: Step) -> bool:
    if step.command.startswith("aptguard check"):
        return report.transaction.frontend == "aptguard check"
    asked = report.transaction.command_line or ""
    words = ("autoremove", "install", "purge")
    mine = next((word for word in words if f" {word}" in step.command), "")
    return report.transaction.frontend != "aptguard check" and f" {mine}" in f" {asked}"


def reports(machine: Guest) -> list[Report]:
    """Return the reports in the guard's ledger, the oldest first, from a copy of its state."""
    machine.run(["systemctl", "stop", "aptguard.service"], check=False)
    with tempfile.TemporaryDirectory(prefix="aptguard-corpus-") as directory:
        copy = os.path.join(directory, "state")
        shutil.copytree(machine.path(STATE), copy, ignore=shutil.ignore_patterns("recordings"))
        os.chmod(copy, 0o700)
        ledger = Ledger(copy)
        found = list(ledger.reports(limit=50))
        ledger.close()
    return sorted(found, key=lambda report: report.time)


def _keep_recordings(machine: Guest, package: str, directory: str) -> None:
    source = machine.path(f"{STATE}/recordings")
    for name in sorted(os.listdir(source)):
        with open(os.path.join(source, name), "rb") as file:
            content = file.read()
        with gzip.open(os.path.join(directory, f"{package}-{name}.gz"), "wb", compresslevel=3) as packed:
            packed.write(content)
