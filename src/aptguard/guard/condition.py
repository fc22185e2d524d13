# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the guard is live on this machine: each thing that it depends on, looked at one by one."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from aptguard.policy.loaded import LoadedPolicy
from aptguard.rehearsal.model import Limits, RehearsalRequest
from aptguard.rehearsal.rehearse import rehearse
from aptguard.shown import shown

APT_HOOK = "/usr/libexec/aptguard/apt-hook"
DPKG_HOOK = "/usr/libexec/aptguard/dpkg-hook"
APT_CONFIGURATION = "/etc/apt/apt.conf.d/05aptguard"
DPKG_CONFIGURATION = "/etc/dpkg/dpkg.cfg.d/aptguard"
_JOURNAL_SOCKET = "/run/systemd/journal/socket"
# Programs on libapt that read apt's configuration once and then stay: (comm in /proc, what to restart).
_LONG_RUNNING = {"packagekitd": "packagekit.service", "aptd": "aptd"}


class State(Enum):
    """How one thing stands, from good to bad."""

    OK = "ok"
    DEGRADED = "degraded"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; ``detail`` is a sentence that also says what to do."""

    name: str
    state: State
    detail: str


def overall(checks: list[Check]) -> State:
    """Return the state of the whole: ``off`` and ``degraded`` outweigh ``ok``."""
    states = {check.state for check in checks}
    return State.OFF if State.OFF in states else State.DEGRADED if State.DEGRADED in states else State.OK


def look_at_machine(loaded: LoadedPolicy, *, ledger_problem: str | None) -> list[Check]:
    """Return all checks but the one whether a daemon can be reached, which only its client can tell."""
    return [
        *_apt_hook(),
        _dpkg_hook(),
        *_rehearsal(),
        _policy(loaded),
        _journal(),
        Check("ledger", State.DEGRADED, ledger_problem)
        if ledger_problem
        else Check("ledger", State.OK, "open"),
        *_long_running_users(),
    ]


def _apt_hook() -> Iterator[Check]:
    if not os.access(APT_HOOK, os.X_OK):
        yield Check("apt hook", State.OFF, f"{APT_HOOK} is missing: reinstall the package aptguard.")
        return
    dump = subprocess.run(["/usr/bin/apt-config", "dump"], capture_output=True, check=False)
    lines = dump.stdout.decode("utf-8", "surrogateescape").splitlines()
    if dump.returncode != 0:
        reason = shown(dump.stderr.strip()[:200])
        yield Check("apt hook", State.OFF, f"apt cannot read its configuration: {reason}")
        return
    judged = any(line.startswith("DPkg::Pre-Install-Pkgs::") and APT_HOOK in line for line in lines)
    announced = any(line.startswith("DPkg::Pre-Invoke::") and "aptguard" in line for line in lines)
    version = any(line.lower() == f'dpkg::tools::options::{APT_HOOK}::version "3";'.lower() for line in lines)
    if not judged:
        detail = f"apt does not call {APT_HOOK}: put {APT_CONFIGURATION} back (dpkg --force-confmiss)."
        yield Check("apt hook", State.OFF, detail)
    elif not version:
        detail = f"apt gives the hook another protocol than 3: see {APT_CONFIGURATION}."
        yield Check("apt hook", State.OFF, detail)
    elif not announced:
        yield Check("apt hook", State.DEGRADED, f"DPkg::Pre-Invoke is not wired: see {APT_CONFIGURATION}.")
    else:
        yield Check("apt hook", State.OK, "Pre-Invoke and Pre-Install-Pkgs are wired, protocol 3")


def dpkg_hook_is_wired() -> bool:
    """Return whether each call of dpkg that no approval covers will be judged."""
    return os.path.isfile(DPKG_CONFIGURATION) and os.access(DPKG_HOOK, os.X_OK)


def _dpkg_hook() -> Check:
    if dpkg_hook_is_wired():
        return Check("dpkg hook", State.OK, f"{DPKG_CONFIGURATION} is in place")
    return Check(
        "dpkg hook",
        State.DEGRADED,
        f"{DPKG_CONFIGURATION} or its program is missing: plain dpkg is not guarded.",
    )


def _rehearsal() -> Iterator[Check]:
    """Rehearse nothing: the whole set-up of mounts and confinement is made, and no step is run."""
    result = rehearse(RehearsalRequest(steps=(), environment={}, limits=Limits(seconds=20.0)))
    uncovered = [unknown for unknown in result.unknowns if unknown.path is not None]
    failures = [unknown for unknown in result.unknowns if unknown.path is None]
    if failures or not result.complete:
        reason = "; ".join(f"{shown(f.what)}: {shown(f.reason)}" for f in failures) or "it was cut off"
        yield Check("rehearsal", State.OFF, f"no rehearsal can be made here: {reason}")
        return
    yield Check("rehearsal", State.OK, "overlay, namespaces and confinement work")
    for unknown in uncovered:
        yield Check("cover", State.DEGRADED, f"{shown(unknown.what)} is not covered: {shown(unknown.reason)}")


def _policy(loaded: LoadedPolicy) -> Check:
    if loaded.degraded:
        problems = "; ".join(problem.sentence() for problem in loaded.problems)
        return Check("policy", State.DEGRADED, f"the last valid policy is in force: {problems}")
    rules = len(loaded.policy.path_rules)
    return Check("policy", State.OK, f"{rules} rules, mode {loaded.policy.mode.value}")


def _journal() -> Check:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.connect(_JOURNAL_SOCKET)
        except OSError as error:
            detail = f"journald cannot be reached ({error.strerror}): alerts go to syslog or stderr."
            return Check("journal", State.DEGRADED, detail)
    return Check("journal", State.OK, "journald takes records")


def _long_running_users() -> Iterator[Check]:
    try:
        wired = os.stat(APT_CONFIGURATION).st_ctime
    except OSError:
        return
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                name = file.read().strip()
            started = os.stat(f"/proc/{entry}").st_ctime
        except OSError:
            continue
        if name in _LONG_RUNNING and started < wired:
            detail = f"{name} (pid {entry}) is older than the hook and does not call it: restart "
            yield Check("long-running", State.DEGRADED, detail + _LONG_RUNNING[name] + ".")
