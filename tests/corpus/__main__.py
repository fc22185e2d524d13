# SPDX-License-Identifier: GPL-3.0-or-later
"""``make corpus``: install and purge the packages of packages.txt under guard, two at a time.

Each result is a file below build/corpus; packages that have one are not tried again (``--again`` forgets
them). The page with all of them is build/corpus/report.md.
"""

from __future__ import annotations

import argparse
import glob
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(PROJECT, "src"), os.path.dirname(HERE)]

from corpus import results  # noqa: E402
from corpus.data import TYPICAL_DATA  # noqa: E402
from corpus.kept import compact, keep, kept, settled  # noqa: E402
from corpus.page import page, summary  # noqa: E402
from corpus.results import Result, Step  # noqa: E402
from corpus.trial import download, machine_tree, try_group, try_package  # noqa: E402

_AT_ONCE = 8  # packages that are downloaded together
PAGE = os.path.join(PROJECT, "docs", "corpus.md")
STOP = "/tmp/aptguard-corpus-stop"  # while it stands, no further package is begun


def main() -> int:
    """Run the corpus; exit 1 when a finding is not explained in expected.toml."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", help="only these (all of packages.txt)")
    parser.add_argument("--debian", default="12", choices=("12", "13"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", default=os.path.join(PROJECT, "build", "corpus"))
    parser.add_argument("--again", action="store_true", help="try packages again that have a result")
    parser.add_argument("--record", action="store_true", help="keep what each judgement was made from")
    parser.add_argument("--deb", help="aptguard's package (build/aptguard_*_all.deb)")
    parser.add_argument("--build", default="", help="the commit that package was built from (the checkout's)")
    parser.add_argument("--triggers", action="store_true", help="rehearse triggers too; not the default")
    parser.add_argument("--together", type=int, default=1, help="how many come in one transaction (1)")
    parser.add_argument("--keep", action="store_true", help="try nothing; keep the results with the sources")
    parser.add_argument("--report-only", action="store_true")
    arguments = parser.parse_args()
    arguments.build = arguments.build or _commit()
    directory = os.path.join(arguments.results, arguments.debian)
    os.makedirs(directory, exist_ok=True)
    if not (arguments.report_only or arguments.keep):
        packages = arguments.packages or listed()
        left = [one for one in packages if arguments.again or not os.path.exists(f"{directory}/{one}.json")]
        _try_all(left, directory, arguments)
    return _report(arguments.results, to_keep=arguments.keep)


def listed() -> list[str]:
    """Return the names in packages.txt."""
    with open(os.path.join(HERE, "packages.txt"), encoding="ascii") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def _commit() -> str:
    asked = ["git", "-C", PROJECT, "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()


def built() -> str:
    """Return the package that ``make deb`` builds."""
    made = subprocess.run(
        ["make", "--no-print-directory", "deb"], cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True
    )
    return os.path.join(PROJECT, made.stdout.strip().splitlines()[-1])


def _try_all(packages: list[str], directory: str, arguments: argparse.Namespace) -> None:
    version = arguments.debian
    tree = machine_tree(version, arguments.deb or built(), sorted({*listed(), *packages}))
    recordings = os.path.join(directory, "recordings") if arguments.record else None
    if recordings:
        os.makedirs(recordings, exist_ok=True)

    def one(package: str, older: bool) -> None:
        if os.path.exists(STOP):
            return
        result = try_package(
            package, version, tree, older=older, triggers=arguments.triggers, keep=recordings
        )
        tell(result)

    def some(group: list[str]) -> None:
        if os.path.exists(STOP):
            return
        for result in try_group(group, version, tree, keep=recordings):
            if result.problem:  # two of them conflict, or one took another along
                one(result.package, False)
            else:
                tell(result)

    def tell(result: Result) -> None:
        result.build, result.day = arguments.build, time.strftime("%Y-%m-%d")
        results.write(f"{directory}/{result.package}.json", result)
        told = " ".join(_told(step) for step in result.steps)
        print(f"{result.package:24} {told} {result.seconds:.0f}s {result.problem[:200]}", flush=True)

    def fetch(batch: list[str]) -> tuple[dict[str, str], set[str]]:
        return ({}, set()) if os.path.exists(STOP) else download(version, tree, batch)

    batches = [packages[start : start + _AT_ONCE] for start in range(0, len(packages), _AT_ONCE)]
    with ThreadPoolExecutor(1) as fetcher, ThreadPoolExecutor(arguments.jobs) as pool:
        # The archives of the next packages come while those at hand are tried.
        fetched = [fetcher.submit(fetch, batch) for batch in batches]
        futures = []
        for batch, archives in zip(batches, fetched, strict=True):
            problems, older = archives.result()
            for package, problem in problems.items():
                results.write(f"{directory}/{package}.json", Result(package, version, problem))
            left = [package for package in batch if package not in problems]
            alone = [package for package in left if package in older or package in TYPICAL_DATA]
            futures += [pool.submit(one, package, package in older) for package in alone]
            left = [package for package in left if package not in alone]
            together = arguments.together
            if together == 1:
                futures += [pool.submit(one, package, False) for package in left]
            else:
                groups = [left[start : start + together] for start in range(0, len(left), together)]
                futures += [pool.submit(some, group) for group in groups]
        for future in as_completed(futures):
            future.result()


def _told(step: Step) -> str:
    if step.fidelity is None:
        return step.verdict or f"exit{step.exit}"
    missed, invented = len(step.fidelity["missed"]), len(step.fidelity["invented"])
    return f"{step.verdict or f'exit{step.exit}'}({step.fidelity['agreed']}-{missed}+{invented})"


def _report(directory: str, *, to_keep: bool) -> int:
    found = settled([compact(results.read(path)) for path in sorted(glob.glob(f"{directory}/*/*.json"))])
    text = page(found)
    with open(os.path.join(directory, "report.md"), "w", encoding="utf-8") as file:
        file.write(text)
    if to_keep:
        keep(found)
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page(kept()))
    print(summary(found))
    return 1 if any(results.undeserved(one) for one in found if not one.problem) else 0


if __name__ == "__main__":
    sys.exit(main())
