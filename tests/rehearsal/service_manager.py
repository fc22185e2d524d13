# SPDX-License-Identifier: GPL-3.0-or-later
"""A service manager of a few units on a throw-away machine, and what scripts hear of it in a rehearsal."""

from __future__ import annotations

from aptguard.rehearsal.model import UNANSWERED, UNCLEAR, RehearsalResult
from rehearsal.machine import Machine

# A systemctl as it is on a machine with these units; what it does in its offline mode is told as it is.
SYSTEMCTL = r"""#!/bin/sh
[ -d /dev/.rehearsal ] || echo "$*" >> /run/asked
if [ -n "$SYSTEMD_OFFLINE" ]; then
    case "$1 $2" in "is-enabled --") [ -e "/etc/systemd/system/multi-user.target.wants/$3" ] || exit 1 ;; esac
    case "$1 $2" in "is-enabled --") echo enabled; exit 0 ;; esac
    case "$1" in stop | start | restart | try-restart | disable | enable | reset-failed) exit 0 ;; esac
    echo "offline: $*"
    exit 0
fi
[ -d /run/systemd/system ] || { echo 'System has not been booted with systemd' >&2; exit 1; }
unit() {
    printf '%s\n' "Type=simple" "MainPID=${4:-0}" "Result=success" "Id=$1" "Names=$1 $5" Description=A\ unit \
        LoadState=loaded "ActiveState=$2" "SubState=$3" "FragmentPath=/usr/lib/systemd/system/$1" \
        CanReload=no ""
}
case "$1" in
is-system-running) echo degraded; exit 1 ;;
--quiet) exit 4 ;;
show)
    unit web.service active running 4711 www.service
    unit broken.service failed failed
    unit idle.service inactive dead
    unit slow.service activating start 4712
    ;;
esac
"""


def set_up_units(machine: Machine) -> None:
    """Give the machine this service manager; web is enabled, which no other unit is."""
    machine.write("/usr/bin/systemctl", SYSTEMCTL, 0o755)
    machine.write("/usr/lib/systemd/system/fresh.service", "[Service]\nExecStart=/bin/true\n")
    for name in ("web", "broken", "idle", "slow"):
        machine.write(f"/usr/lib/systemd/system/{name}.service", "[Service]\n")
    # Of which systemd knows nothing yet.
    machine.write("/usr/lib/systemd/system/web.service", "[Service]\nExecReload=/bin/true\n")
    machine.write("/etc/systemd/system/multi-user.target.wants/web.service", "[Service]\n")


def said(machine: Machine, script: str) -> list[str]:
    """Return the words that ``script`` says in a rehearsal in which nothing is in doubt."""
    result = machine.rehearse_shell(script)
    assert result.unknowns == (), (result.unknowns, result.output)
    assert doubtful(result) == []
    return result.output.decode().split()


def doubtful(result: RehearsalResult) -> list[str]:
    """Return the calls whose answer or success is not known."""
    return [one.detail for one in result.effects if one.kind in (UNANSWERED, UNCLEAR)]
