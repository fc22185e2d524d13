# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and end of a rehearsal in which nothing happens, beside bwrap on the same overlay."""

from __future__ import annotations

import os
import time
from typing import Any

from aptguard.rehearsal.model import RehearsalRequest, Step
from aptguard.rehearsal.rehearse import expect_rehearsal, rehearse
from inside.measure import ENVIRONMENT, command, paired, row

TITLE = "An empty rehearsal, beside bwrap with the same overlay"
HOW = (
    "wall time of rehearse() for /bin/true: namespaces, an overlay of each mount, confinement, "
    "watching, reading the empty result; the helper process has been started ahead, as the guard does "
    "when it is called, or not; bwrap: unshare(1) for mounts and net, mount(8) of one overlay of /, "
    "bwrap with pid, ipc and uts namespaces, /proc and /dev"
)
# https://github.com/binpash/try, where it was given: beside this package.
TRY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "try")
_LOADED_SECONDS = 0.3  # more than the helper needs to load; what else the guard does takes about as long
_BWRAP = """mount -t tmpfs t /mnt; mkdir /mnt/u /mnt/w /mnt/m
mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w,volatile /mnt/m
exec bwrap --bind /mnt/m / --proc /proc --dev /dev --unshare-pid --unshare-ipc --unshare-uts /bin/true"""


def measure() -> list[dict[str, Any]]:
    """Return the rows."""
    request = RehearsalRequest(
        (Step((b"/bin/true",)),),
        {os.fsencode(name): os.fsencode(value) for name, value in ENVIRONMENT.items()},
    )

    def ours() -> float:
        started = time.perf_counter()
        result = rehearse(request)
        milliseconds = (time.perf_counter() - started) * 1000
        if not result.complete:
            raise RuntimeError(f"the empty rehearsal failed: {result.unknowns}")
        return milliseconds

    def ours_ahead() -> float:
        expect_rehearsal()
        time.sleep(_LOADED_SECONDS)
        return ours()

    def bwrap() -> float:
        return command(["unshare", "--mount", "--net", "--propagation", "private", "sh", "-ec", _BWRAP])

    def interpreter() -> float:
        return command(["/usr/bin/python3", "-SI", "-c", "pass"])

    def try_() -> float:
        return command(["/bin/sh", TRY, "-n", "true"])

    beside = "beside try -n true"
    if os.path.exists(TRY):
        tried = paired(f"started ahead, {beside}", 11, ours_ahead, try_, aim="ratio", at_most=0.1)
    else:
        tried = row(beside, [], None, note="try is not in Debian's archive; for a copy of it: --try PATH")
    ours()
    return [
        paired("started ahead, beside bwrap", 21, ours_ahead, bwrap, aim="ours", at_most=40.0),
        paired("not ahead, beside bwrap", 11, ours, bwrap),
        paired("not ahead, beside python3 -SI -c pass", 11, ours, interpreter),
        tried,
    ]
