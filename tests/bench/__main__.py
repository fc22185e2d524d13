# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench``: one table for each question, every figure beside its peer from the same run.

Writes build/bench.json and compares with the newest earlier run in tests/bench/kept.
``make bench BENCH=name`` measures one question, ``BENCH_ARGUMENTS=--keep`` keeps what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(PROJECT, "src"), os.path.dirname(HERE)]

from bench import audit, judging, kept, machine, tables, watcher  # noqa: E402

# By the issue that asks; those of `here` need no guest.
IN_GUEST = (
    "apt_runs",
    "verdicts",
    "start",
    "flood",
    "installed",
    "sizes",
    "dpkg_calls",
    "other_hooks",
    "memory",
    "piuparts",
)
HERE_MEASURED = {"judging": judging.measured, "watcher": watcher.measured, "audit": audit.measured}
_PLACES = {"memory": "memory", "copy": "files on disk"}
RESULT = os.path.join(PROJECT, "build", "bench.json")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write; return 1 when a question could not be measured."""
    arguments = _arguments(words)
    if os.geteuid() != 0:
        print("this needs root: sudo make bench", file=sys.stderr)
        return 2
    wanted = arguments.names or [*IN_GUEST, *HERE_MEASURED]
    earlier = kept.newest()
    words_for_machine = kept.machine_words()
    started = time.monotonic()
    found: dict[str, Any] = {}
    failed = 0
    for name, question in _measured(wanted, arguments):
        if "failed" in question:
            print(f"\n{name}: could not be measured: {question['failed']}", file=sys.stderr)
            failed = 1
            continue
        found[name] = question
        print(f"\n{tables.table(name, question, earlier)}", flush=True)
    run = {
        "when": time.strftime("%Y-%m-%d"),
        "machine": words_for_machine,
        "debian": arguments.debian,
        "root": arguments.root,
    }
    run["minutes"] = round((time.monotonic() - started) / 60, 1)
    run["questions"] = found
    os.makedirs(os.path.dirname(RESULT), exist_ok=True)
    with open(RESULT, "w", encoding="utf-8") as file:
        json.dump(run, file, indent=1)
    guest = f"guest Debian {run['debian']} with its root in {_PLACES[arguments.root]}"
    print(f"\n{run['when']}, {run['machine']}, {guest}, {run['minutes']} minutes")
    print(f"written: {os.path.relpath(RESULT)}")
    if earlier is not None:
        print(f"earlier: {earlier['when']}, {earlier['machine']}, guest Debian {earlier['debian']}")
    if arguments.keep:
        print(f"kept:    {os.path.relpath(kept.keep(run))}")
    return failed


def _measured(names: Sequence[str], arguments: argparse.Namespace) -> Any:
    """Yield each question's name and what came out; the guest is booted once, and only where it is needed."""
    inside = [name for name in names if name in IN_GUEST]
    if inside:
        with machine.booted(arguments.debian, arguments.root) as guest:
            if arguments.try_script:
                guest.copy_in(arguments.try_script, machine.TRY)
            for name in inside:
                yield name, machine.ask(guest, name)
    for name in names:
        if name in HERE_MEASURED:
            yield name, HERE_MEASURED[name]()


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *IN_GUEST, *HERE_MEASURED])
    parser.add_argument("--debian", default="12", choices=["12", "13"], help="version of the guest")
    parser.add_argument(
        "--root",
        default="memory",
        choices=["memory", "copy"],
        help="where the guest's files are: in memory (default), where fsync costs nothing and the peers are "
        "as fast as can be, or on this machine's disk (copy), where others' work is measured too",
    )
    parser.add_argument(
        "--try", dest="try_script", metavar="PATH", help="measure beside this copy of try, too"
    )
    parser.add_argument("--keep", action="store_true", help="keep this run in tests/bench/kept")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
