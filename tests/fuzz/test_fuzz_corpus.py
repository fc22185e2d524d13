# SPDX-License-Identifier: GPL-3.0-or-later
"""The kept inputs of the fuzzing, tried again: none breaks a property; and the properties can be broken."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from aptguard.guard import judging
from aptguard.host import file_lists
from fuzz import corpus
from fuzz.deciding import AptTarget, read_plainly
from fuzz.readers import FileListTarget
from fuzz.target import BrokenPropertyError, Target
from fuzz.targets import TARGETS


@pytest.fixture(params=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    made = TARGETS[request.param]()
    yield made
    made.close()


def test_no_kept_input_and_no_seed_breaks_a_property(target: Target) -> None:
    inputs = [b"", *target.seeds(), *target.tokens, *corpus.kept(target.name)]
    for data in inputs:
        target.attempt(data)


def test_every_target_has_kept_inputs_and_they_are_small() -> None:
    assert {name for name in TARGETS if not corpus.kept(name)} == set()
    files = [os.path.join(corpus.DIRECTORY, name) for name in os.listdir(corpus.DIRECTORY)]
    assert sum(map(os.path.getsize, files)) < 2 << 20


def test_an_allowed_plan_that_is_none_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = {"exit": 0, "text": "", "verdict": "allow", "outcome": "pass", "id": ""}
    target = AptTarget()
    try:
        monkeypatch.setattr(judging, "admit_unreadable", lambda *_, **__: passed)
        with pytest.raises(BrokenPropertyError, match="no plan"):
            target.attempt(b"VERSION 3\n\ntoy 1 amd64 none > - - none **REMOVE")
    finally:
        target.close()


def test_a_removal_that_is_not_examined_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    target = AptTarget()
    try:
        read = judging.transaction_from_apt
        monkeypatch.setattr(judging, "transaction_from_apt", lambda *a: without_first(read(*a)))
        with pytest.raises(BrokenPropertyError, match="2 lines 1"):
            target.attempt(
                b"VERSION 3\nDir=/\nDir::State::status=/var/lib/dpkg/status\n\n"
                b"toy 1 amd64 none > - - none **REMOVE**\na - - none < 2 amd64 none **CONFIGURE**\n"
            )
    finally:
        target.close()


def without_first(transaction):
    return type(transaction)(transaction.frontend, transaction.items[1:])


def test_a_lost_path_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.readers.parse_list", lambda data: file_lists.FileList((), 0))
    with pytest.raises(BrokenPropertyError, match="lost"):
        FileListTarget().attempt(b"/usr\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"VERSION 2\n\n",
        b"VERSION 3\n",
        b"VERSION 3\na\n\n",
        b"VERSION 3\n\na b c\n",
        b"VERSION 3\n\ntoy 1 amd64 none > - - none **REMOVE**",
        b"VERSION 3\n\ntoy 1 amd64 none > - - none **WHATEVER**\n",
    ],
)
def test_what_is_no_plan_is_none_by_the_second_reading_too(data: bytes) -> None:
    assert read_plainly(data) is None
