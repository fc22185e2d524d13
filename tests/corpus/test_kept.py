# SPDX-License-Identifier: GPL-3.0-or-later
"""The kept results of the corpus, what expected.toml says of them, and the page about them agree."""

from __future__ import annotations

import json
import os

import pytest

from corpus.__main__ import PAGE, listed
from corpus.kept import kept
from corpus.page import disagreements, failed_alone, page, purges, unexplained, with_removal_scripts
from corpus.results import Result, expected, undeserved, unexplained_unknown

# Rehearsals that end otherwise than the real purge, with the reason; see expected.toml for unknowns.
FAILED_ALONE = {"proftpd-core": "ended early: the block was certain once its postrm had begun with /srv/ftp"}


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return kept()


@pytest.fixture(scope="module")
def tried(results: list[Result]) -> list[Result]:
    return [one for one in results if not one.problem]


def test_enough_packages_of_the_list_were_tried(tried: list[Result]) -> None:
    names = set(listed())
    per = {debian: {one.package for one in tried if one.debian == debian} for debian in ("12", "13")}
    assert per["12"] <= names and per["13"] <= names
    assert len(per["12"]) >= 300 and len(per["13"]) >= 40
    assert all(one.day and one.build for one in tried)
    assert len(with_removal_scripts([one for one in tried if one.debian == "12"])) >= 150


def test_each_came_and_went(tried: list[Result]) -> None:
    for one in tried:
        steps = [
            step.command.split()[0] if " install " not in f" {step.command} " else "install"
            for step in one.steps
        ]
        assert "install" in steps and "purge" in steps, f"{one.package}: {steps}"


def test_no_block_and_no_warning_is_undeserved(tried: list[Result]) -> None:
    assert {f"{one.package} ({one.debian})": told for one in tried if (told := undeserved(one))} == {}


def test_at_most_one_package_of_a_hundred_is_unknown_and_each_has_its_reason(tried: list[Result]) -> None:
    assert {
        f"{one.package} ({one.debian})": told for one in tried if (told := unexplained_unknown(one))
    } == {}
    assert sum(bool(one.unknown) for one in tried) <= 0.01 * len(tried)


def test_each_explanation_explains_something_that_was_found(tried: list[Result]) -> None:
    found: dict[str, set[str]] = {}
    for one in tried:
        rules = found.setdefault(one.package, set())
        rules |= {key.split(" ", 1)[1] for key in one.rules} | ({"unknown"} if one.unknown else set())
    stale = [
        f"{package}: {rule}"
        for package, rules in expected().items()
        for rule in rules
        if package in found and rule not in found[package]
    ]
    assert stale == []


def test_each_disagreement_with_a_rehearsal_has_its_cause(tried: list[Result]) -> None:
    assert {one.package: told for one in tried if (told := unexplained(one))} == {}
    assert set(failed_alone(tried)) == set(FAILED_ALONE)


def test_all_deletions_but_those_with_a_cause_were_foretold(tried: list[Result]) -> None:
    runs = [fidelity for one in tried for _, fidelity in purges(one)]
    missed = sum(
        line.startswith("deleted")
        for one in tried
        for kind, line, _ in disagreements(one)
        if kind == "missed"
    )
    happened = sum(run["deletions"] for run in runs)
    assert happened > 50_000
    assert sum(run["agreed_deletions"] for run in runs) + missed == happened
    assert missed <= 0.0005 * happened


def test_of_all_changes_all_but_a_few_were_foretold_and_happened(tried: list[Result]) -> None:
    runs = [fidelity for one in tried for _, fidelity in purges(one)]
    agreed = sum(run["agreed"] for run in runs)
    assert agreed >= 0.995 * sum(run["changes"] for run in runs)
    assert agreed >= 0.995 * sum(run["said"] for run in runs)


def test_the_page_is_made_from_what_is_kept(results: list[Result]) -> None:
    with open(PAGE, encoding="utf-8") as file:
        assert file.read() == page(results), "python3 -m tests.corpus --keep writes it"


def test_what_is_kept_is_small_and_names_nothing_of_the_machine_it_was_made_on(results: list[Result]) -> None:
    directory = os.path.join(os.path.dirname(__file__), "kept")
    for name in os.listdir(directory):
        with open(os.path.join(directory, name), encoding="ascii") as file:
            text = file.read()
        assert len(text) < 3_000_000 and json.loads(text)
        assert "/work/" not in text and "/proc/" not in text
