# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that drive front ends on a booted machine."""

from __future__ import annotations

from testbed.guest import Guest

# VERB:PACKAGE, VERB:PACKAGE=VERSION, autoremove:, or file:PATH alone.
A_PROGRAM = """#!/usr/bin/python3
import sys

import apt
import apt.debfile

cache = apt.Cache()
if sys.argv[1].startswith("file:"):
    sys.exit(apt.debfile.DebPackage(sys.argv[1].removeprefix("file:"), cache).install())
with cache.actiongroup():
    for word in sys.argv[1:]:
        verb, _, rest = word.partition(":")
        if verb == "autoremove":
            for package in cache:
                if package.is_auto_removable:
                    package.mark_delete()
            continue
        name, _, version = rest.partition("=")
        package = cache[name]
        if version:
            package.candidate = package.versions[version]
        if verb == "install":
            package.mark_install()
        elif verb == "upgrade":
            package.mark_upgrade()
        elif verb == "reinstall":
            package.mark_keep()
            cache._depcache.set_reinstall(package._pkg, True)
        else:
            package.mark_delete(purge=verb == "purge")
cache.commit()
"""

# Searches for the package, presses the key, goes through the preview, waits for the end of the run, quits.
APTITUDE_SCREEN = r"""#!/bin/bash
package=$1 key=$2
tmux() { command tmux -L aptitude "$@"; }
shows() {
    for _ in $(seq 300); do
        tmux capture-pane -p 2>/dev/null | grep -qE "$1" && return
        sleep 0.05
    done
    echo "the screen never showed: $1" >&2
    tmux capture-pane -p >&2
    tmux kill-server
    exit 99
}
tmux kill-server 2>/dev/null
tmux new-session -d -x 100 -y 30 aptitude -o Aptitude::UI::Prompt-On-Exit=false
shows 'Installed Packages|Not Installed'
tmux send-keys /
shows 'Search for:'
tmux send-keys -l "?exact-name($package)"
tmux send-keys Enter
shows "^[a-zA-Z ]+ +$package"
tmux send-keys -l "$key"
sleep 0.3
tmux send-keys g
shows 'Packages (to be|being)'
tmux send-keys g
shows 'Press Return to continue'
screen=$(tmux capture-pane -p -S -)
tmux send-keys Enter
shows 'Installed Packages|Not Installed|C-T: Menu'
tmux send-keys Q
for _ in $(seq 300); do
    tmux has-session 2>/dev/null || break
    sleep 0.05
done
tmux kill-server 2>/dev/null
printf '%s\n' "$screen"
! grep -q 'BLOCKED' <<<"$screen"
"""

# Fails when anybody holds one.
LOCKS = """
import fcntl
for name in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/cache/apt/archives/lock"):
    with open(name, "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""

UNATTENDED = """
Unattended-Upgrade::Origins-Pattern { "origin=*"; };
Unattended-Upgrade::Sender "";
"""


def put_drivers(guest: Guest) -> None:
    """Install them: ``a-program VERB:PACKAGE ...`` on python-apt, and ``aptitude-screen PACKAGE KEY``."""
    guest.write("/usr/local/bin/a-program", A_PROGRAM, 0o755)
    guest.write("/usr/local/bin/aptitude-screen", APTITUDE_SCREEN, 0o755)
    guest.write("/etc/apt/apt.conf.d/51unattended-upgrades-local", UNATTENDED)
