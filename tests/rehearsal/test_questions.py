# SPDX-License-Identifier: GPL-3.0-or-later
"""Real debconf in a rehearsal: what scripts ask is seen, and they can be given the other answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from aptguard.rehearsal.dpkg_sequence import steps
from aptguard.rehearsal.model import Question, RehearsalResult
from aptguard.transaction.model import Action, Item, Transaction
from packages.asking import asking_deb
from rehearsal.machine import ENVIRONMENT, Machine, shell

pytestmark = pytest.mark.needs_root

DATA = b"/var/lib/toy/data"
PURGE = steps(Transaction("apt-get", (Item("toy", "all", Action.PURGE, old_version="1.0"),)), triggers=False)
WITH_A_PERSON = {name: value for name, value in ENVIRONMENT.items() if name != b"DEBIAN_FRONTEND"}
# PackageKit's frontend, whose other end no rehearsal reaches: debconf falls back to the noninteractive one.
WITH_A_WINDOW = {**ENVIRONMENT, b"DEBIAN_FRONTEND": b"passthrough", b"DEBCONF_PIPE": b"/run/none"}
SOMEBODY = pytest.mark.parametrize("environment", [WITH_A_PERSON, WITH_A_WINDOW], ids=["terminal", "window"])


def purge(
    machine: Machine, answers: dict[bytes, bytes] | None = None, environment: dict[bytes, bytes] = ENVIRONMENT
) -> RehearsalResult:
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
    (question,) = purge(machine, environment=WITH_A_PERSON).questions
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
    result = purge(machine, environment=WITH_A_PERSON)
    (question,) = result.questions
    assert question.answer and not question.asked and deletes(result)


@SOMEBODY
@pytest.mark.parametrize("manner", ["asks in prerm", "asks in both"])
def test_a_question_that_an_earlier_script_asked_counts_as_asked(
    machine: Machine, tmp_path: Path, manner: str, environment: dict[bytes, bytes]
) -> None:
    # "asks in both" fails if it hears in postrm that the question is asked: it was seen in prerm.
    machine.install(asking_deb(tmp_path, manner, default=False))
    machine.write(DATA.decode())
    (question,) = purge(machine, environment=environment).questions
    assert question.asked and question.script == "postrm"
    (unasked,) = purge(machine).questions
    assert not unasked.asked
    assert deletes(purge(machine, {b"toy/purge_data": b"true"}, environment=environment))


@SOMEBODY
def test_a_script_hears_that_its_question_is_asked_only_where_a_person_will_be_asked(
    machine: Machine, tmp_path: Path, environment: dict[bytes, bytes]
) -> None:
    machine.install(asking_deb(tmp_path, "deletes only who was asked", default=True))
    machine.write(DATA.decode())
    result = purge(machine, environment=environment)
    (question,) = result.questions
    assert question.asked and deletes(result)
    nobody = purge(machine)
    assert nobody.questions == () and not deletes(nobody)
    seen = "printf 'toy toy/purge_data boolean true\\n' | debconf-set-selections"
    assert machine.run("sh", "-c", seen).returncode == 0
    already = purge(machine, environment=environment)
    assert already.questions == () and not deletes(already)


def test_a_question_is_seen_after_debconf_itself_has_come_anew(machine: Machine, tmp_path: Path) -> None:
    module = "/usr/share/perl5/Debconf/ConfModule.pm"
    newer = machine.read(module) + "# newer\n"
    machine.write("/usr/share/new.pm", newer)
    machine.install(asking_deb(tmp_path, "asks", default=False))
    machine.write(DATA.decode())
    result = machine.rehearse(shell(f"mv /usr/share/new.pm {module}"), *PURGE, environment=WITH_A_PERSON)
    assert result.complete and result.unknowns == (), result.output
    (question,) = result.questions
    assert question.asked
    (change,) = [one for one in result.changes if b"/Debconf" in one.path]
    assert change.path == module.encode() and change.after is not None
    assert change.after.size == len(newer.encode())


def test_what_other_scripts_read_leaves_room_for_the_question_that_decides(
    machine: Machine, tmp_path: Path
) -> None:
    machine.install(asking_deb(tmp_path, "asks", default=False))
    machine.write(DATA.decode())
    read = (
        "yes GET toy/purge_data | head -20000 | DPKG_MAINTSCRIPT_NAME={} debconf-communicate toy >/dev/null"
    )
    for script in ("postinst", "prerm"):
        result = machine.rehearse(shell(read.format(script)), *PURGE, environment=WITH_A_PERSON)
        assert result.complete and result.unknowns == (), result.output
        (question,) = result.questions
        assert question.asked


@pytest.mark.parametrize(
    "spoiling",
    [
        "head -c 2000000 /dev/zero >>/dev/.rehearsal/questions",
        "rm /dev/.rehearsal/questions",
        "head -c 9000000 /dev/zero >/dev/.rehearsal/full-now",
    ],
    ids=["too long", "gone", "no room"],
)
def test_a_record_of_questions_that_is_not_whole_is_an_unknown(
    machine: Machine, tmp_path: Path, spoiling: str
) -> None:
    machine.install(asking_deb(tmp_path, "asks", default=False))
    machine.write(DATA.decode())
    result = machine.rehearse(shell(f"{spoiling} || true"), *PURGE, environment=WITH_A_PERSON)
    assert "what debconf was asked" in {unknown.what for unknown in result.unknowns}, result
