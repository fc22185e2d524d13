# SPDX-License-Identifier: GPL-3.0-or-later
"""``policy check``: what is valid and still probably not meant."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from aptguard.policy.check import check_files
from aptguard.policy.glob_bounded import matches_something
from aptguard.policy.layers import PolicyPaths
from aptguard.policy.problem import Gravity

TODAY = datetime.date(2027, 6, 1)


@pytest.fixture
def place(tmp_path: Path):
    root = Path(os.path.realpath(tmp_path))
    for name in ("vendor", "etc/policy.d", "data/one/deep"):
        (root / name).mkdir(parents=True)
    (root / "data/one/file.db").write_text("")
    (root / "vendor/10.toml").write_text(
        f'[rule.shipped]\nplace = "data"\npaths = ["/nowhere/**", "{root}/data/**"]\nbecause = "x"\n'
    )
    return root


def paths(root: Path) -> PolicyPaths:
    return PolicyPaths(f"{root}/vendor", f"{root}/etc/policy.toml", f"{root}/etc/policy.d", f"{root}/last")


def check(root: Path, text: str, *files: str):
    (root / "etc/policy.toml").write_text(text)
    os.chmod(root / "etc/policy.toml", 0o644)
    return check_files(files, paths(root), today=TODAY, installed=lambda: frozenset({"dpkg", "libc6"}))


def rule(name: str, place: str, *patterns: str, more: str = "") -> str:
    quoted = ", ".join(f'"{pattern}"' for pattern in patterns)
    return f'[rule.{name}]\nplace = "{place}"\npaths = [{quoted}]\nbecause = "x"\n{more}\n'


def test_a_good_policy_has_no_problems(place):
    assert check(place, rule("mine", "protected", f"{place}/data/*/file.db")) == []


def test_shipped_files_may_name_places_that_are_not_there(place):
    assert check_files((), paths(place), today=TODAY) == []


def test_a_pattern_that_matches_nothing_is_a_warning_at_its_line(place):
    (problem,) = check(place, rule("mine", "protected", f"{place}/data/*/nothing"))
    assert problem.gravity is Gravity.WARNING
    assert (problem.line, problem.key) == (3, "rule.mine.paths[1]")
    assert "matches nothing on this machine" in problem.wrong


def test_a_pattern_behind_a_link_matches(place):
    (place / "link").symlink_to(place / "data")
    assert check(place, rule("mine", "protected", f"{place}/link/*/file.db")) == []


def test_two_rules_that_contradict_each_other_are_named_with_the_one_that_speaks(place):
    (problem,) = check(place, rule("mine", "protected", f"{place}/data/**"))
    assert "protected here and data in the rule shipped" in problem.wrong
    assert f"{place}/vendor/10.toml:1" in problem.wrong
    assert "mine speaks, shipped does not" in problem.wrong


def test_rules_that_share_out_the_kinds_of_change_do_not_contradict(place):
    only = 'changes = ["deleted"]'
    assert check(place, rule("mine", "protected", f"{place}/data/**", more=only)) == []
    (problem,) = check(
        place,
        rule("mine", "protected", f"{place}/data/one/*", more=only)
        + rule("more", "own", f"{place}/data/one/*", more=only),
    )[:1]
    assert "protected here and own in the rule more" in problem.wrong


def test_a_permission_inside_data_never_speaks(place):
    (problem,) = check(
        place, rule("mine", "own", f"{place}/data/one/{{package}}.db", f"{place}/data/one/*.db")
    )[1:]
    assert "the rule never speaks" in problem.wrong
    assert "makes all of it data" in problem.wrong


def test_a_rule_that_is_overridden_is_a_warning(place):
    (place / "etc/policy.d/20.toml").write_text(rule("mine", "protected", f"{place}/data/one/file.db"))
    problems = check(place, rule("mine", "protected", f"{place}/data/one/*"))
    assert [(problem.file, problem.key) for problem in problems] == [
        (f"{place}/etc/policy.toml", "rule.mine")
    ]
    assert f"{place}/etc/policy.d/20.toml:1 overrides it" in problems[0].wrong


def test_an_amended_rule_is_not_called_overridden(place):
    (place / "etc/policy.d/20.toml").write_text('[rule.mine]\nseverity = "warn"\n')
    assert check(place, rule("mine", "protected", f"{place}/data/one/*")) == []


def test_an_expired_exception_and_one_to_no_rule_are_warnings(place):
    problems = check(place, '[exception.x]\nreason = "r"\nrules = ["shiped"]\nexpires = 2027-05-31\n')
    assert [problem.key for problem in problems] == ["exception.x.rules[1]", "exception.x.expires"]
    assert check(place, '[exception.x]\nreason = "r"\nrules = ["shipped"]\nexpires = 2027-06-01\n') == []


def test_a_masked_file_is_a_warning(place):
    (place / "etc/policy.d/10.toml").write_text("")
    (problem,) = check_files((), paths(place), today=TODAY)
    assert f"takes the place of {place}/vendor/10.toml" in problem.wrong


def test_a_file_that_others_can_write_is_a_warning(place):
    (place / "etc/policy.toml").write_text("")
    os.chmod(place / "etc/policy.toml", 0o666)
    (problem,) = check_files((), paths(place), today=TODAY)
    assert "can write" in problem.wrong


def test_a_file_is_checked_as_if_laid_over_the_policy_and_alone_reported(place):
    (place / "etc/policy.toml").write_text("broken")
    candidate = place / "candidate.toml"
    candidate.write_text('[rule.shipped]\nseverity = "warn"\n')
    os.chmod(candidate, 0o644)
    assert check_files([str(candidate)], paths(place), today=TODAY) == []
    candidate.write_text('[rule.shiped]\nseverity = "warn"\n')
    (problem,) = check_files([str(candidate)], paths(place), today=TODAY)
    assert (problem.file, problem.gravity) == (str(candidate), Gravity.ERROR)
    assert 'did you mean "shipped"?' in problem.right


def test_all_files_are_checked_where_none_is_named(place):
    problems = check(place, "x = 1\n")
    assert [(problem.line, problem.gravity) for problem in problems] == [(1, Gravity.ERROR)]
    assert "does not exist" in check_files([f"{place}/none.toml"], paths(place))[0].wrong


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/data", True),
        ("/data/**", True),
        ("/data/**/file.db", True),
        ("/data/*/file.d?", True),
        ("/{package}/one", True),
        ("/data/one/file.db/**", True),
        ("/data/one/file.db/*", False),
        ("/data/**/*.sql", False),
        ("/data/two/**", False),
    ],
)
def test_a_pattern_is_looked_for_on_the_machine(place, pattern, found):
    assert matches_something(f"{place}{pattern}") is found


def test_the_search_gives_up_after_a_bounded_number_of_entries(place):
    for number in range(30):
        (place / "data" / f"d{number}").mkdir()
    assert matches_something(f"{place}/data/**/nothing", entries=20) is None
    assert matches_something(f"{place}/data/**/nothing", entries=200) is False


def test_a_rule_that_permits_what_another_forbids_for_some_changes_is_a_warning(place):
    only = 'changes = ["deleted", "type"]'
    problem = check(
        place,
        rule("shipped", "own", f"{place}/data/**")
        + rule("vault", "protected", f"{place}/data/**", more=only),
    )[1]
    assert problem.key == "rule.shipped.paths[1]"
    assert "for deleted, type vault speaks, shipped does not" in problem.wrong


def test_a_rule_that_takes_the_place_of_a_shipped_one_is_a_warning(place):
    problems = check(place, rule("shipped", "protected", f"{place}/data/one/*"))
    assert [problem.key for problem in problems] == ["rule.shipped"]
    expected = f"takes the place of the rule of this name at {place}/vendor/10.toml:1, all of it"
    assert expected in problems[0].wrong


def test_a_role_and_a_trigger_of_no_installed_package_are_warnings(place):
    problems = check(
        place,
        '[role.a]\npackages = ["dpkg"]\nbecause = "b"\n[role.b]\npackages = ["no-such-*"]\nbecause = "b"\n'
        '[trigger.c]\npackages = ["nor-this"]\nbecause = "b"\n',
    )
    assert [problem.key for problem in problems] == ["role.b.packages", "trigger.c.packages"]
    assert "no package that is installed here is called no-such-*" in problems[0].wrong
