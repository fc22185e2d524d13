# SPDX-License-Identifier: GPL-3.0-or-later
from hypothesis import given
from hypothesis import strategies as st

from aptguard.shown import shown


@given(st.binary(max_size=200))
def test_any_bytes_are_shown_as_one_line_of_printable_unicode(data: bytes) -> None:
    text = shown(data)
    assert len(text.splitlines()) <= 1
    assert "\x1b" not in text
    text.encode("utf-8")


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_two_different_names_are_never_shown_alike(one: bytes, other: bytes) -> None:
    assert (shown(one) == shown(other)) == (one == other)


def test_an_ordinary_path_is_shown_as_it_is() -> None:
    assert shown("/srv/Büro/a b".encode()) == "/srv/Büro/a b"


def test_a_direction_override_is_escaped() -> None:
    assert shown("a\u202eb") == "a\\u202eb"
