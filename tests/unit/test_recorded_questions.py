# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the record of debconf questions: nothing in it is left out in silence."""

from __future__ import annotations

import pytest

from aptguard.rehearsal.model import Question
from aptguard.rehearsal.questions import read_questions


def line(name: str, value: str = "false", asked: int = 1, script: str = "postrm") -> bytes:
    return f"{name}\t{value}\t{asked}\tp\t{script}\tDelete%3F\n".encode()


def test_a_question_is_told_once_with_its_first_answer_and_as_asked_if_it_ever_was() -> None:
    data = (
        line("p/a", "true", 0, "prerm")
        + line("p/b")
        + line("p/a", "false", 1)
        + line("p/c", script="postinst")
    )
    assert read_questions(data) == (
        Question("p/a", True, True, "p", "prerm", "Delete?"),
        Question("p/b", False, True, "p", "postrm", "Delete?"),
    )
    assert read_questions(b"") == ()


@pytest.mark.parametrize(
    "data",
    [
        line("p/other", script="postinst") * 40_000 + line("p/purge"),
        b"".join(line(f"p/{number}") for number in range(201)),
        line("p/purge")[:-5],
        line("p/" + "x" * 300),
        line("p/purge", asked=2),
        b"\n" + line("p/purge"),
        b"\0\xff\n\t\t\n" + line("p/purge"),
        line("p/purge").rpartition(b"\t")[0] + b"\n",
        line("p/purge%0Aevil/y"),
    ],
    ids=[
        "too long",
        "too many",
        "cut off",
        "a name too long",
        "neither asked nor not",
        "an empty line",
        "no text",
        "a field missing",
        "a name of two lines",
    ],
)
def test_a_record_that_cannot_be_read_whole_is_no_record(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"line|bytes|questions"):
        read_questions(data)


def test_as_many_questions_as_are_read_are_all_told() -> None:
    assert len(read_questions(b"".join(line(f"p/{number}") for number in range(200)))) == 200
