# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rule speaks for a path, and how the answer and the policy are shown."""

from __future__ import annotations

import json
import tomllib

import pytest

from aptguard.policy.describe import (
    explanation_as_plain,
    explanation_text,
    policy_as_plain,
    policy_text,
    problem_as_plain,
)
from aptguard.policy.explain import canonical_path, explain_path
from aptguard.policy.finding import Severity
from aptguard.policy.interpret import interpret
from aptguard.policy.lines import key_lines
from aptguard.policy.merge import merge
from aptguard.policy.model import Policy
from aptguard.policy.policy_file import PolicyFile
from aptguard.policy.precedence import RuleBook

TEXT = """\
mode = "report"
[rule.own-state]
place = "own"
paths = ["/var/lib/{package}/**"]
because = "A package may clean its own state."
[rule.databases]
place = "data"
paths = ["/var/lib/postgresql/**"]
because = "Databases live here."
[rule.vault]
place = "protected"
paths = ["/var/lib/postgresql/vault/**"]
changes = ["deleted"]
because = "Nobody touches the vault."
[rule.hint]
place = "protected"
severity = "warn"
paths = ["/var/lib/postgresql/vault/**"]
because = "Be careful."
[rule.off]
place = "protected"
severity = "ignore"
paths = ["/**"]
because = "Switched off."
[rule.fonts]
place = "shared-state"
paths = ["/var/cache/fontconfig/**"]
because = "Everybody rewrites it."
[exception.vault]
reason = "It is ours."
packages = ["pg-vault"]
rules = ["vault"]
expires = 2030-01-01
"""


def policy(text: str = TEXT) -> Policy:
    part, problems = interpret(PolicyFile("/p.toml", tomllib.loads(text), key_lines(text)))
    assert problems == ()
    merged, problems = merge([part])
    assert problems == ()
    return merged


def outcome(explanation, act):
    return next(one for one in explanation.outcomes if one.act == act)


def test_all_matching_rules_are_named_in_order_of_precedence_with_file_and_line():
    explanation = explain_path(policy(), b"/var/lib/postgresql/vault/x")
    assert [(one.rule.name, one.rule.origin, one.package) for one in explanation.rules] == [
        ("vault", "/p.toml:10", None),
        ("hint", "/p.toml:15", None),
        ("databases", "/p.toml:6", None),
        ("own-state", "/p.toml:2", "postgresql"),
    ]
    assert explanation.protected


def test_a_rule_speaks_only_for_its_kinds_of_change():
    explanation = explain_path(policy(), b"/var/lib/postgresql/vault/x")
    assert outcome(explanation, "deleted").rule == "vault"
    assert outcome(explanation, "deleted").severity is Severity.BLOCK
    assert outcome(explanation, "altered").rule == "hint"
    assert outcome(explanation, "altered").severity is Severity.WARN


def test_data_is_blocked_only_where_no_package_lists_the_file():
    explanation = explain_path(policy(), b"/var/lib/postgresql/15/main")
    assert explanation.protected
    assert "blocked if no package lists the file" in outcome(explanation, "deleted").sentence
    assert outcome(explanation, "created").severity is None


def test_a_place_of_one_package_is_its_own_and_nobody_elses():
    own = explain_path(policy(), b"/var/lib/foo/x", ("foo",))
    assert outcome(own, "deleted").severity is None
    assert outcome(own, "deleted").rule == "own-state"
    other = explain_path(policy(), b"/var/lib/foo/x", ("bar",))
    assert other.rules == ()
    assert outcome(other, "deleted").severity is Severity.BLOCK
    anybody = explain_path(policy(), b"/var/lib/foo/x")
    assert anybody.rules[0].package == "foo"
    assert "allowed by the package foo" in outcome(anybody, "deleted").sentence
    assert "otherwise blocked if no package lists it" in outcome(anybody, "deleted").sentence
    assert not anybody.protected


def test_shared_state_may_be_rewritten():
    assert outcome(explain_path(policy(), b"/var/cache/fontconfig/a"), "altered").severity is None


def test_without_a_rule_the_built_in_checks_decide():
    explanation = explain_path(policy(TEXT + '[check.unowned-file]\nseverity = "warn"\n'), b"/nowhere")
    assert explanation.rules == ()
    assert not explanation.protected
    assert "allowed with a warning if no package lists it" in outcome(explanation, "deleted").sentence


@pytest.mark.parametrize(
    ("path", "packages", "named"),
    [
        (b"/var/lib/postgresql/vault/x", (), True),
        (b"/var/lib/postgresql/vault/x", ("pg-vault",), True),
        (b"/var/lib/postgresql/vault/x", ("other",), False),
        (b"/var/lib/postgresql/x", (), False),
    ],
)
def test_exceptions_that_concern_the_path_are_named(path, packages, named):
    assert bool(explain_path(policy(), path, packages).exceptions) == named


def test_a_relative_path_is_no_path_to_explain():
    with pytest.raises(ValueError, match="absolute"):
        explain_path(policy(), b"etc/passwd")


def test_a_path_is_explained_at_its_real_place(tmp_path):
    import os

    root = os.path.realpath(tmp_path).encode()
    os.makedirs(root + b"/real/sub")
    os.symlink("real", root + b"/link")
    os.symlink("nothing", root + b"/real/last")
    assert canonical_path(b"link/sub//../last", root) == root + b"/real/last"
    assert canonical_path(root + b"/link/", b"/") == root + b"/link"
    assert canonical_path(b"link/.", root) == root + b"/real"
    assert canonical_path(b"/", b"/x") == b"/"
    assert canonical_path(b"//", b"/x") == b"/"
    assert canonical_path(b"gone/\xff", root) == root + b"/gone/\xff"


def test_the_first_rule_that_speaks_is_the_first_of_those_that_match():
    book = RuleBook(policy())
    assert book.speaking(b"/var/lib/postgresql/vault/x", ["deleted"]).name == "vault"
    assert book.speaking(b"/var/lib/postgresql/vault/x", ["mode"]).name == "hint"
    assert book.speaking(b"/nowhere", ["deleted"]) is None


def test_the_text_of_an_answer_has_one_line_per_fact_and_no_control_characters():
    text = explanation_text(explain_path(policy(), b"/var/lib/postgresql/vault/a\n\x1b[31m\xff"))
    assert text.splitlines()[0] == "/var/lib/postgresql/vault/a\\x0a\\x1b[31m\\xff"
    assert "\x1b" not in text
    assert "/p.toml:10: /var/lib/postgresql/vault/**" in text
    assert "exception vault, until 2030-01-01: It is ours." in text
    assert "no rule names this path" in explanation_text(explain_path(policy(), b"/nowhere"))


def test_the_answer_is_ready_for_json():
    plain = json.loads(json.dumps(explanation_as_plain(explain_path(policy(), b"/var/lib/postgresql/\xff"))))
    assert plain["path"] == "/var/lib/postgresql/\\xff"
    assert plain["protected"] is True
    assert plain["rules"][0]["origin"] == "/p.toml:6"
    assert plain["outcomes"][0] == {
        "change": "deleted",
        "severity": "block",
        "rule": "databases",
        "origin": "/p.toml:6",
        "sentence": "blocked if no package lists the file, blocked if it belongs to another package",
    }


def test_the_policy_is_shown_with_the_origin_of_everything():
    plain = json.loads(json.dumps(policy_as_plain(policy())))
    assert plain["mode"] == "report"
    assert plain["origins"] == {"mode": "/p.toml:1"}
    assert {rule["name"]: rule["origin"] for rule in plain["rules"]}["databases"] == "/p.toml:6"
    assert {check["origin"] for check in plain["checks"]} == {"built-in"}
    assert plain["exceptions"][0]["expires"] == "2030-01-01"
    text = policy_text(policy())
    for expected in (
        "mode = report  (/p.toml:1)",
        "limits.seconds = 120  (built-in)",
        "rule databases: data, block  (/p.toml:6)",
        "rule off: protected, switched off  (/p.toml:20)",
        "rule fonts: shared-state  (/p.toml:25)",
        "check foreign-file: block  (built-in)",
        "exception vault, until 2030-01-01  (/p.toml:29)",
    ):
        assert expected in text.splitlines()


def test_a_problem_is_ready_for_json():
    _, problems = interpret(PolicyFile("/p", {"x": 1}, {("x",): 1}))
    assert problem_as_plain(problems[0])["key"] == "x"
    assert json.dumps(problem_as_plain(problems[0]))
