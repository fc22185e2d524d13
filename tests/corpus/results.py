# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard said of one package, step by step, and whether that is deserved."""

from __future__ import annotations

import json
import os
import tomllib
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
        return from_plain(json.load(file))


def from_plain(plain: dict[str, Any]) -> Result:
    """Return the result of which ``plain`` is the JSON object."""
    return Result(**{**plain, "steps": [Step(**step) for step in plain["steps"]]})


def expected() -> dict[str, dict[str, str]]:
    """Return {package: {rule: why the finding is deserved}} of expected.toml; ``unknown`` is a rule too."""
    with open(os.path.join(HERE, "expected.toml"), "rb") as file:
        return tomllib.load(file)


def explanations(result: Result) -> dict[str, str]:
    """Return what expected.toml says of the package, by rule."""
    explained = expected()
    return {**explained.get("*", {}), **explained.get(result.package, {})}


def undeserved(result: Result) -> dict[str, list[str]]:
    """Return the findings that expected.toml does not explain."""
    explained = explanations(result)
    return {key: what for key, what in result.rules.items() if key.split(" ", 1)[1] not in explained}


def unexplained_unknown(result: Result) -> list[str]:
    """Return what was unknown, if expected.toml does not explain it."""
    return [] if "unknown" in explanations(result) else result.unknown
