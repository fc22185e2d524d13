# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of keys, against tomllib for which keys there are and against a writer that knows its lines."""

from __future__ import annotations

import json
import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from aptguard.policy.lines import key_lines, table_before

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
mode = "enforce"   # 2
[limits]
seconds = 10
"upper_mib" = 5

[rule.databases] # [rule.no]
paths = [ # 8
  "/a", '/b]',
  # nothing = here
  "/c#",
]
because = """
[rule.fake]
place = "no" """
[rule."with.dot".x]
a.b = 1
c = {d = 1, "e" = [1, {f = 2}]}
[[list]]
a = 1979-05-27 07:32:00
[list.sub]
b = 1
[[list]]
a = 2
'\\' = "\\"]"
"""

'''.replace('"""\n\n', "")


def test_each_key_has_the_line_on_which_it_is_written():
    lines = key_lines(DOCUMENT)
    expected = {
        ("mode",): 2,
        ("limits",): 3,
        ("limits", "seconds"): 4,
        ("limits", "upper_mib"): 5,
        ("rule",): 7,
        ("rule", "databases"): 7,
        ("rule", "databases", "paths"): 8,
        ("rule", "databases", "paths", 0): 9,
        ("rule", "databases", "paths", 1): 9,
        ("rule", "databases", "paths", 2): 11,
        ("rule", "databases", "because"): 13,
        ("rule", "with.dot"): 16,
        ("rule", "with.dot", "x"): 16,
        ("rule", "with.dot", "x", "a"): 17,
        ("rule", "with.dot", "x", "a", "b"): 17,
        ("rule", "with.dot", "x", "c"): 18,
        ("rule", "with.dot", "x", "c", "d"): 18,
        ("rule", "with.dot", "x", "c", "e"): 18,
        ("rule", "with.dot", "x", "c", "e", 0): 18,
        ("rule", "with.dot", "x", "c", "e", 1): 18,
        ("rule", "with.dot", "x", "c", "e", 1, "f"): 18,
        ("list",): 19,
        ("list", 0): 19,
        ("list", 0, "a"): 20,
        ("list", 0, "sub"): 21,
        ("list", 0, "sub", "b"): 22,
        ("list", 1): 23,
        ("list", 1, "a"): 24,
        ("list", 1, "\\"): 25,
    }
    assert lines == expected


def test_the_table_in_which_a_broken_line_stands_is_found():
    assert table_before("a = 1\n[rule.x]\nb = \n[rule.y]\n", 3) == "rule.x"
    assert table_before("a = \n[rule.x]\n", 1) == ""


def locations(plain: object, here: tuple = ()) -> set:
    entries = (
        plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    )
    found = {here} if here else set()
    for key, value in entries:
        found |= locations(value, (*here, key))
    return found


keys = st.text(st.characters(blacklist_categories=("Cs",)), max_size=4)
scalars = st.one_of(
    st.integers(-9, 9).map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.sampled_from(
        ["'lit#]'", '"""\n]"\\" ""x"""', "'''\n''[a]\n'''", "1979-05-27 07:32:00Z", "0x1f", "1e3", "''", '""']
    ),
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=5).map(json.dumps),
)


def written_key(key: str) -> str:
    return (
        json.dumps(key, ensure_ascii=True) if not all(ord(c) > 0xFFFF for c in key) or not key else f'"{key}"'
    )


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ # c\n" + ",\n".join(items) + "\n]"),
        st.dictionaries(keys, inner, max_size=3).map(
            lambda table: (
                "{" + ", ".join(f"{written_key(key)} = {value}" for key, value in table.items()) + "}"
            )
        ),
    ),
    max_leaves=6,
)
lines = st.one_of(
    st.tuples(keys, values).map(lambda pair: f"{written_key(pair[0])} = {pair[1]} # end"),
    st.tuples(keys, keys, values).map(
        lambda three: f"{written_key(three[0])} . {written_key(three[1])}={three[2]}"
    ),
    st.lists(keys, min_size=1, max_size=3).map(lambda parts: "[" + ".".join(map(written_key, parts)) + "]"),
    st.lists(keys, min_size=1, max_size=2).map(
        lambda parts: "[[ " + ".".join(map(written_key, parts)) + "]]"
    ),
    st.just("# [x]"),
    st.just(""),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(lines, max_size=8))
def test_the_keys_found_are_those_that_tomllib_finds(parts):
    text = "\n".join(parts)
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(key_lines(text)) == locations(plain)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(keys, values, max_size=6))
def test_lines_count_what_stands_before_them(table):
    text, expected = "", {}
    for key, value in table.items():
        expected[(key,)] = text.count("\n") + 1
        text += f"{written_key(key)} = {value}\n"
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = key_lines(text)
    assert {location: line for location, line in found.items() if len(location) == 1} == expected
