# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns against a naive matcher that tries everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aptguard.policy.pattern import Pattern
from aptguard.policy.pattern_set import PatternSet
from aptguard.policy.pattern_syntax import PatternError, checked

NAMES = ("a", "b", "ab", "a-b", "lib*")


def naive(pattern: str, path: bytes, packages: tuple[str, ...] = ()) -> bool:
    """Try each name for {package} and each way to share out the components and characters."""
    parts = [] if pattern == "/" else pattern.split("/")[1:]
    names = [] if path == b"/" else path.decode("utf-8", "surrogateescape").split("/")[1:]
    if "{package}" in pattern:
        return any(_components(parts, names, package) for package in packages)
    return _components(parts, names, "")


def _components(parts: list[str], names: list[str], package: str) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_components(parts[1:], names[skip:], package) for skip in range(len(names) + 1))
    return bool(names) and _name(parts[0], names[0], package) and _components(parts[1:], names[1:], package)


def _name(part: str, name: str, package: str) -> bool:
    if not part:
        return not name
    if part.startswith("{package}"):
        return name.startswith(package) and _name(part[9:], name[len(package) :], package)
    if part[0] == "*":
        return any(_name(part[1:], name[skip:], package) for skip in range(len(name) + 1))
    if not name:
        return False
    if part[0] == "[":
        end = part.index("]", 3 if part[1] in "!^" else 2)
        inside = part[1:end]
        negated = inside[0] in "!^"
        members = inside[1:] if negated else inside
        low, high = (members[0], members[2]) if len(members) == 3 and members[1] == "-" else ("", "")
        hit = low <= name[0] <= high if low else name[0] in members
        return hit != negated and _name(part[end + 1 :], name[1:], package)
    return part[0] in ("?", name[0]) and _name(part[1:], name[1:], package)


pieces = st.sampled_from(
    [
        "a",
        "b",
        "-",
        "*",
        "?",
        "[ab]",
        "[!a]",
        "[^b-]",
        "[a-b]",
        "[*]",
        "[]]",
        "[!]a]",
        "é",
        "[é]",
        ".",
        "{package}",
    ]
)
pattern_component = st.one_of(
    st.just("**"), st.just("{package}"), st.lists(pieces, min_size=1, max_size=5).map("".join)
)
patterns = st.lists(pattern_component, max_size=5).map(lambda parts: "/" + "/".join(parts))
path_component = st.lists(
    st.sampled_from([b"a", b"b", b"-", b"ab", b"\xc3\xa9", b"\xff", b".x", b"*", b"]", b"\n", b"["]),
    min_size=1,
    max_size=5,
).map(b"".join)
paths = st.lists(path_component, max_size=6).map(lambda parts: b"/" + b"/".join(parts))
packages = st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple)


def _valid(text: str) -> bool:
    try:
        checked(text)
    except PatternError:
        return False
    return True


valid_patterns = patterns.filter(_valid)


@settings(max_examples=400, deadline=None)
@given(valid_patterns, paths, packages)
def test_a_pattern_matches_exactly_what_the_naive_matcher_matches(text, path, names):
    assert Pattern(text).matches(path, names) == naive(text, path, names)


@settings(max_examples=200, deadline=None)
@given(st.lists(valid_patterns, max_size=8), st.lists(paths, min_size=1, max_size=6), packages)
def test_a_pattern_set_finds_what_its_patterns_find_one_by_one_in_order(texts, several, names):
    together = PatternSet([(Pattern(text), index) for index, text in enumerate(texts)])
    for path in several * 2:
        expected = tuple(index for index, text in enumerate(texts) if Pattern(text).matches(path, names))
        assert together.all_matches(path, names) == expected
        assert together.first_match(path, names) == (expected[0] if expected else None)


@settings(max_examples=400, deadline=None)
@given(valid_patterns, paths)
def test_the_name_found_in_a_path_is_one_that_makes_the_pattern_match(text, path):
    name = Pattern(text).package_in(path)
    if name is not None:
        assert Pattern(text).matches(path, (name,))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", b"/"),
        ("/**", b"/"),
        ("/**", b"/a/b"),
        ("/srv/**", b"/srv"),
        ("/srv/**", b"/srv/.hidden/x"),
        ("/**/data", b"/data"),
        ("/var/**/base/*", b"/var/lib/pg/base/1"),
        ("/a[*]b", b"/a*b"),
        ("/x[{]", b"/x{"),
        ("/?", "/é".encode()),
        ("/?", b"/\xff"),
        ("/[ä-ü]", "/ö".encode()),
        ("/a\nb".replace("\n", "?"), b"/a\nb"),
        ("/*", b"/a\n"),
    ],
)
def test_a_pattern_matches_what_its_description_says(text, path):
    assert Pattern(checked(text)).matches(path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", b"/a"),
        ("/*", b"/"),
        ("/*", b"/a/b"),
        ("/srv/**", b"/srvx"),
        ("/srv", b"/srv/a"),
        ("/??", "/é".encode()),
        ("/[+-0]", b"//"),
        ("/a", b"/a\n"),
        ("/lib/{package}", b"/lib/x"),
    ],
)
def test_a_pattern_matches_nothing_else(text, path):
    assert not Pattern(checked(text)).matches(path)


def test_the_name_of_a_package_is_taken_literally_and_must_be_the_same_twice():
    pattern = Pattern("/lib/{package}/{package}.db")
    assert pattern.matches(b"/lib/a+b/a+b.db", ("x", "a+b"))
    assert not pattern.matches(b"/lib/aab/aab.db", ("a+b",))
    assert not pattern.matches(b"/lib/a/b.db", ("a", "b"))
    assert not Pattern("/log/*{package}*").matches(b"/log/anything", ("*", "", "a/b"))


def test_hostile_names_do_not_make_matching_slow():
    # 11 stars over 60 000 characters would never end with a backtracking expression
    path = b"/" + b"a" * 60_000
    assert not Pattern("/" + "*a" * 10 + "*b").matches(path)
    assert not Pattern("/**/a*/**/a*/**/a*/**/a*/**/b").matches(b"/ab" * 4_000)


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("", "is empty", "/srv/**"),
        ("srv/x", "no absolute path", "/srv/x"),
        ("~/x", "~ means nothing", "/home/*/**"),
        ("/srv//x", "empty component", "single slash"),
        ("/srv/", "ends with a slash", "/srv/**"),
        ("/srv/../x", "component ..", "without it"),
        ("/./x", "component .", "without it"),
        ("/a[bc", "not closed", "[[]"),
        ("/a[b/c]", "not closed", "before the next slash"),
        ("/a[]", "not closed", "[[]"),
        ("/[z-a]", "runs backwards", "a-z"),
        ("/[[:alpha:]]", "is not known", "[a-z]"),
        ("/a**", "component of its own", "/**/"),
        ("/***", "component of its own", "/**/"),
        ("/{a,b}", "means nothing", "one pattern for each"),
        ("/{packages}", "means nothing", "{package}"),
        ("/a}", "means nothing", "{package}"),
        ("/a\0b", "control character", "?"),
        ("/a\nb", "control character", "?"),
        ("/" + "a" * 5000, "5001 characters", "4096"),
        ("/*{package}*a*", "3 stars", "at most 2"),
    ],
)
def test_a_bad_pattern_is_refused_with_what_is_wrong_and_what_would_be_right(text, wrong, right):
    with pytest.raises(PatternError) as caught:
        checked(text)
    assert wrong in caught.value.wrong
    assert right in caught.value.right


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/", ("everything",)),
        (b"/srv", ("tree", "everything", "exact")),
        (b"/srv/a", ("tree", "everything", "inside")),
        (b"/srv/a/b", ("tree", "everything")),
        (b"/srvx", ("everything",)),
        (b"/x/srv", ("everything",)),
    ],
)
def test_a_pattern_set_finds_a_directory_by_the_pattern_for_all_below_it(path, found):
    together = PatternSet(
        (Pattern(text), name)
        for text, name in (
            ("/srv/**", "tree"),
            ("/**", "everything"),
            ("/srv", "exact"),
            ("/srv/*", "inside"),
        )
    )
    for _ in range(2):
        assert together.all_matches(path) == found
