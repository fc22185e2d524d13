# SPDX-License-Identifier: GPL-3.0-or-later
"""What dpkg's own hook costs in each call that an approved run of apt makes."""

from __future__ import annotations

import os
from typing import Any

from inside import hooks
from inside.apt_runs import DEBS, toys, without
from inside.measure import command, paired

TITLE = "One call of dpkg within an approved run of apt"
HOW = (
    "wall time of dpkg; this process stands for apt and has left its approval, as apt-hook does; "
    "dpkg's pre-invoke in place and away alternately"
)
_APPROVED = "/run/aptguard/approved"


def measure() -> list[dict[str, Any]]:
    """Return a row for a call with one package and one for a call with a hundred."""
    os.makedirs(_APPROVED, mode=0o700, exist_ok=True)
    with open("/proc/self/stat", encoding="ascii") as file:
        started = file.read().rpartition(")")[2].split()[19]
    approval = f"{_APPROVED}/{os.getpid()}-{started}"
    rows = []
    try:
        for count, runs in ((1, 21), (100, 3)):
            archives = [f"{DEBS}/{toy}_1.0_all.deb" for toy in toys(count)]
            with open(approval, "w", encoding="utf-8") as file:
                allowed = "".join(f"unpack {one}\n" for one in archives)
                file.write(f"outcome pass\n{allowed}option --force-unsafe-io\nend\n")
            argv = ["dpkg", "--status-fd", "1", "--no-triggers", "--force-unsafe-io", "--unpack", *archives]

            def timed(*programs: str, argv: list[str] = argv) -> float:
                hooks.only(*programs)
                return command(argv)

            timed()
            name = f"dpkg --unpack of {count} {'packages' if count > 1 else 'package'}"
            rows.append(paired(name, runs, lambda: timed("aptguard"), timed, aim="added", at_most=5.0))
    finally:
        os.unlink(approval)
        hooks.only()
        without(100)
    return rows
