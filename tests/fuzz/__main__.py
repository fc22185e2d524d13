# SPDX-License-Identifier: GPL-3.0-or-later
"""``make fuzz``: a million inputs for all that reads what others wrote, guided by what they reach.

Nine in ten inputs come from atheris (where pip has it), the others, or all, from hypothesis, which puts them
together from the words of each format. ``make fuzz FUZZ='--thousands 50 policy'`` gives one target 50 000.
Exit code 1 when an input broke a property: it is printed, written to build/fuzz and added to the corpus.
"""

from __future__ import annotations

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(PROJECT, "src"), os.path.dirname(HERE)]

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from fuzz import corpus  # noqa: E402
from fuzz.target import Target  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402

WORK = os.path.join(PROJECT, "build", "fuzz")
ATHERIS = os.path.join(PROJECT, "build", "venv-fuzz", "bin", "python")
_HANG_SECONDS = 10  # for one input; the slowest takes milliseconds
_DONE = re.compile(rb"Done (\d+) runs? in (\d+) second")
_HYPOTHESIS_PART = 10


@dataclass(frozen=True)
class Outcome:
    """What came of one target's inputs; ``found`` are those that broke a property."""

    inputs: int
    seconds: float
    found: tuple[bytes, ...] = ()
    said: str = ""


def main(words: Sequence[str] | None = None) -> int:
    """Fuzz the targets one after the other and print a line for each; 1 when something was found."""
    arguments = _arguments(words)
    print(f"{'target':<20}{'inputs':>12}{'a second':>10}{'kept':>7}{'found':>7}", flush=True)
    total = failed = 0
    for name in arguments.names or TARGETS:
        inputs = 1000 * (arguments.thousands or TARGETS[name].share)
        outcomes = _fuzzed(name, inputs, minimise=not arguments.no_keep)
        count = sum(outcome.inputs for outcome in outcomes)
        seconds = sum(outcome.seconds for outcome in outcomes)
        found = [data for outcome in outcomes for data in outcome.found]
        kept = len(corpus.kept(name))
        print(
            f"{name:<20}{count:>12,}{count / max(seconds, 0.001):>10,.0f}{kept:>7}{len(found):>7}", flush=True
        )
        for outcome in outcomes:
            if outcome.said:
                print(outcome.said, flush=True)
        total, failed = total + count, failed + len(found)
    print(f"{'all':<20}{total:>12,}{'':>17}{failed:>7}")
    return 1 if failed else 0


def _fuzzed(name: str, inputs: int, *, minimise: bool) -> list[Outcome]:
    directory = os.path.join(WORK, name)
    os.makedirs(directory, exist_ok=True)
    target = TARGETS[name]()
    try:
        regular = [*target.seeds(), *corpus.kept(name)]
        for number, data in enumerate(regular):
            with open(os.path.join(directory, f"seed-{number}"), "wb") as file:
                file.write(data)
        by_words = inputs // _HYPOTHESIS_PART if os.path.exists(ATHERIS) else inputs
        outcomes = [_by_hypothesis(target, by_words)]
        if by_words < inputs:
            outcomes.append(_by_atheris(name, directory, inputs - by_words, target))
        found = [data for outcome in outcomes for data in outcome.found]
        if minimise and not found:
            others = [_content(path) for path in glob.glob(f"{glob.escape(directory)}/*")]
            others = [data for data in others if len(data) <= target.largest]
            corpus.keep(name, corpus.minimised(target, corpus.kept(name), others))
        elif found:  # to be seen failing by the tests until it is mended
            corpus.keep(name, [*corpus.kept(name), *found])
    finally:
        target.close()
    return outcomes


def _by_atheris(name: str, directory: str, runs: int, target: Target) -> Outcome:
    words = os.path.join(WORK, f"words-{name}")
    with open(words, "w", encoding="ascii") as file:
        for word in target.tokens:
            file.write('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n')
    pattern = os.path.join(WORK, f"found-{name}-")
    for old in glob.glob(glob.escape(pattern) + "*"):
        os.unlink(old)
    command = [ATHERIS, "-m", "fuzz.engine", name, directory, f"-runs={runs}", f"-max_len={target.largest}"]
    command += [
        f"-timeout={_HANG_SECONDS}",
        f"-dict={words}",
        f"-artifact_prefix={pattern}",
        "-rss_limit_mb=2048",
    ]
    command += ["-print_final_stats=1", "-close_fd_mask=0", "-verbosity=1"]
    started = time.monotonic()
    path = os.pathsep.join((os.path.join(PROJECT, "src"), os.path.dirname(HERE)))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    seconds = time.monotonic() - started
    found = tuple(_content(path) for path in glob.glob(glob.escape(pattern) + "*"))
    finished = _DONE.search(done.stdout)
    if finished is None:
        counted = re.findall(rb"stat::number_of_executed_units: (\d+)", done.stdout)
        said = done.stdout.decode("utf-8", "backslashreplace")[-3000:]
        return Outcome(int(counted[-1]) if counted else 0, seconds, found or (b"",), said)
    return Outcome(int(finished[1]), seconds, found)


def _by_hypothesis(target: Target, examples: int) -> Outcome:
    """Put inputs together from seeds, words and noise."""
    pieces = [*target.tokens, *(seed[: target.largest] for seed in target.seeds())]
    piece = st.one_of(st.sampled_from(pieces), st.binary(max_size=6)) if pieces else st.binary(max_size=60)
    built = st.lists(piece, max_size=12).map(lambda parts: b"".join(parts)[: target.largest])
    count = 0
    latest = b""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(built)
    def run(data: bytes) -> None:
        nonlocal count, latest
        count, latest = count + 1, data
        target.attempt(data)

    started = time.monotonic()
    try:
        run()
    except Exception as error:
        return Outcome(count, time.monotonic() - started, (latest,), f"{latest!r}: {error!r}")
    return Outcome(count, time.monotonic() - started)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TARGET", choices=[[], *TARGETS])
    parser.add_argument("--thousands", type=int, help="thousands of inputs for each target named")
    parser.add_argument("--no-keep", action="store_true", help="leave the corpus as it is")
    return parser.parse_args(words)


if __name__ == "__main__":
    shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(main())
