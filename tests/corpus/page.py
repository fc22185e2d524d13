# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that tells of a run of the corpus: false alarms, and how true the rehearsals of purges were."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from corpus.fidelity import CAUSES, NOT_COMPARED, Rule, cause_of
from corpus.results import Result, Step, explanations, undeserved, unexplained_unknown

_NO_CAUSE = Rule("no cause known", (), "")

_HEAD = """\
# The corpus: real packages of Debian under guard

What a guard stops without need is switched off, and what it does not foresee it cannot stop. Both are
measured on real packages: each comes and goes on a booted Debian with aptguard on it, under real apt, with
nothing blocked and all judged. `make corpus` does it (hours; `make corpus CORPUS='--debian 13 nginx'` for
one), `make corpus CORPUS='--keep'` writes this page and the results behind it, `tests/corpus/kept/`. The
names are in `tests/corpus/packages.txt`. A sample of 25 is in `make test`, on both
Debians in `make test-lifecycle`.

Each package is installed without recommended ones (first in the archive's older version and then upgraded,
where it has two), and purged with all that had come with it (`apt-get purge --autoremove`). Where
`tests/corpus/data.py` has typical data for it, it comes again, gets the data, and is purged once more. Some
came several in one transaction, whose findings count for the package that they are about, and were purged one
by one.
"""

_FIDELITY = """\
The witness stands outside of the machine: the guest's root is an overlay, and its upper directory on the
host, before and after, tells every path that was deleted, made, or changed in type, mode, owner, group,
content, target, device or attributes (`tests/corpus/witness.py`; times are not compared). It is held
against the changes that the rehearsal of that same purge had found. Recall is the part of what happened
that had been foretold, precision the part of what was foretold that happened; a path counts as one.
"""


def page(results: list[Result]) -> str:
    """Return the page in Markdown."""
    tried = [one for one in results if not one.problem]
    lines = [_HEAD, *_when(tried), "", "## False alarms", "", *_alarms(results), ""]
    lines += ["## Rehearsal and real run", "", _FIDELITY, *_fidelity(tried), "", *_packages(tried)]
    return "\n".join(lines) + "\n"


def summary(results: list[Result]) -> str:
    """Return what is printed after a run: all but the table of packages."""
    return page(results).split("\n## Package by package")[0]


def _when(tried: list[Result]) -> Iterator[str]:
    days = sorted({one.day for one in tried})
    builds = Counter(one.build for one in tried).most_common()
    yield f"Measured on {' and '.join(days)}, with the build of {builds[0][0]}" if builds else ""
    for build, count in builds[1:]:
        names = ", ".join(sorted(f"{one.package} ({one.debian})" for one in tried if one.build == build))
        yield f"* {count} with {build} instead: {names}"


def _alarms(results: list[Result]) -> Iterator[str]:
    yield "| | Debian 12 | Debian 13 |"
    yield "| --- | ---: | ---: |"
    per = [[one for one in results if one.debian == debian] for debian in ("12", "13")]
    tried = [[one for one in some if not one.problem] for some in per]
    steps = [[step for one in some for step in one.steps if step.verdict] for some in tried]
    rows: list[tuple[str, list[int]]] = [("packages tried", [len(some) for some in tried])]
    rows.append(("transactions judged", [len(some) for some in steps]))
    for done, words in (("installed", "install"), ("upgraded", "dist-upgrade"), ("purged", "purge")):
        counts = [sum(f" {words} " in f" {step.command} " for step in some) for some in steps]
        rows.append((f"… of them {done}", counts))
    for severity in ("block", "warn"):
        rows.append(
            (
                f"packages with a {severity}",
                [sum(any(key.startswith(severity) for key in one.rules) for one in some) for some in tried],
            )
        )
    rows.append(("**not deserved**", [sum(bool(undeserved(one)) for one in some) for some in tried]))
    rows.append(("packages with an unknown", [sum(bool(one.unknown) for one in some) for some in tried]))
    rows.append(
        ("**without a reason**", [sum(bool(unexplained_unknown(one)) for one in some) for some in tried])
    )
    yield from (f"| {name} | {' | '.join(str(count) for count in counts)} |" for name, counts in rows)
    yield from ("", "### Not deserved, or unknown without a reason", "")
    for one in results:
        for key, what in sorted(undeserved(one).items()):
            yield f"* {one.package} ({one.debian}): {key}: {', '.join(sorted(set(what))[:8])}"
        if unexplained_unknown(one):
            yield f"* {one.package} ({one.debian}): unknown: {'; '.join(one.unknown)[:300]}"
    yield from ("", "### Deserved", "")
    for one in results:
        said = explanations(one)
        for key, what in sorted(one.rules.items()):
            if why := said.get(key.split(" ", 1)[1]):
                yield f"* {one.package} ({one.debian}): {key}: {', '.join(sorted(set(what))[:4])}. {why}"
        if one.unknown and "unknown" in said:
            yield f"* {one.package} ({one.debian}): unknown. {said['unknown']}"
    yield from ("", "### Could not be tried", "")
    for one in results:
        if one.problem:
            yield f"* {one.package} ({one.debian}): {one.problem.replace(chr(92) + 'x0a', ' ')[:200]}"


def purges(result: Result) -> Iterator[tuple[Step, dict[str, Any]]]:
    """Yield the purges of a package that could be compared with their rehearsal."""
    for step in result.steps:
        if step.fidelity is not None and not step.fidelity["problem"]:
            yield step, step.fidelity


def disagreements(result: Result) -> Iterator[tuple[str, str, Rule]]:
    """Yield ``missed`` or ``invented``, the line that tells of it, and the rule that knows the cause."""
    for _, fidelity in purges(result):
        for kind in ("missed", "invented"):
            for line in fidelity[kind]:
                yield kind, line, cause_of(line) or _NO_CAUSE


def unexplained(result: Result) -> list[str]:
    """Return the disagreements of which no cause is known."""
    return [f"{kind} {line}" for kind, line, rule in disagreements(result) if rule is _NO_CAUSE]


def with_removal_scripts(results: list[Result]) -> set[str]:
    """Return the packages of the list whose own prerm or postrm ran, as the rehearsal saw it."""
    return {
        one.package
        for one in results
        for step, _ in purges(one)
        if any(
            run.split(" ")[0] == one.package and run.split(" ")[1] in ("prerm", "postrm")
            for run in step.scripts
        )
    }


def _fidelity(tried: list[Result]) -> Iterator[str]:
    yield "| | Debian 12 | Debian 13 |"
    yield "| --- | ---: | ---: |"
    per = [[one for one in tried if one.debian == debian] for debian in ("12", "13")]
    runs = [[fidelity for one in some for _, fidelity in purges(one)] for some in per]
    scripts = [
        {run.split(" ")[0] for one in some for step, _ in purges(one) for run in step.scripts} for some in per
    ]

    def total(key: str) -> list[int]:
        return [sum(fidelity[key] for fidelity in some) for some in runs]

    def share(agreed: str, all_of_them: str) -> list[str]:
        return [_percent(one, other) for one, other in zip(total(agreed), total(all_of_them), strict=True)]

    rows: list[tuple[str, list[Any]]] = [
        ("purges compared", [len(some) for some in runs]),
        ("packages of the list with a removal script", [len(with_removal_scripts(some)) for some in per]),
        ("… with those that came along", [len(some) for some in scripts]),
        ("paths deleted", total("deletions")),
        ("recall of deletions", share("agreed_deletions", "deletions")),
        ("precision of deletions", share("agreed_deletions", "said_deletions")),
        ("paths changed in any way", total("changes")),
        ("recall of all changes", share("agreed", "changes")),
        ("precision of all changes", share("agreed", "said")),
        (
            "purges without any disagreement",
            [sum(not fidelity["missed"] and not fidelity["invented"] for fidelity in some) for some in runs],
        ),
        (
            "agreed, but another type, mode, owner or size in the end",
            [sum(len(fidelity["differs"]) for fidelity in some) for some in runs],
        ),
        (
            "packages whose rehearsal failed though the real purge did not",
            [len(failed_alone(some)) for some in per],
        ),
    ]
    yield from (f"| {name} | {' | '.join(str(value) for value in values)} |" for name, values in rows)
    yield from ("", "### Disagreements and their causes", "")
    by_rule: dict[str, list[str]] = defaultdict(list)
    reasons = {rule.name: rule.reason for rule in (*CAUSES, _NO_CAUSE)}
    for one in tried:
        for kind, line, rule in disagreements(one):
            by_rule[rule.name].append(f"{one.package} ({one.debian}): {kind}: {line}")
    for name, lines in sorted(by_rule.items(), key=lambda item: -len(item[1])):
        yield from (f"* **{name}**, {len(lines)}: {reasons[name]}", "")
        yield from (f"  * {line}" for line in _folded(lines))
        yield ""
    yield from ("### Ended otherwise than a comparison needs", "")
    for one in tried:
        for step in one.steps:
            if step.fidelity is not None and step.fidelity["problem"]:
                ended = "the real purge too" if step.exit else "the real purge did not fail"
                yield f"* {one.package} ({one.debian}): {step.fidelity['problem'][:200]}; {ended}"
    yield from ("", "### Not compared", "")
    left_out = Counter(
        {rule.name: 0 for rule in NOT_COMPARED}
        | dict(
            sum(
                (Counter(fidelity["not_compared"]) for some in runs for fidelity in some),
                start=Counter[str](),
            )
        )
    )
    for rule in NOT_COMPARED:
        where = ", ".join(rule.patterns)
        yield f"* {rule.name} ({left_out[rule.name]} paths disagree there): {rule.reason}: {where}"
    yield (
        f"* between ({left_out['between']} paths): made after the first look, so that the witness never saw"
        " them; the rehearsal said that they would be deleted, and they are gone"
    )


def failed_alone(tried: list[Result]) -> list[str]:
    """Return the packages whose rehearsal failed or ended early though the real purge succeeded."""
    return [
        one.package
        for one in tried
        if any(
            step.fidelity is not None and step.fidelity["problem"] and step.exit == 0 for step in one.steps
        )
    ]


def _folded(lines: list[str]) -> list[str]:
    return lines if len(lines) <= 60 else [*lines[:60], f"and {len(lines) - 60} more"]


def _packages(tried: list[Result]) -> Iterator[str]:
    yield from ("## Package by package", "")
    yield "Deletions and changes: foretold and done, of those done; the rest is named above."
    yield from ("", "| package | Debian | install | upgrade | purge | deletions | changes |")
    yield "| --- | --- | --- | --- | --- | ---: | ---: |"
    for one in tried:
        words = []
        for kind in (" install ", " dist-upgrade ", " purge "):
            verdicts = [step.verdict or "-" for step in one.steps if kind in f" {step.command} "]
            words.append(", ".join(dict.fromkeys(verdicts)) or "-")
        runs = [fidelity for _, fidelity in purges(one)]
        numbers = [
            f"{sum(run[agreed] for run in runs)} of {sum(run[done] for run in runs)}"
            for agreed, done in (("agreed_deletions", "deletions"), ("agreed", "changes"))
        ]
        yield f"| {one.package} | {one.debian} | {' | '.join(words)} | {' | '.join(numbers)} |"


def _percent(part: int, whole: int) -> str:
    """Return a share that says 100 only when nothing is missing."""
    if whole == 0:
        return "-"
    return "100 %" if part == whole else f"{min(100 * part / whole, 99.999):.3f} %"
