# SPDX-License-Identifier: GPL-3.0-or-later
"""What watching costs: the same dpkg purge in the same overlay, without and with the watcher.

Run as root: ``PYTHONPATH=src:tests python3 tests/bench/watcher.py``. Runs alternate: both see one machine.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass, field
from typing import Any

from packages.builder import build_deb
from rehearsal import watched


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


def rows() -> list[tuple[str, float, float]]:
    """Return name, median seconds without and median seconds with the watcher of each case."""
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-watcher-") as directory:
        for case in CASES:
            script = f'[ "$1" = purge ] || exit 0\n{case.on_purge}'
            archive = build_deb(directory, "toy", scripts={"postrm": script})
            seconds: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(case.runs):
                for watch in (False, True):
                    outcome = watched.run(
                        "dpkg",
                        "--no-triggers",
                        "--purge",
                        "toy",
                        installed=(archive,),
                        watch=watch,
                        **case.options,
                    )
                    seconds[watch].append(outcome.seconds)
            found.append((case.name, statistics.median(seconds[False]), statistics.median(seconds[True])))
    return found


def main() -> None:
    """Print the table."""
    print(f"{'dpkg --purge':36} {'plain':>9} {'watched':>9} {'ratio':>6}")
    for name, plain, with_watcher in rows():
        print(f"{name:36} {plain * 1000:6.0f} ms {with_watcher * 1000:6.0f} ms {with_watcher / plain:6.2f}")


if __name__ == "__main__":
    main()
