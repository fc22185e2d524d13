# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that apt would make, without making it: for ``aptguard check``.

apt itself is asked, with its own configuration, and stopped at its Pre-Install-Pkgs hook: there the whole
plan is known and nothing has been changed (a failing hook ends the run with exit code 100, before
extended_states and dpkg's selections are written). A configuration file given by ``-c`` is read after all
others, so ``#clear`` in it takes the other hooks out of this one run (apt.conf(5)). What apt would write
beside its work (/var/log/apt/eipp.log.xz, compressed with 64 MiB of memory) or ask of logind is left out.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from aptguard.guard.errors import GuardError
from aptguard.shown import shown

OPERATIONS = ("remove", "purge", "install", "upgrade", "full-upgrade", "autoremove")

# What apt says, in the C locale, of a name that it cannot make anything of.
_UNKNOWN_NAME = (
    "Unable to locate package",
    "Couldn't find any package by",
    "has no installation candidate",
    "Unsupported file",
    "was not found",
)
_CAPTURE_OPTIONS = """\
#clear AptCli::Hooks;
#clear binary::apt::AptCli::Hooks;
#clear binary::apt-get::AptCli::Hooks;
#clear APT::Install::Pre-Invoke;
#clear APT::Install::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Tools::Options;
DPkg::Pre-Install-Pkgs { "/usr/bin/tee PLAN >/dev/null; exit 1"; };
DPkg::Tools::Options::/usr/bin/tee::Version "3";
DPkg::Tools::Options::/usr/bin/tee::InfoFD "0";
Dir::Log::Planner "";
Dir::Log::Solver "";
DPkg::Inhibit-Shutdown "false";
"""


def capture_plan(operation: str, names: Sequence[str], environment: Mapping[str, str]) -> bytes | None:
    """Return what apt's hook would be given for ``apt-get OPERATION NAMES``; None when nothing would be done.

    Needs root and apt's locks; .deb files that the plan needs are downloaded into apt's cache, as apt
    would do. Raises GuardError with apt's own words when apt makes no plan: ``InvalidParameter`` where it
    knows no such package or file, else ``CannotPlan``.
    """
    with tempfile.TemporaryDirectory(prefix="aptguard-plan-") as directory:
        plan, options = os.path.join(directory, "plan"), os.path.join(directory, "options")
        with open(options, "w", encoding="utf-8") as file:
            file.write(_CAPTURE_OPTIONS.replace("PLAN", plan))
        command = ["/usr/bin/apt-get", "-c", options, "-y", "-qq", "--allow-downgrades"]
        command += ["--allow-remove-essential", "--allow-change-held-packages"]
        completed = subprocess.run(
            [*command, operation, "--", *names],
            env={**environment, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        try:
            with open(plan, "rb") as file:
                return file.read()
        except FileNotFoundError:
            pass
    if completed.returncode == 0:
        return None
    said = [line for line in completed.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
    reason = shown(said[-1].removeprefix("E: ")) if said else f"exit code {completed.returncode}"
    asked = shown(" ".join(["apt-get", operation, *names]))
    name = "InvalidParameter" if any(words in reason for words in _UNKNOWN_NAME) else "CannotPlan"
    raise GuardError(name, f"apt makes no plan for '{asked}': {reason}")
