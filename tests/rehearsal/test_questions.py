# SPDX-License-Identifier: GPL-3.0-or-later
"""Real debconf in a rehearsal: what scripts ask is seen, and they can be given the other answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import Question, RehearsalResult
from aptguard.transaction.model import Action, Item, Transaction
from packages.asking import asking_deb
from rehearsal.machine import ENVIRONMENT, Machine

pytestmark = pytest.mark.needs_root

DATA = b"/var/lib/toy/data"
PURGE = steps(Transaction("apt-get", (Item("toy", "all", Action.PURGE, old_version="1.0"),)), triggers=False)
WITH_A_PERSON = {name: value for name, value in ENVIRONMENT.items() if name != b"DEBIAN_FRONTEND"}


def purge(
    machine: Machine, answers: dict[bytes, bytes] | None = None, *, somebody_there: bool = False
) -> RehearsalResult:
    environment = WITH_A_PERSON if somebody_there else ENVIRONMENT
    result = machine.rehearse(*PURGE, environment=environment, answers=answers)
    assert result.complete and result.unknowns == (), result.output
    return result


def deletes(result: RehearsalResult) -> bool:
    return DATA in {change.path for change in result.changes if change.deleted}


@pytest.mark.parametrize(
    ("manner", "default", "answer", "asked"),
    [
        ("sets and asks", True, True, True),
        ("asks", False, False, True),
        ("asks in a low voice", False, False, False),
        ("reads", True, True, False),
    ],
)
def test_a_question_is_seen_and_both_answers_can_be_rehearsed(
    machine: Machine, tmp_path: Path, manner: str, default: bool, answer: bool, asked: bool
) -> None:
    machine.install(asking_deb(tmp_path, manner, default=default))
    machine.write(DATA.decode())
    found = purge(machine)
    expected = Question("toy/purge_data", answer, False, "toy", "postrm", "Remove all data of toy?")
    assert found.questions == (expected,)
    assert deletes(found) is answer
    for other in (True, False):
        assert deletes(purge(machine, {b"toy/purge_data": str(other).lower().encode()})) is other
    (question,) = purge(machine, somebody_there=True).questions
    assert question.asked is asked
    # Nothing of the stand-in shows, neither in what changed nor on the machine.
    assert not [change.path for change in found.changes if b"perl" in change.path]
    assert machine.read(DATA.decode()) == "kept\n"
    assert "rehearsal" not in machine.read("/usr/share/perl5/Debconf/ConfModule.pm")


def test_a_value_that_the_script_sets_itself_is_no_question(machine: Machine, tmp_path: Path) -> None:
    machine.install(asking_deb(tmp_path, "decides", default=False))
    machine.write(DATA.decode())
    result = purge(machine, {b"toy/purge_data": b"false"})
    assert result.questions == () and deletes(result)


def test_an_answer_that_was_given_before_is_not_asked_for_again(machine: Machine, tmp_path: Path) -> None:
    machine.install(asking_deb(tmp_path, "asks", default=False))
    machine.write(DATA.decode())
    said = "printf 'toy toy/purge_data boolean true\\n' | debconf-set-selections"
    assert machine.run("sh", "-c", said).returncode == 0
    result = purge(machine, somebody_there=True)
    (question,) = result.questions
    assert question.answer and not question.asked and deletes(result)
