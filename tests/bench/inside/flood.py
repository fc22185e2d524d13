# SPDX-License-Identifier: GPL-3.0-or-later
"""Time to verdict of `rm -rf /*` in a postrm, by the number of files on the disk."""

from __future__ import annotations

import os
import shutil
from typing import Any

from inside.copies import command_in_copy
from inside.engine import check
from inside.measure import row

TITLE = "Time to verdict of rm -rf /* in a postrm, by the files on the disk"
HOW = (
    "the engine's time in `aptguard check purge` of a package with that postrm, whose verdict must be "
    "block; beside it the same rm in a fresh overlay, run to its end"
)
_PLACE = "/srv/many"


def measure() -> list[dict[str, Any]]:
    """Return a row for each number of files."""
    rows = []
    made = 0
    for files, runs, real_runs in ((10_000, 5, 3), (100_000, 5, 1), (400_000, 5, 1)):
        while made < files:
            directory = f"{_PLACE}/{made // 1000:04}"
            os.makedirs(directory)
            for number in range(1000):
                os.close(os.open(f"{directory}/{number}", os.O_WRONLY | os.O_CREAT, 0o644))
            made += 1000
        check("purge", ["boom"], expect="block")
        ours = [check("purge", ["boom"], expect="block").engine_ms for _ in range(runs)]
        remove = ["sh", "-c", "rm -rf --one-file-system /*"]
        peer = [command_in_copy(remove, accept=(0, 1), bare=True) for _ in range(real_runs)]
        rows.append(
            row(
                f"{files} files",
                ours,
                peer,
                aim="ours",
                at_most=1000.0,
                note="not paired: the peer runs after",
            )
        )
    shutil.rmtree(_PLACE)
    return rows
