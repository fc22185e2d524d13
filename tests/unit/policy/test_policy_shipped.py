# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shipped and what is documented is a valid policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aptguard.policy.checks import CHECK_NAMES, DEFAULT_CHECKS
from aptguard.policy.load import PolicyPaths, load_policy
from aptguard.policy.model import PolicyLimits
from aptguard.policy.schema import PolicyTable, field_names

PROJECT = Path(__file__).resolve().parents[3]
SHIPPED = PROJECT / "src/aptguard/policy/shipped"
MANUAL = PROJECT / "docs/policy.md"


def load(directory: Path, tmp_path: Path):
    return load_policy(
        PolicyPaths(str(directory), f"{tmp_path}/none", f"{tmp_path}/none.d", f"{tmp_path}/last")
    )


def test_the_shipped_policy_is_valid_and_has_rules(tmp_path):
    loaded = load(SHIPPED, tmp_path)
    assert [problem.sentence() for problem in loaded.problems] == []
    assert not loaded.degraded
    assert loaded.policy.path_rules


def examples() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(examples())))
def test_each_example_of_the_manual_is_valid_over_the_shipped_policy(tmp_path, number):
    for file in SHIPPED.glob("*.toml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "99-example.toml").write_text(examples()[number], encoding="utf-8")
    assert [problem.sentence() for problem in load(tmp_path, tmp_path).problems] == []


def test_the_manual_names_every_key_and_every_check():
    text = MANUAL.read_text(encoding="utf-8")
    assert examples()
    missing = {name for name in (*CHECK_NAMES, *field_names(PolicyTable)) if f"`{name}`" not in text}
    assert missing == set()


def test_the_manual_gives_the_real_defaults_of_limits_and_checks():
    text = MANUAL.read_text(encoding="utf-8")
    limits = PolicyLimits()
    for name in PolicyLimits.__dataclass_fields__:
        assert re.search(rf"^\| `{name}` \|[^|]*\| {getattr(limits, name)} \|", text, re.MULTILINE), name
    for name, check in DEFAULT_CHECKS.items():
        row = f"| `{name}` | {check.severity.value} | {check.explanation} |"
        assert row in text, row
