# SPDX-License-Identifier: GPL-3.0-or-later
"""What watching costs: the same dpkg purge in the same overlay, without and with the watcher."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import Any

from bench.inside.measure import paired
from packages.builder import build_deb
from rehearsal import watched

TITLE = "Watching a purge, beside the same purge unwatched"
HOW = "wall time of dpkg --purge in a fresh overlay, without and with the watcher alternately"


@dataclass(frozen=True)
class Case:
    """One purge: ``on_purge`` is what the postrm does, ``options`` go to `watched.run`."""

    name: str
    on_purge: str
    runs: int
    options: dict[str, Any] = field(default_factory=dict)


_LOOP = "i=0; while [ $i -lt {} ]; do /bin/true; i=$((i+1)); done"
CASES = (
    Case("a small purge", "rm -rf /srv/x", 15, {"files": {"/srv/x/y": "1"}}),
    Case("1 000 programs, each looked at", _LOOP.format(1000), 5),
    Case("10 000 programs, 2 000 looked at", _LOOP.format(10000), 3),
    Case("100 000 files deleted", "rm -rf /srv/big", 3, {"many": {"/srv/big": 100_000}}),
    Case("the same, stopped early", "rm -rf /srv/big", 3, {"many": {"/srv/big": 100_000}, "stop": ("/srv",)}),
)


def measured() -> dict[str, Any]:
    """Return title, way of measuring and a row for each case."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-watcher-") as directory:
        for case in CASES:
            script = f'[ "$1" = purge ] || exit 0\n{case.on_purge}'
            archive = build_deb(directory, "toy", scripts={"postrm": script})

            def timed(watch: bool, archive: str = archive, case: Case = case) -> float:
                words = ("dpkg", "--no-triggers", "--purge", "toy")
                outcome = watched.run(*words, installed=(archive,), watch=watch, **case.options)
                return outcome.seconds * 1000

            rows.append(paired(case.name, case.runs, lambda: timed(True), lambda: timed(False)))
    return {"title": TITLE, "how": HOW, "rows": rows}
