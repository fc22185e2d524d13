# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a package's removal safe? The guard's answer on this machine, beside piuparts' in a chroot."""

from __future__ import annotations

import os
from typing import Any

from inside.apt_runs import DEBS, with_first_version, without
from inside.engine import check
from inside.measure import command, row

TITLE = "What a package's purge would do, asked before it happens"
HOW = (
    "`aptguard check purge` of an installed package, the whole command, on the machine with all that is on "
    "it; beside it piuparts, which installs, removes and purges the same .deb in a copy of a smallest "
    "Debian, with --skip-minimize and without upgrades"
)
CHROOT = "/srv/chroot"


def measure() -> list[dict[str, Any]]:
    """Return one row; piuparts runs alternately with the guard."""
    with_first_version(1)
    deb = f"{DEBS}/toy-001_1.0_all.deb"
    arguments = [f"--existing-chroot={CHROOT}", "--tmpdir=/srv", "--keep-sources-list", "--no-eatmydata"]
    arguments += ["--no-upgrade-test", "--skip-minimize"]
    if not os.path.isdir(CHROOT):
        return [row("purge of 1 toy", [], None, note="not measured: there is no chroot")]
    check("purge", ["toy-001"])
    pairs = []
    for _ in range(2):
        theirs = command(["piuparts", *arguments, deb])
        pairs.append((check("purge", ["toy-001"]).command_ms, theirs))
    without(1)
    return [row("purge of 1 toy", [one for one, _ in pairs], [other for _, other in pairs])]
