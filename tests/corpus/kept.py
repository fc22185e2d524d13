# SPDX-License-Identifier: GPL-3.0-or-later
"""The results that are kept with the sources: kept/debian-12.json, kept/debian-13.json, a line a package."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from typing import Any

from corpus.results import HERE, Result, Step, explanations, from_plain

DIRECTORY = os.path.join(HERE, "kept")
# dpkg's own log and lists have more lines than the rehearsal's, where services were stopped or time went by.
_SIZES_OF_LOGS = {
    "size /var/log/dpkg.log",
    "size /var/lib/dpkg/status",
    "size /var/lib/dpkg/status-old",
    "size /var/log/alternatives.log",
}


def keep(results: list[Result]) -> None:
    """Write the results of each Debian to its file."""
    os.makedirs(DIRECTORY, exist_ok=True)
    for debian in sorted({one.debian for one in results}):
        lines = [
            json.dumps(asdict(one), ensure_ascii=True, separators=(",", ":"))
            for one in sorted(results, key=lambda one: one.package)
            if one.debian == debian
        ]
        with open(os.path.join(DIRECTORY, f"debian-{debian}.json"), "w", encoding="ascii") as file:
            file.write("[\n" + ",\n".join(lines) + "\n]\n")


def kept() -> list[Result]:
    """Return the results that are kept, by Debian and package."""
    found = []
    for name in sorted(os.listdir(DIRECTORY)):
        with open(os.path.join(DIRECTORY, name), encoding="ascii") as file:
            found += [from_plain(plain) for plain in json.load(file)]
    return found


def settled(results: list[Result]) -> list[Result]:
    """Return the results with each finding of a shared installation at the package that it is about.

    That is the one for which expected.toml explains it, else the one that took the finding's package along
    when it went, else all of them. A step without any finding then is allowed.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        for step in one.steps:
            if " install " in f" {step.command} " and step.findings:
                groups.setdefault((one.debian, step.command), []).append(one)
    found = {id(one): one for one in results}
    for (_, command), group in groups.items():
        if len(command.rsplit(" install ", 1)[-1].split()) < 2:
            continue
        for one in group:
            steps = [
                _left_with(step, [each for each in step.findings if one in _concerned(each, group)])
                if step.command == command
                else step
                for step in one.steps
            ]
            found[id(one)] = replace(one, steps=steps)
    return list(found.values())


def _concerned(finding: dict[str, Any], group: list[Result]) -> list[Result]:
    explained = [one for one in group if finding["rule"] in explanations(one)]
    took_along = [one for one in group if any(finding["package"] in step.purged for step in one.steps)]
    return explained or took_along or group


def _left_with(step: Step, findings: list[dict[str, Any]]) -> Step:
    return replace(step, findings=findings, verdict=step.verdict if findings or step.unknowns else "allow")


def compact(result: Result) -> Result:
    """Return what is worth keeping of a result."""
    return replace(result, problem=result.problem[:300], steps=[_compact_step(one) for one in result.steps])


def _compact_step(step: Step) -> Step:
    fidelity = step.fidelity
    if fidelity is not None:
        differs = [line for line in fidelity["differs"] if line not in _SIZES_OF_LOGS]
        fidelity = {**fidelity, "differs": differs}
    return replace(
        step,
        command=step.command.split("Dpkg::Use-Pty=0 ")[-1],
        said=step.said[-300:],
        unknowns=[{key: value[-300:] for key, value in one.items()} for one in step.unknowns],
        fidelity=fidelity,
    )
