# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries one package on a booted machine of its own: it comes, is upgraded, goes with what it brought along.

Where the archive has an older version, that comes first. Each purge is compared with its rehearsal, path by
path. A package with typical data comes and goes a second time, with that data.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict

from aptguard.ledger.store import Ledger
from aptguard.report.model import Report
from aptguard.shown import shown
from corpus.data import TYPICAL_DATA
from corpus.fidelity import compare, recording_since, recordings_in
from corpus.package_lists import shorten
from corpus.results import Result, Step
from corpus.witness import listing
from testbed import cache
from testbed.guest import Container, Guest, GuestError
from testbed.server import install_aptguard
from testbed.trees import CODENAMES, Tree, base_tree

STATE = "/var/lib/aptguard"
APT = "apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0"
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}
RECORDINGS = f"{STATE}/recordings"
TRIGGERS = "/etc/aptguard/policy.d/50-triggers.toml"
_LONGEST = 400  # seconds of one run of apt


def machine_tree(version: str, deb: str, packages: list[str]) -> Tree:
    """Return the tree of a machine with aptguard on it and lists of the archive that have ``packages``."""
    base = base_tree(version)
    with open(deb, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()

    def make(directory: str) -> None:
        os.mkdir(directory, 0o755)
        with Guest(version, tree=base, upper=directory) as machine:
            machine.run(["apt-get", "-q", "update"], timeout=300)
            install_aptguard(machine, deb)
            there = machine.run(["dpkg-query", "-W", "-f", "${Package}\\n"]).stdout.split()
            shorten(machine.path("/var/lib/apt/lists"), [*there, *packages])
            machine.run(["apt-get", "check"])
            # The machine is in memory and gone in a minute: there is nothing to sync.
            machine.write("/etc/dpkg/dpkg.cfg.d/testbed", "force-unsafe-io\n")
            machine.write("/etc/machine-id", "")
            machine.shut_down()

    name = f"{version}-{cache.key(base, digest, *packages)}"
    return Tree(version, (cache.made_once("corpus", name, make), base))


def download(version: str, tree: Tree, packages: list[str]) -> tuple[dict[str, str], set[str]]:
    """Have the archives of ``packages`` in the cache.

    Return what apt said where it could not get them, and the packages that have an older version.
    """
    problems, older = {}, set()
    with Container(version, tree=tree) as machine:
        for package in packages:
            command = f"{APT} --download-only install {package}"
            done = machine.run(command, timeout=600, check=False, env={**ENVIRONMENT, "APTGUARD": ""})
            if done.returncode != 0:
                problems[package] = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "?"
                continue
            listed = machine.run(["apt-cache", "madison", package], check=False).stdout
            if len({line.split("|")[1].strip() for line in listed.splitlines() if line.count("|") == 2}) > 1:
                command = f"{APT} --download-only {_older(version, package)}"
                done = machine.run(command, timeout=600, check=False, env={**ENVIRONMENT, "APTGUARD": ""})
                if done.returncode == 0:
                    older.add(package)
    return problems, older


def _older(version: str, package: str) -> str:
    """The arguments that install what the suite had before its updates (apt_preferences(5): -t)."""
    return f"-t {CODENAMES[version]} install {package}"


def try_package(
    package: str,
    version: str,
    tree: Tree,
    *,
    older: bool = False,
    triggers: bool = False,
    keep: str | None = None,
) -> Result:
    """Return what the guard said of ``package``; nothing is blocked, all is judged.

    :param older: start with the older version of the archive, then upgrade.
    :param triggers: have triggers rehearsed too, which is not the default.
    :param keep: a directory for what each judgement was made from.
    """
    result = Result(package, version)
    _on_a_machine(
        version,
        tree,
        [result],
        lambda machine: _steps(machine, package, result, older=older),
        triggers=triggers,
        keep=keep,
    )
    return result


def try_group(packages: list[str], version: str, tree: Tree, *, keep: str | None = None) -> list[Result]:
    """Return the same of packages that come in one transaction, and go one by one."""
    results = [Result(package, version) for package in packages]
    _on_a_machine(version, tree, results, lambda machine: _steps_together(machine, results), keep=keep)
    return results


def _on_a_machine(
    version: str,
    tree: Tree,
    results: list[Result],
    steps: Callable[[Guest], None],
    *,
    triggers: bool = False,
    keep: str | None = None,
) -> None:
    start = time.monotonic()
    try:
        with Guest(version, tree=tree, network="private") as machine:
            machine.run(
                ["aptguard", "pause", "--for", "1d", "--reason", "the corpus judges, it does not stop"]
            )
            machine.run(f"install -d -m 700 {RECORDINGS}")
            if triggers:
                machine.write(TRIGGERS, "rehearse_triggers = true\n")
            steps(machine)
            _judged(machine, results)
            if keep:
                _keep_recordings(machine, results[0].package, keep)
    except (GuestError, OSError, TimeoutError, subprocess.TimeoutExpired) as error:
        for result in results:
            result.problem = shown(str(error))[-600:]
    for result in results:
        result.seconds = round((time.monotonic() - start) / len(results), 1)


def _steps(machine: Guest, package: str, result: Result, *, older: bool) -> None:
    if older:
        _step(machine, result, f"{APT} {_older(result.debian, package)}")
        _step(machine, result, f"{APT} dist-upgrade")
    else:
        _step(machine, result, f"{APT} install {package}")
    if result.steps[0].exit != 0:
        result.problem = f"it cannot be installed: {result.steps[0].said[-400:]}"
        return
    _purge(machine, result, package)
    if package in TYPICAL_DATA:
        _step(machine, result, f"{APT} install {package}")
        machine.run(TYPICAL_DATA[package], check=False)
        _purge(machine, result, package)


def _steps_together(machine: Guest, results: list[Result]) -> None:
    _step(machine, results[0], f"{APT} install {' '.join(one.package for one in results)}")
    installed = results[0].steps[0]
    for result in results:
        result.steps = [installed]
        if installed.exit != 0:
            result.problem = f"it cannot be installed with the others: {installed.said[-400:]}"
        else:
            _purge(machine, result, result.package)


def _purge(machine: Guest, result: Result, package: str) -> None:
    """Purge ``package`` with what it had brought along, and compare that with its rehearsal."""
    upper, below = machine.upper()
    before = listing(upper, below)
    known = recordings_in(machine.path(RECORDINGS))
    _step(machine, result, f"{APT} purge --autoremove {package}")
    after = listing(upper, below, before)
    recording = recording_since(machine.path(RECORDINGS), known)
    step = result.steps[-1]
    step.fidelity = asdict(compare(recording, before, after))
    if recording is None:
        result.problem = "its purge was not rehearsed"
    else:
        step.scripts = sorted({f"{run.package} {run.script}" for run in recording.result.scripts})
        step.purged = [item.package for item in recording.transaction.items]


def _step(machine: Guest, result: Result, command: str) -> None:
    start = time.monotonic()
    done = machine.run(command.split(), timeout=_LONGEST, check=False, env=ENVIRONMENT)
    said = "" if done.returncode == 0 else (done.stdout + done.stderr)[-1500:]
    result.steps.append(
        Step(command, done.returncode, seconds=round(time.monotonic() - start, 1), said=shown(said))
    )


def _judged(machine: Guest, results: list[Result]) -> None:
    """Put each report of the guard's ledger to the step that it is of: both are in order of time."""
    steps = [step for result in results for step in result.steps]
    for report in reports(machine):
        step = next((step for step in steps if not step.verdict and _is_of(report, step)), None)
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
    words = ("dist-upgrade", "install", "purge")
    mine = next((word for word in words if f" {word}" in step.command), "")
    return (
        report.transaction.frontend != "aptguard check"
        and f" {mine}" in f" {asked}"
        and (mine != "purge" or step.command.split()[-1] in asked.split())
    )


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
