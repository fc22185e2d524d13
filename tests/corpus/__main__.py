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
from concurrent.futures import ThreadPoolExecutor, as_completed

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(PROJECT, "src"), os.path.dirname(HERE)]

from corpus import results  # noqa: E402
from corpus.results import Result  # noqa: E402
from corpus.trial import download, machine_tree, try_package  # noqa: E402
from testbed.trees import Tree  # noqa: E402

_AT_ONCE = 20  # packages that are downloaded together


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
    parser.add_argument("--report-only", action="store_true")
    arguments = parser.parse_args()
    directory = os.path.join(arguments.results, arguments.debian)
    os.makedirs(directory, exist_ok=True)
    if not arguments.report_only:
        packages = arguments.packages or listed()
        left = [one for one in packages if arguments.again or not os.path.exists(f"{directory}/{one}.json")]
        tree = machine_tree(arguments.debian, arguments.deb or built())
        recordings = os.path.join(directory, "recordings") if arguments.record else None
        if recordings:
            os.makedirs(recordings, exist_ok=True)
        for start in range(0, len(left), _AT_ONCE):
            _try_all(
                left[start : start + _AT_ONCE], arguments.debian, tree, directory, recordings, arguments.jobs
            )
    return _report(arguments.results)


def listed() -> list[str]:
    """Return the names in packages.txt."""
    with open(os.path.join(HERE, "packages.txt"), encoding="ascii") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def built() -> str:
    """Return the package that ``make deb`` builds."""
    made = subprocess.run(
        ["make", "--no-print-directory", "deb"], cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True
    )
    return os.path.join(PROJECT, made.stdout.strip().splitlines()[-1])


def _try_all(
    packages: list[str], version: str, tree: Tree, directory: str, recordings: str | None, jobs: int
) -> None:
    problems = download(version, tree, packages)
    for package, problem in problems.items():
        results.write(f"{directory}/{package}.json", Result(package, version, problem))
    with ThreadPoolExecutor(jobs) as pool:
        futures = [
            pool.submit(try_package, package, version, tree, recordings)
            for package in packages
            if package not in problems
        ]
        for future in as_completed(futures):
            result = future.result()
            results.write(f"{directory}/{result.package}.json", result)
            verdicts = " ".join(step.verdict or f"exit{step.exit}" for step in result.steps)
            print(f"{result.package:30} {verdicts} {result.seconds:.0f}s {result.problem}", flush=True)


def _report(directory: str) -> int:
    found = [results.read(path) for path in sorted(glob.glob(f"{directory}/*/*.json"))]
    text = results.page(found)
    with open(os.path.join(directory, "report.md"), "w", encoding="utf-8") as file:
        file.write(text)
    print(text.split("\n## Deserved")[0])
    return 1 if any(results.undeserved(one) for one in found if not one.problem) else 0


if __name__ == "__main__":
    sys.exit(main())
