# SPDX-License-Identifier: GPL-3.0-or-later
"""The README says what was measured: its figures are those of the newest kept run of the bench."""

from __future__ import annotations

import pytest

from bench import kept, readme, tables


def newest() -> dict:
    run = kept.newest()
    assert run is not None
    return run


def test_the_figures_of_the_readme_are_those_of_the_newest_kept_run() -> None:
    with open(readme.README, encoding="utf-8") as file:
        text = file.read()
    assert readme.replaced(text, newest()) == text, "make bench-readme"


def test_the_readme_names_day_machine_and_peers() -> None:
    text = readme.section(newest())
    assert newest()["when"] in text and newest()["machine"] in text
    for peer in ("without aptguard", "dpkg --purge", "bwrap", "etckeeper", "needrestart"):
        assert peer in text


def test_other_figures_would_be_seen() -> None:
    run = newest()
    row = run["questions"]["apt_runs"]["rows"][0]
    row["ours"] = [2 * value for value in row["ours"]]
    assert readme.section(run) != readme.section(newest())


def test_a_readme_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        readme.replaced("# aptguard\n", newest())


def test_ratio_and_difference_are_of_pairs_and_the_spread_is_in_quartiles() -> None:
    found = tables.figures({"ours": [2.0, 30.0, 4.0], "peer": [1.0, 10.0, 4.0]})
    assert (found["ratio"], found["added"], found["ours"], found["peer"]) == (2.0, 1.0, 4.0, 4.0)
    assert (found["low"], found["high"]) == (3.0, 17.0)


def test_an_aim_is_met_or_missed_by_the_figure_that_it_names() -> None:
    row = {"ours": [3.0], "peer": [1.0], "aim": "ratio", "at_most": 2.0}
    assert tables.met(row) is False
    assert tables.met({**row, "at_most": 3.0}) is True
    assert tables.met({"ours": [], "peer": None, "aim": "ours", "at_most": 1.0}) is None
