# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the guard is live on this machine: each thing that it depends on, looked at one by one."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from aptguard.policy.loaded import LoadedPolicy
from aptguard.rehearsal.model import Limits, RehearsalRequest, RehearsalResult
from aptguard.rehearsal.processes import parse_stat, split_argv
from aptguard.rehearsal.rehearse import rehearse
from aptguard.shown import shown

APT_HOOK = "/usr/libexec/aptguard/apt-hook"
APT_ANNOUNCE = "/usr/libexec/aptguard/apt-announce"
DPKG_HOOK = "/usr/libexec/aptguard/dpkg-hook"
# Without it each hook takes aptguard to be just being removed, and lets everything pass.
HOOK_RULES = "/usr/libexec/aptguard/hooklib/rules.sh"
APT_CONFIGURATION = "/etc/apt/apt.conf.d/05aptguard"
DPKG_CONFIGURATION = "/etc/dpkg/dpkg.cfg.d/aptguard"
_JOURNAL_SOCKET = "/run/systemd/journal/socket"
_DPKG_COMMAND = f"if [ -x {DPKG_HOOK} ]; then exec {DPKG_HOOK}; fi"
# A line as dpkg_options_load_file() of dpkg's lib/dpkg/options.c takes it apart: a comment, or a name that
# begins in the first column, and one character of any kind before the value, which may stand in quotes.
_PRE_INVOKE = re.compile(rb"""pre-invoke[^A-Za-z0-9-]=?\s*(["']?)(.*)\1""")
# The name of a mapped file, which may have been replaced since (proc(5)).
_LIBAPT = re.compile(rb"/libapt-pkg\.so[.0-9]*( \(deleted\))?$", re.MULTILINE)
# What to restart of the programs on libapt that read apt's configuration once and then stay, by comm(5).
_SERVICES = {b"packagekitd": "packagekit.service", b"aptd": "aptd"}
# On libapt as well, but it starts unattended-upgrade anew, which then reads the configuration.
_WAITS_FOR_SHUTDOWN = b"unattended-upgrade-shutdown"


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
    missing = _missing(APT_HOOK)
    if missing is not None:
        yield Check("apt hook", State.OFF, f"{missing} is missing: reinstall the package aptguard.")
        return
    dump = subprocess.run(["/usr/bin/apt-config", "dump"], capture_output=True, check=False)
    if dump.returncode != 0:
        reason = shown(dump.stderr.strip()[:200])
        yield Check("apt hook", State.OFF, f"apt cannot read its configuration: {reason}")
        return
    yield from apt_hook_checks(dump.stdout)


def apt_hook_checks(dump: bytes) -> Iterator[Check]:
    """Yield how the hooks are wired by a configuration of which ``apt-config dump`` says this."""
    settings = [
        (name.lower(), value.removeprefix('"').removesuffix('";'))
        for line in dump.decode("utf-8", "surrogateescape").split("\n")
        for name, _, value in [line.partition(" ")]
    ]

    def commands(hook: str) -> list[str]:
        return [value for name, value in settings if name.startswith(f"dpkg::{hook}::")]

    # The first word alone: under it apt looks for the protocol's version.
    judged = any(command.split()[:1] == [APT_HOOK] for command in commands("pre-install-pkgs"))
    announced = any(APT_ANNOUNCE in command for command in commands("pre-invoke"))
    finished = any(f"{APT_ANNOUNCE} finish" in command for command in commands("post-invoke"))
    if not judged:
        detail = f"apt does not call {APT_HOOK}: put {APT_CONFIGURATION} back (dpkg --force-confmiss)."
        yield Check("apt hook", State.OFF, detail)
        return
    if (f"dpkg::tools::options::{APT_HOOK}::version", "3") not in settings:
        detail = f"apt gives the hook another protocol than 3: see {APT_CONFIGURATION}."
        yield Check("apt hook", State.OFF, detail)
        return
    back = f"put {APT_CONFIGURATION} back as it was shipped."
    if not announced:
        detail = f"DPkg::Pre-Invoke is not wired, so no run says that blocking is paused: {back}"
        yield Check("apt hook", State.DEGRADED, detail)
    if not finished:
        detail = f"DPkg::Post-Invoke is not wired, so an override outlasts the run that it was for: {back}"
        yield Check("apt hook", State.DEGRADED, detail)
    if announced and finished:
        detail = "Pre-Invoke, Pre-Install-Pkgs and Post-Invoke are wired, protocol 3"
        yield Check("apt hook", State.OK, detail)


def _missing(hook: str) -> str | None:
    """Return which file the hook lacks, itself or its rules; None when both are there and not empty."""
    for path, mode in ((hook, os.X_OK), (HOOK_RULES, os.R_OK)):
        if not os.access(path, mode) or not os.stat(path).st_size:
            return path
    return None


def dpkg_hook_is_wired() -> bool:
    """Return whether each call of dpkg that no approval covers will be judged."""
    if not os.path.isfile(DPKG_CONFIGURATION) or _missing(DPKG_HOOK) is not None:
        return False
    try:
        return calls_dpkg_hook(_read(DPKG_CONFIGURATION))
    except OSError:
        return False


def calls_dpkg_hook(configuration: bytes) -> bool:
    """Return whether dpkg, reading this dpkg.cfg(5), calls the hook before it does anything.

    Only by the command that is shipped: of another it cannot be told whether its verdict reaches dpkg.
    """
    found = (_PRE_INVOKE.fullmatch(line.rstrip()) for line in configuration.split(b"\n"))
    return any(line is not None and line[2] == _DPKG_COMMAND.encode() for line in found)


def _dpkg_hook() -> Check:
    if dpkg_hook_is_wired():
        return Check("dpkg hook", State.OK, f"{DPKG_CONFIGURATION} is in place and calls it")
    missing = _missing(DPKG_HOOK)
    if missing is not None:
        detail = f"plain dpkg is not guarded, as {missing} is missing: reinstall the package aptguard."
    else:
        line = f"pre-invoke={_DPKG_COMMAND}"
        detail = f"plain dpkg is not guarded: put the line '{line}' back into {DPKG_CONFIGURATION}."
    return Check("dpkg hook", State.DEGRADED, detail)


def _rehearsal() -> Iterator[Check]:
    """Rehearse nothing: the whole set-up of mounts and confinement is made, and no step is run."""
    return rehearsal_checks(rehearse(RehearsalRequest(steps=(), environment={}, limits=Limits(seconds=20.0))))


def rehearsal_checks(result: RehearsalResult) -> Iterator[Check]:
    """Yield what a rehearsal of nothing shows: whether there can be any, and what each will lack here."""
    uncovered = [unknown for unknown in result.unknowns if unknown.path is not None]
    failures = [unknown for unknown in result.unknowns if unknown.path is None]
    if failures or not result.complete:
        reason = "; ".join(f"{shown(f.what)}: {shown(f.reason)}" for f in failures) or "it was cut off"
        yield Check("rehearsal", State.OFF, f"no rehearsal can be made here: {reason}")
        return
    # An overlay with fewer options is one of the notes, or not covered.
    detail = "namespaces and confinement work, and overlays with metacopy, redirect_dir and index"
    if uncovered or result.notes:
        detail += ", but for what is said next"
    yield Check("rehearsal", State.OK, detail)
    for unknown in uncovered:
        yield Check("cover", State.DEGRADED, f"{shown(unknown.what)} is not covered: {shown(unknown.reason)}")
    for note in result.notes:
        yield Check("note", State.OK, shown(note))


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
    yield from older_apt_users("/proc", wired - (time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)))


def older_apt_users(processes: str, wired: float) -> Iterator[Check]:
    """Yield the programs on libapt that began before the hook was ``wired``, in seconds after the boot.

    ``processes`` is a mounted proc(5). Who cannot change this system by its own dpkg does not count: a
    process of another user, one with another root, this one.
    """
    ticks = wired * os.sysconf("SC_CLK_TCK")
    for entry in os.listdir(processes):
        if not entry.isdigit() or entry == str(os.getpid()):
            continue
        try:
            name = _older_apt_user(os.path.join(processes, entry), ticks)
        except (OSError, ValueError):
            continue  # it has ended, or is not to be looked at
        if name is not None:
            advice = f"restart {_SERVICES[name]}." if name in _SERVICES else "end or restart it when idle."
            detail = f"{shown(name)} (pid {entry}) is older than the hook and does not call it: {advice}"
            yield Check("long-running", State.DEGRADED, detail)


def _older_apt_user(process: str, ticks: float) -> bytes | None:
    if parse_stat(_read(f"{process}/stat"))[1] >= ticks or os.stat(process).st_uid != os.geteuid():
        return None
    if not os.path.samestat(os.stat(f"{process}/root"), os.stat("/")):
        return None
    if not maps_libapt(_read(f"{process}/maps")):
        return None
    arguments = split_argv(_read(f"{process}/cmdline"))
    if _WAITS_FOR_SHUTDOWN in map(os.path.basename, arguments):
        return None
    return _read(f"{process}/comm").rstrip(b"\n")


def maps_libapt(maps: bytes) -> bool:
    """Return whether a process with these /proc/PID/maps uses apt's library, be it since replaced."""
    return _LIBAPT.search(maps) is not None


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
