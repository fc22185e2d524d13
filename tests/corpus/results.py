# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard said of one package, and the page that tells of all of them."""

from __future__ import annotations

import json
import os
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Step:
    """One run of apt: what was asked, how it ended, and what the guard said of it."""

    command: str
    exit: int
    verdict: str = ""
    findings: list[dict[str, Any]] = field(default_factory=list)
    unknowns: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    said: str = ""
    fidelity: dict[str, Any] | None = None  # asdict of fidelity.Fidelity, of a purge
    scripts: list[str] = field(default_factory=list)  # maintainer scripts that the rehearsal of a purge ran
    purged: list[str] = field(default_factory=list)


@dataclass
class Result:
    """All steps of one package; ``problem`` says why it could not be tried."""

    package: str
    debian: str
    problem: str = ""
    steps: list[Step] = field(default_factory=list)
    seconds: float = 0.0
    build: str = ""  # the commit that the guard was built from
    day: str = ""

    @property
    def rules(self) -> dict[str, list[str]]:
        """The rules of its findings with their paths, accounts or packages, by severity and rule."""
        found: dict[str, list[str]] = {}
        for step in self.steps:
            for one in step.findings:
                about = one["path"] or one["account"] or one["package"] or ""
                found.setdefault(f"{one['severity']} {one['rule']}", []).append(about)
        return found

    @property
    def unknown(self) -> list[str]:
        """What could not be judged, once each."""
        return sorted({f"{one['what']}: {one['reason']}" for step in self.steps for one in step.unknowns})


def write(path: str, result: Result) -> None:
    """Keep one result; it appears whole or not at all."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(asdict(result), file, indent=1)
    os.rename(f"{path}.new", path)


def read(path: str) -> Result:
    """Return a result that was kept."""
    with open(path, encoding="utf-8") as file:
        plain = json.load(file)
    return Result(**{**plain, "steps": [Step(**step) for step in plain["steps"]]})


def expected() -> dict[str, dict[str, str]]:
    """Return {package: {rule: why the finding is deserved}} of expected.toml."""
    with open(os.path.join(HERE, "expected.toml"), "rb") as file:
        return tomllib.load(file)


def undeserved(result: Result) -> dict[str, list[str]]:
    """Return the findings that expected.toml does not explain."""
    explained = {**expected().get("*", {}), **expected().get(result.package, {})}
    return {key: what for key, what in result.rules.items() if key.split(" ", 1)[1] not in explained}


def page(results: list[Result]) -> str:
    """Return the report in Markdown."""
    tried = [one for one in results if not one.problem]
    blocked = [one for one in tried if any(key.startswith("block") for key in one.rules)]
    warned = [one for one in tried if any(key.startswith("warn") for key in one.rules)]
    wrong = [one for one in tried if undeserved(one)]
    unknown = [one for one in tried if one.unknown]
    steps = [step for one in tried for step in one.steps if step.verdict]
    lines = [
        "# The corpus: real packages under guard",
        "",
        f"{len(tried)} packages tried, {len(steps)} transactions judged; "
        f"{len(results) - len(tried)} could not be tried.",
        "",
        "| | packages | transactions |",
        "| --- | ---: | ---: |",
    ]
    for name, some, verdict in (("blocked", blocked, "block"), ("unknown", unknown, "unknown")):
        lines.append(f"| {name} | {len(some)} | {sum(step.verdict == verdict for step in steps)} |")
    lines.append(f"| warned of | {len(warned)} | |")
    lines.append(f"| **blocked or warned of without an explanation** | {len(wrong)} | |")
    lines += ["", "## Without an explanation", ""]
    for one in wrong:
        for key, what in sorted(undeserved(one).items()):
            lines.append(f"* {one.package} ({one.debian}): {key}: {', '.join(sorted(set(what))[:8])}")
    lines += ["", "## Deserved", ""]
    explanations = expected()
    for one in tried:
        for key, what in sorted(one.rules.items()):
            rule = key.split(" ", 1)[1]
            why = explanations.get(one.package, {}).get(rule) or explanations.get("*", {}).get(rule)
            if why:
                lines.append(
                    f"* {one.package} ({one.debian}): {key}: {', '.join(sorted(set(what))[:4])}. {why}"
                )
    lines += ["", "## Unknown", ""]
    lines += [f"* {one.package} ({one.debian}): {'; '.join(one.unknown)[:600]}" for one in unknown]
    lines += ["", "## Could not be tried", ""]
    lines += [f"* {one.package} ({one.debian}): {one.problem}" for one in results if one.problem]
    rules = Counter(key for one in tried for key in one.rules)
    lines += ["", "## Packages by finding", ""]
    lines += [f"* {key}: {count}" for key, count in rules.most_common()]
    return "\n".join(lines) + "\n"
