# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging 10 to 100 000 changes on a simulated machine with 500 to 5 000 installed packages."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from typing import Any

from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.host.gather import gather_facts
from aptguard.policy.judge import judge
from bench.inside.measure import row
from unit.change_sets import PURGE, TODAY, default_policy, gone, result
from unit.dpkg_roots import Root

TITLE = "Judging changes, by their number and that of the installed packages"
HOW = (
    "gathering the facts and judging them in a warm process: a purge that deleted paths of which half "
    "are the package's own and half another's; the index of lists is built; the peer, in alternation, "
    "is dpkg-query --search of the same paths"
)
_FILES = 60
_SETTLED_SECONDS = 2.1


def measured() -> dict[str, Any]:
    """Return title, way of measuring and rows."""
    rows = []
    for packages in (500, 2000, 5000):
        with tempfile.TemporaryDirectory(prefix="bench-judging-") as directory:
            root = _simulated(directory, packages)
            index = os.path.join(directory, "index.db").encode()
            for changes, runs in ((10, 7), (1000, 5), (100_000, 2)):
                rows.append(_row(root, index, packages, changes, runs))
    return {"title": TITLE, "how": HOW, "rows": rows}


def _row(root: Root, index: bytes, packages: int, changes: int, runs: int) -> dict[str, Any]:
    paths = [f"/usr/share/toy/{number}" for number in range(changes // 2)]
    paths += [
        f"/usr/share/other-{number % (packages - 1)}/{number // (packages - 1) % _FILES}"
        for number in range(changes - len(paths))
    ]
    rehearsed = result(*(gone(path) for path in paths))
    # Its own list is as long as what it loses; an index is not trusted right after its directory has changed.
    root.list("toy", [b"/usr", b"/usr/share", b"/usr/share/toy", *_paths(b"toy", changes // 2)])
    DpkgDatabase(root.path, index=index).owners([b"/usr/bin/nothing"])
    time.sleep(_SETTLED_SECONDS)
    policy = default_policy()
    ours, peer, alone = [], [], []
    for _ in range(runs):
        if changes <= 1000:
            peer.append(_search(root, paths))
        started = time.perf_counter()
        facts = gather_facts(PURGE, rehearsed, DpkgDatabase(root.path, index=index))
        between = time.perf_counter()
        judge(PURGE, rehearsed, facts, policy, TODAY)
        ended = time.perf_counter()
        ours.append((ended - started) * 1000)
        alone.append((ended - between) * 1000)
    aim = {"aim": "ours", "at_most": 100.0} if changes == 1000 else {}
    note = f"of which judging alone {sorted(alone)[len(alone) // 2]:.1f} ms"
    return row(f"{changes} changes, {packages} packages", ours, peer or None, note=note, **aim)


def _search(root: Root, paths: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        ["dpkg-query", f"--admindir={os.fsdecode(root.path)}/var/lib/dpkg", "--search", *paths],
        capture_output=True,
        check=False,
    )
    return (time.perf_counter() - started) * 1000


def _simulated(directory: str, packages: int) -> Root:
    root = Root(os.path.join(directory, "root"))
    root.write("/etc/passwd", b"root:x:0:0:root:/root:/bin/bash\n")
    root.write("/etc/group", b"root:x:0:\n")
    root.package(
        "toy",
        [
            b"/usr",
            b"/usr/share",
            b"/usr/share/toy",
        ],
    )
    for number in range(packages - 1):
        name = b"other-%d" % number
        above = [b"/usr", b"/usr/share", b"/usr/share/" + name]
        root.package(name.decode(), [*above, *_paths(name, _FILES)])
    return root


def _paths(package: bytes, count: int) -> list[bytes]:
    return [b"/usr/share/%s/%d" % (package, number) for number in range(count)]
