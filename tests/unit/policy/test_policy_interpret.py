# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of bad inputs, the same for pydantic 1 and 2."""

from __future__ import annotations

import pytest

from aptguard.policy.interpret import interpret
from aptguard.policy.lines import key_lines
from aptguard.policy.model import PathRule, Place
from aptguard.policy.policy_file import PolicyFile, read_policy_file

RULE = '[rule.x]\nplace = "data"\npaths = ["/srv/**"]\nbecause = "Why."\n'
EXCEPTION = '[exception.x]\nreason = "r"\npackages = ["foo"]\n'

BAD = [
    # what is written, line, key, what is wrong, what would be right
    ("mood = 1", 1, "mood", "no such key", 'did you mean "mode"?'),
    ("mode = 1", 1, "mode", "the number 1", '"enforce" or "report"'),
    ("mode = true", 1, "mode", "the value true", '"enforce" or "report"'),
    ('mode = "enforced"', 1, "mode", '"enforced" is not known', 'did you mean "enforce"?'),
    ('mode = "off"', 1, "mode", '"off" is not known', 'use "enforce" or "report"'),
    ('when_unable = "allways"', 1, "when_unable", "not known", 'did you mean "allow"?'),
    ('rehearse_triggers = "yes"', 1, "rehearse_triggers", 'the text "yes"', "true or false"),
    ("rehearse_triggers = 1", 1, "rehearse_triggers", "the number 1", "true or false"),
    ("limits = []", 1, "limits", "a list", "[limits]"),
    ("limits = 3", 1, "limits", "the number 3", "[limits]"),
    ("[[limits]]\nseconds = 1", 1, "limits", "a list", "[limits]"),
    ('[limits]\nseconds = "120"', 2, "limits.seconds", 'the text "120"', "whole number of seconds"),
    ("[limits]\nseconds = 1.5", 2, "limits.seconds", "the number 1.5", "whole number"),
    ("[limits]\nseconds = 120.0", 2, "limits.seconds", "the number 120.0", "whole number"),
    ("[limits]\nseconds = true", 2, "limits.seconds", "the value true", "whole number"),
    ("[limits]\nseconds = 0", 2, "limits.seconds", "0 is out of range", "write 1 to 86400"),
    ("[limits]\nprocesses = -1", 2, "limits.processes", "out of range", "write 16 to"),
    ("[limits]\nchanges = 99999999999999999999", 2, "limits.changes", "out of range", "write 1000 to"),
    ("[limits]\nsecond = 1", 2, "limits.second", "no such key", 'did you mean "seconds"?'),
    ("rule = []", 1, "rule", "a list", "[rule.NAME]"),
    ("rule = 'x'", 1, "rule", "the text", "[rule.NAME]"),
    ('[[rule]]\nplace = "x"\npaths = "y"', 1, "rule", "a list", "[rule.NAME]"),
    ('rule = [["a", {}]]', 1, "rule", "a list", "[rule.NAME]"),
    ("[rule]\nx = 1", 2, "rule.x", "the number 1", "[rule.x]"),
    ("[rule]\nx = []", 2, "rule.x", "a list", "[rule.x]"),
    ('[rule]\nplace = "data"', 2, "rule.place", 'the text "data"', "[rule.place]"),
    (RULE + 'sevrity = "warn"', 5, "rule.x.sevrity", "no such key", 'did you mean "severity"?'),
    (RULE + 'severity = "warning"', 5, "rule.x.severity", "not known", 'did you mean "warn"?'),
    (RULE + 'severity = "BLOCK "', 5, "rule.x.severity", "not known", 'did you mean "block"?'),
    (RULE + "severity = 1", 5, "rule.x.severity", "the number 1", '"block", "warn" or "ignore"'),
    (RULE + 'changes = "deleted"', 5, "rule.x.changes", 'the text "deleted"', '["deleted", "content"]'),
    (RULE + 'changes = ["delete"]', 5, "rule.x.changes[1]", "no kind of change", 'did you mean "deleted"?'),
    (RULE + "changes = [1]", 5, "rule.x.changes[1]", "the number 1", '["deleted", "content"]'),
    (RULE + "changes = []", 5, "rule.x.changes", "is empty", "leave the key out"),
    (
        RULE.replace('"data"', '"shared_state"'),
        2,
        "rule.x.place",
        "not known",
        'did you mean "shared-state"?',
    ),
    (RULE.replace('["/srv/**"]', '"/srv/**"'), 3, "rule.x.paths", "the text", 'such as ["/srv/**"]'),
    (RULE.replace('["/srv/**"]', "[]"), 3, "rule.x.paths", "is empty", "name a path"),
    (RULE.replace('["/srv/**"]', "{}"), 3, "rule.x.paths", "a table", 'such as ["/srv/**"]'),
    (RULE.replace('["/srv/**"]', '[\n"/a",\n\n"srv"]'), 6, "rule.x.paths[2]", "no absolute path", "/srv"),
    (RULE.replace('["/srv/**"]', '["/a", 3]'), 3, "rule.x.paths[2]", "the number 3", 'such as ["/srv/**"]'),
    (RULE.replace('["/srv/**"]', '["/a/[b"]'), 3, "rule.x.paths[1]", "not closed", "close it with ]"),
    (RULE.replace('"Why."', '" "'), 4, "rule.x.because", "is empty", "one sentence"),
    (RULE.replace('"Why."', '"a\\u001b[31m"'), 4, "rule.x.because", "control character", "one line"),
    (RULE.replace('"Why."', '"""a\nb"""'), 4, "rule.x.because", "line break", "one line"),
    (RULE.replace('"Why."', '"' + "a" * 500 + '"'), 4, "rule.x.because", "500 characters", "at most"),
    (RULE.replace('because = "Why."', ""), 1, "rule.x", "the key because is missing", "one sentence"),
    (RULE.replace('place = "data"', ""), 1, "rule.x", "the key place is missing", '"protected"'),
    (RULE.replace('paths = ["/srv/**"]', ""), 1, "rule.x", "the key paths is missing", "list of absolute"),
    ('[rule.x]\nseverity = "wran"', 2, "rule.x.severity", "not known", 'did you mean "warn"?'),
    ("[rule.x]", 1, "rule.x", "says nothing", "place, paths and because"),
    (RULE.replace("rule.x", 'rule."X y"'), 1, 'rule."X y"', "cannot be a name", "small letters"),
    (RULE.replace("rule.x", "rule." + "a" * 65), 1, "rule." + "a" * 65, "cannot be a name", "up to 64"),
    (
        RULE.replace("rule.x", "rule.foreign-file"),
        1,
        "rule.foreign-file",
        "built-in check",
        "[check.foreign-file]",
    ),
    ('[check.foreign]\nseverity="warn"', 1, "check.foreign", "no such check", 'did you mean "foreign-file"?'),
    ('[check.foreign-file]\nseverity="none"', 2, "check.foreign-file.severity", "not known", '"warn"'),
    ("[check.foreign-file]", 1, "check.foreign-file", "says nothing", "severity"),
    ("check = 1", 1, "check", "the number 1", "[check.NAME]"),
    (EXCEPTION.replace('reason = "r"', ""), 1, "exception.x.reason", "reason is missing", "one sentence"),
    (EXCEPTION.replace('"r"', '""'), 2, "exception.x.reason", "is empty", "one sentence"),
    (EXCEPTION.replace('"r"', "1"), 2, "exception.x.reason", "the number 1", "one sentence"),
    (
        EXCEPTION.replace('packages = ["foo"]', ""),
        1,
        "exception.x",
        "allow everything",
        "packages, rules or paths",
    ),
    (EXCEPTION.replace('["foo"]', "[]"), 3, "exception.x.packages", "is empty", "leave the key out"),
    (EXCEPTION.replace('["foo"]', '"foo"'), 3, "exception.x.packages", "the text", '["postgresql-15"]'),
    (
        EXCEPTION.replace("foo", "foo:amd64"),
        3,
        "exception.x.packages[1]",
        "no name of a package",
        "architecture",
    ),
    (EXCEPTION.replace("foo", "foo*"), 3, "exception.x.packages[1]", "no name of a package", "as dpkg does"),
    (EXCEPTION + 'expires = "soon"', 4, "exception.x.expires", 'the text "soon", not a date', "2027-12-31"),
    (EXCEPTION + "expires = 20271231", 4, "exception.x.expires", "not a date", "2027-12-31"),
    (EXCEPTION + "expires = 2027-12-31T00:00:00", 4, "exception.x.expires", "the time", "2027-12-31"),
    (EXCEPTION + 'expires = "2027-02-30"', 4, "exception.x.expires", "no such day", "calendar"),
    (EXCEPTION + "expires = []", 4, "exception.x.expires", "a list, not a date", "2027-12-31"),
    ('[role.x]\npackages = ["a"]', 1, "role.x", "the key because is missing", "one sentence"),
    ('[role.x]\npaths = ["/a"]\nbecause = "b"', 1, "role.x", "packages is missing", "linux-image-*"),
    ('[role.x]\npackages = []\nbecause = "b"', 2, "role.x.packages", "is empty", "name a package"),
    ('[role.x]\npackages = ["A b"]\nbecause = "b"', 2, "role.x.packages[1]", "no name", "as dpkg does"),
    ('[role.x]\npackages = "a"\nbecause = "b"', 2, "role.x.packages", "the text", "openssh-server"),
    (
        '[role.x]\npackages = ["a"]\npaths = ["/usr/*/a"]\nbecause = "b"',
        3,
        "role.x.paths[1]",
        "a wildcard",
        "in full",
    ),
    ('[role.x]\neven_if_asked = "yes"', 2, "role.x.even_if_asked", 'the text "yes"', "true or false"),
    ('[role.x]\nseverity = "high"', 2, "role.x.severity", "not known", '"warn"'),
    ("[role.x]", 1, "role.x", "says nothing", "packages and because"),
    ('[role.attempt]\npackages = ["a"]\nbecause = "b"', 1, "role.attempt", "built-in check", "another name"),
    ('[trigger.x]\npackages = ["a"]', 1, "trigger.x", "the key because is missing", "one sentence"),
    ("[trigger.x]\nrehearse = 1", 2, "trigger.x.rehearse", "the number 1", "true or false"),
    ("[trigger.x]\nrehearsed = true", 2, "trigger.x.rehearsed", "no such key", 'did you mean "rehearse"?'),
    ("[trigger.x]", 1, "trigger.x", "says nothing", "rehearse = true"),
    ("[limits]\ntrigger_seconds = 0", 2, "limits.trigger_seconds", "out of range", "write 1 to"),
    (EXCEPTION + 'path = ["/x"]', 4, "exception.x.path", "no such key", 'did you mean "paths"?'),
]


@pytest.mark.parametrize(("text", "line", "key", "wrong", "right"), BAD)
def test_a_bad_file_is_refused_with_line_key_what_is_wrong_and_what_would_be_right(
    tmp_path, text, line, key, wrong, right
):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    _, problems = interpret(read_policy_file(str(path)))
    assert [(problem.file, problem.line, problem.key) for problem in problems] == [(str(path), line, key)]
    assert wrong in problems[0].wrong
    assert right in problems[0].right


def read(text: str):
    import tomllib

    return interpret(PolicyFile("f", tomllib.loads(text), key_lines(text)))


def test_all_mistakes_of_a_file_are_reported_at_once_in_order_of_lines():
    _, problems = read(
        'mode = "x"\n' + RULE.replace("/srv/**", "srv") + 'severity = "y"\n[limits]\nseconds = 0\n'
    )
    assert [problem.line for problem in problems] == [1, 4, 6, 8]
    _, problems = read('moode = "x"\n[limits]\nseconds = []\n[rule.x]\nplace = 1\n')
    assert sorted(problem.line for problem in problems) == [1, 3, 5]
    _, problems = read('mode = "x"\nmoode = 1\n' + RULE.replace("/srv/**", "srv") + "sevrity = 1\n")
    assert [(problem.line, problem.key) for problem in problems] == [
        (1, "mode"),
        (2, "moode"),
        (5, "rule.x.paths[1]"),
        (7, "rule.x.sevrity"),
    ]


def test_everything_that_may_be_written_is_understood():
    part, problems = read(
        'mode = "report"\nwhen_unable = "allow"\nrehearse_triggers = true\n'
        '[limits]\nseconds = 86400\n[rule.a-1]\nplace = "shared-state"\npaths = ["/a/{package}/[*]", "/é"]\n'
        'severity = "warn"\nchanges = ["deleted", "content"]\nbecause = "Größe."\n'
        '[check.attempt]\nseverity = "ignore"\nbecause = "x"\n'
        '[exception.e]\nreason = "r"\npackages = ["g++", "libc6"]\nrules = ["a-1"]\n'
        'paths = ["/x"]\nexpires = 2030-01-02\n'
        '[exception.f]\nreason = "r"\nrules = ["a-1"]\nexpires = "2030-01-02"\n'
    )
    assert problems == ()
    rule = part.rules[0]
    assert isinstance(rule, PathRule)
    assert rule.place is Place.SHARED_STATE
    assert rule.changes == {"deleted", "content"}
    assert rule.origin == "f:6"
    assert [one.expires for one in part.exceptions] == ["2030-01-02"] * 2
    assert part.exceptions[0].packages == {"g++", "libc6"}
    assert part.exceptions[0].origin == "f:15"


def test_an_inline_table_is_as_good_as_a_header():
    part, problems = read('rule.x = { place = "data", paths = ["/a"], because = "b" }')
    assert problems == ()
    assert part.rules[0].origin == "f:1"


def test_the_sentence_of_a_problem_names_everything_and_is_one_escaped_line():
    _, problems = read('"mo\\nde" = 1\n')
    assert problems[0].sentence() == (
        'f:1: error: "mo\\x0ade": there is no such key here; did you mean "mode"?'
    )
