# SPDX-License-Identifier: GPL-3.0-or-later
"""The kept copy in place of the files: only ever when reading them would give the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aptguard.policy import last_valid, load
from aptguard.policy.layers import PolicyPaths
from aptguard.policy.loaded import Basis
from aptguard.policy.unchanged import load_unless_kept

RULE = '[rule.{name}]\nplace = "data"\npaths = ["/{name}/**"]\nbecause = "Somebody\'s data."\n'
SHIPPED = Path(load.__file__).parent / "shipped"


class Files:
    """A policy of several files below a directory of the test, valid and kept."""

    def __init__(self, root: Path) -> None:
        self.vendor, self.admin, self.state = root / "vendor", root / "policy.d", root / "state"
        for place in (self.vendor, self.admin, self.state):
            place.mkdir()
        for shipped in SHIPPED.glob("*.toml"):
            (self.vendor / shipped.name).write_bytes(shipped.read_bytes())
        (self.vendor / "50-first.toml").write_text(RULE.format(name="first"))
        (self.admin / "60-second.toml").write_text(RULE.format(name="second"))
        self.kept = self.state / "kept"
        self.paths = PolicyPaths(str(self.vendor), str(root / "policy.toml"), str(self.admin), str(self.kept))
        load.load_as_written(self.paths)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(Path(os.path.realpath(tmp_path)))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[PolicyPaths]:
    """Return the list of what was read in full."""
    done: list[PolicyPaths] = []
    real = load.load_as_written

    def counted(paths: PolicyPaths, *, remember: bool = True) -> object:
        if remember:
            done.append(paths)
        return real(paths, remember=remember)

    monkeypatch.setattr(load, "load_as_written", counted)
    return done


def test_the_kept_copy_of_the_same_files_is_what_reading_them_gives(files: Files, reads: list) -> None:
    kept = load_unless_kept(files.paths)
    assert not reads
    assert kept == load.load_as_written(files.paths, remember=False)
    assert (kept.problems, kept.degraded, kept.basis) == ((), False, Basis.FILES)


def _changed(files: Files) -> None:
    (files.vendor / "50-first.toml").write_text(RULE.format(name="fifth"))


def _added(files: Files) -> None:
    (files.admin / "70-third.toml").write_text(RULE.format(name="third"))


def _taken_away(files: Files) -> None:
    (files.admin / "60-second.toml").unlink()


def _renamed(files: Files) -> None:
    (files.admin / "60-second.toml").rename(files.admin / "61-second.toml")


def _masked(files: Files) -> None:
    (files.admin / "50-first.toml").symlink_to("/dev/null")


def _emptied(files: Files) -> None:
    (files.admin / "60-second.toml").write_text("")


def _exchanged(files: Files) -> None:
    first, second = files.vendor / "50-first.toml", files.admin / "60-second.toml"
    texts = first.read_text(), second.read_text()
    second.write_text(texts[0])
    first.write_text(texts[1])


def _broken(files: Files) -> None:
    (files.vendor / "50-first.toml").write_text("x")


def _unreadable(files: Files) -> None:
    (files.vendor / "50-first.toml").unlink()
    (files.vendor / "50-first.toml").mkdir()


@pytest.mark.parametrize(
    "change",
    [_changed, _added, _taken_away, _renamed, _masked, _emptied, _exchanged, _broken, _unreadable],
)
def test_no_change_of_a_file_leaves_the_kept_copy_in_force(
    files: Files, reads: list, change: Callable[[Files], None]
) -> None:
    change(files)
    loaded = load_unless_kept(files.paths)
    assert reads
    assert loaded == load.load_as_written(files.paths, remember=False)


def _loosened(kept: dict) -> None:
    kept["policy"]["mode"] = "report"


def _of_another_program(kept: dict) -> None:
    kept["made_of"] = "0" * 64


def _of_nothing(kept: dict) -> None:
    kept["made_of"] = None


def _of_another_schema(kept: dict) -> None:
    kept["schema"] = 99


def _without_digest(kept: dict) -> None:
    del kept["digest"]


@pytest.mark.parametrize(
    "spoil", [_loosened, _of_another_program, _of_nothing, _of_another_schema, _without_digest]
)
def test_a_kept_copy_that_is_not_whole_is_not_used_and_made_anew(
    files: Files, reads: list, spoil: Callable[[dict], None]
) -> None:
    kept = json.loads(files.kept.read_text())
    spoil(kept)
    files.kept.write_text(json.dumps(kept))
    loaded = load_unless_kept(files.paths)
    assert len(reads) == 1
    assert load_unless_kept(files.paths) == loaded
    assert len(reads) == 1


def test_a_kept_copy_that_others_could_have_written_is_not_used(files: Files, reads: list) -> None:
    files.kept.chmod(0o666)
    load_unless_kept(files.paths)
    assert reads


def test_a_policy_with_a_warning_is_read_each_time_and_warned_of(files: Files, reads: list) -> None:
    (files.admin / "70-odd.toml").write_text(
        '[exception.odd]\nreason = "r"\nrules = ["no-such-rule"]\npackages = ["aa"]\n'
    )
    for count in (1, 2):
        assert load_unless_kept(files.paths).problems
        assert len(reads) == count


def test_an_installed_program_of_the_same_version_makes_its_own_copy(
    files: Files, reads: list, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "interpret.py").write_text("# in another way\n")
    monkeypatch.setattr(last_valid, "__file__", str(other / "last_valid.py"))
    load_unless_kept(files.paths)
    assert reads


def test_what_checks_policy_files_is_not_loaded_where_the_copy_does(files: Files) -> None:
    program = (
        "import sys; from aptguard.policy.layers import PolicyPaths;"
        "from aptguard.guard.service import Guard; from aptguard.policy.unchanged import PolicyFiles;"
        "assert PolicyFiles(PolicyPaths(*sys.argv[1:])).load().policy.path_rules;"
        "assert not {'pydantic', 'tomllib'} & sys.modules.keys()"
    )
    paths = files.paths
    words = [paths.vendor, paths.admin_file, paths.admin, paths.last_valid]
    source = str(Path(load.__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", program, *words], check=True, env={**os.environ, "PYTHONPATH": source}
    )
