# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy that is read again only when it has changed; what must never happen is an old one in force."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aptguard.policy import unchanged
from aptguard.policy.layers import PolicyPaths
from aptguard.policy.load import load_policy
from aptguard.policy.unchanged import PolicyFiles

RULE = """
[rule.{name}]
place = "data"
paths = ["/{name}/**"]
because = "Somebody's data."
"""


class Files:
    """Policy files in a directory of a test, as PolicyFiles sees them, and how often they were read."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        directory = Path(os.path.realpath(directory))
        self.vendor, self.admin = directory / "vendor", directory / "admin"
        for place in (self.vendor, self.admin):
            place.mkdir()
        (self.vendor / "10-a.toml").write_text(RULE.format(name="first"))
        self.paths = PolicyPaths(
            str(self.vendor), str(directory / "policy.toml"), str(self.admin), str(directory / "last")
        )
        self.files = PolicyFiles(self.paths)
        self.read = 0
        real = unchanged.load_unless_kept

        def counted(paths: PolicyPaths) -> object:
            self.read += 1
            return real(paths)

        monkeypatch.setattr(unchanged, "load_unless_kept", counted)
        monkeypatch.setattr(unchanged, "_SETTLED_NS", 0)

    def rules(self) -> set[str]:
        loaded = self.files.load()
        assert loaded.policy == load_policy(self.paths).policy
        return {rule.name for rule in loaded.policy.path_rules}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(tmp_path, monkeypatch)


def test_an_unchanged_policy_is_read_twice_at_most(files: Files) -> None:
    for _ in range(5):
        assert "first" in files.rules()
    assert files.read <= 2  # once more, since the first reading keeps its last valid copy


def test_a_changed_file_holds_at_the_next_call(files: Files) -> None:
    assert "first" in files.rules()
    (files.vendor / "10-a.toml").write_text(RULE.format(name="other"))
    assert {"other"} <= files.rules()
    assert "first" not in files.rules()


def test_a_file_of_the_same_size_and_time_holds_at_the_next_call(files: Files) -> None:
    place = files.vendor / "10-a.toml"
    status = place.stat()
    files.rules()
    place.write_text(RULE.format(name="fifth"))
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert place.stat().st_size == status.st_size
    assert "fifth" in files.rules()


def test_an_added_and_a_removed_file_hold_at_the_next_call(files: Files) -> None:
    files.rules()
    (files.admin / "mine.toml").write_text(RULE.format(name="mine"))
    assert "mine" in files.rules()
    (files.admin / "mine.toml").unlink()
    assert "mine" not in files.rules()


def test_a_policy_with_problems_is_read_each_time(files: Files) -> None:
    files.rules()
    (files.admin / "mine.toml").write_text("this is no TOML")
    assert files.files.load().degraded
    (files.admin / "mine.toml").write_text(RULE.format(name="mine"))
    assert "mine" in files.rules()


def test_what_has_changed_just_now_is_not_kept(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "_SETTLED_NS", 3600 * 10**9)
    for _ in range(3):
        files.rules()
    assert files.read == 3


def test_a_link_that_leads_elsewhere_since_is_followed_anew(files: Files, tmp_path: Path) -> None:
    link, one, two = tmp_path / "link", tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    link.symlink_to(one)
    (files.vendor / "10-a.toml").write_text(RULE.format(name="first").replace("/first/", f"{link}/"))
    files.rules()
    link.unlink()
    link.symlink_to(two)
    (rule,) = files.files.load().policy.path_rules
    assert [pattern.text for pattern in rule.patterns] == [f"{link}/**", f"{two}/**"]
