# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading: layers, refusal of bad files, and what stays in force then."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aptguard.policy.checks import CHECK_NAMES
from aptguard.policy.finding import Severity
from aptguard.policy.load import LAST_RESORT, Basis, LoadedPolicy, PolicyPaths, load_policy
from aptguard.policy.model import Mode, Place, WhenUnable

VENDOR = """\
[rule.databases]
place = "data"
paths = ["/var/lib/postgresql/**"]
because = "Databases live here."

[rule.boot]
place = "protected"
paths = ["/boot/grub"]
because = "The machine boots from here."
"""


class Machine:
    """Directories of a policy below one of our own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vendor, self.admin, self.state = root / "vendor", root / "etc" / "policy.d", root / "state"
        for directory in (self.vendor, self.admin, self.state):
            directory.mkdir(parents=True)
        self.admin_file = root / "etc" / "policy.toml"
        (self.vendor / "10-default.toml").write_text(VENDOR)
        self.paths = PolicyPaths(
            str(self.vendor), str(self.admin_file), str(self.admin), str(self.state / "policy.last-valid")
        )

    def load(self) -> LoadedPolicy:
        return load_policy(self.paths)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(Path(os.path.realpath(tmp_path)))


def rule(loaded: LoadedPolicy, name: str):
    return next((one for one in loaded.policy.path_rules if one.name == name), None)


def test_the_shipped_policy_alone_is_in_force_with_origins_and_all_checks(machine):
    loaded = machine.load()
    assert (loaded.degraded, loaded.problems, loaded.basis) == (False, (), Basis.FILES)
    assert rule(loaded, "databases").origin == f"{machine.vendor}/10-default.toml:1"
    assert rule(loaded, "boot").origin == f"{machine.vendor}/10-default.toml:6"
    assert rule(loaded, "boot").place is Place.PROTECTED
    assert rule(loaded, "boot").severity is Severity.BLOCK
    assert set(loaded.policy.checks) == CHECK_NAMES
    assert loaded.policy.mode is Mode.ENFORCE


def test_later_files_override_earlier_ones_by_name(machine):
    machine.admin_file.write_text(
        'mode = "report"\nwhen_unable = "block"\n[limits]\nseconds = 7\nkeep_days = 3\n'
    )
    (machine.admin / "20-a.toml").write_text(
        '[limits]\nseconds = 9\n[rule.boot]\nplace = "own"\npaths = ["/b/{package}"]\nbecause = "Mine."\n'
    )
    (machine.admin / "30-b.toml").write_text(
        '[rule.databases]\nseverity = "warn"\n[check.attempt]\nseverity="ignore"\n'
    )
    loaded = machine.load()
    assert loaded.problems == ()
    policy = loaded.policy
    assert (policy.mode, policy.when_unable) == (Mode.REPORT, WhenUnable.BLOCK)
    assert (policy.limits.seconds, policy.limits.keep_days, policy.limits.processes) == (9, 3, 1024)
    assert policy.origins["limits.seconds"] == f"{machine.admin}/20-a.toml:2"
    assert policy.origins["mode"] == f"{machine.admin_file}:1"
    boot, databases = rule(loaded, "boot"), rule(loaded, "databases")
    assert (boot.place, boot.patterns[0].text) == (Place.OWN, "/b/{package}")
    assert boot.origin == f"{machine.admin}/20-a.toml:3"
    assert boot.overrides == (f"{machine.vendor}/10-default.toml:6",)
    assert (databases.severity, databases.place) == (Severity.WARN, Place.DATA)
    assert databases.patterns[0].text == "/var/lib/postgresql/**"
    assert databases.explanation == "Databases live here."
    assert policy.checks["attempt"].severity is Severity.IGNORE
    assert policy.checks["attempt"].explanation
    assert [os.path.basename(source) for source in policy.sources] == [
        "10-default.toml",
        "policy.toml",
        "20-a.toml",
        "30-b.toml",
    ]


def test_drop_ins_are_laid_in_the_order_of_their_names_and_other_files_do_not_count(machine):
    for name, seconds in (
        ("b.toml", 2),
        ("a.toml", 1),
        ("c.toml.dpkg-new", 3),
        (".d.toml", 4),
        ("e.toml~", 5),
    ):
        (machine.admin / name).write_text(f"[limits]\nseconds = {seconds}\n")
    loaded = machine.load()
    assert loaded.policy.limits.seconds == 2
    assert len(loaded.policy.sources) == 3


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text(""), lambda path: path.symlink_to("/dev/null")]
)
def test_a_file_of_the_same_name_in_etc_masks_the_shipped_one(machine, make):
    (machine.vendor / "20-more.toml").write_text(VENDOR.replace("rule.", "rule.more-"))
    make(machine.admin / "20-more.toml")
    loaded = machine.load()
    assert loaded.problems == ()
    assert [one.name for one in loaded.policy.path_rules] == ["boot", "databases"]


def test_the_more_severe_rule_and_the_protected_place_come_first(machine):
    machine.admin_file.write_text(
        '[rule.databases]\nseverity = "warn"\n'
        '[rule.wide]\nplace = "data"\npaths = ["/var/**"]\nbecause = "x"\n'
    )
    assert [one.name for one in machine.load().policy.path_rules] == ["boot", "wide", "databases"]


def break_with(text: str | bytes):
    return lambda path: path.write_bytes(text if isinstance(text, bytes) else text.encode())


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


UNUSABLE = {
    "invalid TOML": (break_with("mode = \n"), "no TOML value", 1),
    "a directory": (lambda path: path.mkdir(), "it is a directory", None),
    "a dangling link": (
        lambda path: path.symlink_to("/nonexistent/x"),
        "/nonexistent/x, which does not exist",
        None,
    ),
    "a loop of links": (lambda path: path.symlink_to(path.name), "symbolic links", None),
    "a named pipe": (os.mkfifo, "a named pipe", None),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "a character device", None),
    "a huge file": (sparse, "1073741824 bytes", None),
    "no end": (lambda path: path.symlink_to("/proc/kallsyms"), "bytes or more", None),
    "NUL bytes": (break_with("mode = 'enforce'\n\0\0\n"), "", 2),
    "NUL in a string": (break_with(b'mode = "enf\0rce"\n'), "control character", 1),
    "no UTF-8": (break_with(b"# ok\nmode = 'enforce' # \xff\n"), "byte 0xff is no UTF-8", 2),
    "UTF-16": (break_with('mode = "enforce"'.encode("utf-16")), "no UTF-8", 1),
    "a byte order mark": (break_with("\ufeffmode = 'enforce'"), "byte order mark", 1),
    "deep nesting": (break_with("a = " + "[" * 100_000), "", None),
    "an unclosed list": (break_with("[rule.x]\npaths = [\n"), "", 2),
    "a number without end": (break_with("[limits]\nseconds = " + "9" * 5000), "", None),
    "two rules of one name": (
        break_with("[rule.x]\nseverity='warn'\n\n[rule.x]\nseverity='block'\n"),
        "stands in the file twice",
        4,
    ),
    "no such day": (break_with('[exception.x]\nreason="r"\npackages=["aa"]\nexpires = 2027-02-30\n'), "", 4),
}


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.parametrize("place", ["admin_file", "drop-in"])
def test_an_unusable_file_is_named_and_the_last_valid_policy_stays_in_force(machine, case, place):
    (machine.admin / "10-mine.toml").write_text("[limits]\nseconds = 77\n")
    assert not machine.load().degraded
    make, wrong, line = UNUSABLE[case]
    target = machine.admin_file if place == "admin_file" else machine.admin / "20-bad.toml"
    make(target)
    (machine.admin / "10-mine.toml").write_text("[limits]\nseconds = 78\n")
    loaded = machine.load()
    assert loaded.degraded
    assert loaded.basis is Basis.LAST_VALID
    assert loaded.policy.limits.seconds == 77
    assert len(loaded.problems) == 1
    problem = loaded.problems[0]
    assert problem.file == str(target)
    assert wrong in problem.wrong
    assert line is None or problem.line == line
    assert problem.right
    assert "\n" not in problem.sentence()


@pytest.mark.parametrize("case", UNUSABLE)
def test_without_a_last_valid_policy_the_shipped_one_is_in_force_alone(machine, case):
    (machine.admin / "10-mine.toml").write_text("[limits]\nseconds = 77\n")
    UNUSABLE[case][0](machine.admin_file)
    loaded = machine.load()
    assert loaded.degraded
    assert loaded.basis is Basis.VENDOR
    assert loaded.policy.limits.seconds == 120
    assert {one.name for one in loaded.policy.path_rules} == {"boot", "databases"}
    assert not os.path.lexists(machine.paths.last_valid)


def test_a_masked_rule_is_back_when_the_shipped_policy_is_in_force_alone(machine):
    (machine.admin / "10-default.toml").write_text("")
    machine.admin_file.write_text("broken")
    assert rule(machine.load(), "databases")


def test_without_any_usable_file_homes_and_databases_are_still_data(machine):
    (machine.vendor / "10-default.toml").unlink()
    loaded = machine.load()
    assert loaded.degraded
    assert loaded.basis is Basis.BUILT_IN
    assert loaded.policy.path_rules == LAST_RESORT
    assert set(loaded.policy.checks) == CHECK_NAMES
    assert "no shipped policy" in loaded.problems[0].wrong


def test_a_broken_shipped_file_does_not_take_the_others_away(machine):
    (machine.vendor / "20-broken.toml").write_text("x")
    loaded = machine.load()
    assert (loaded.degraded, loaded.basis) == (True, Basis.BUILT_IN)
    assert {one.name for one in loaded.policy.path_rules} == {
        "boot",
        "databases",
        *(one.name for one in LAST_RESORT),
    }


def test_a_valid_file_ends_the_degraded_state(machine):
    machine.load()
    machine.admin_file.write_text("x")
    assert machine.load().degraded
    machine.admin_file.write_text("[limits]\nseconds = 5\n")
    loaded = machine.load()
    assert not loaded.degraded
    assert loaded.policy.limits.seconds == 5


def test_the_kept_copy_is_private_and_equal_to_what_was_in_force(machine):
    machine.admin_file.write_text(
        '[exception.x]\nreason = "r"\npackages = ["aa"]\npaths = ["/é/**"]\nexpires = 2030-01-02\n'
    )
    before = machine.load()
    status = os.stat(machine.paths.last_valid)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert os.listdir(machine.state) == ["policy.last-valid"]
    machine.admin_file.write_text("x")
    assert machine.load().policy == before.policy


def test_the_kept_copy_is_not_written_again_when_nothing_changed(machine):
    machine.load()
    inode = os.stat(machine.paths.last_valid).st_ino
    machine.load()
    assert os.stat(machine.paths.last_valid).st_ino == inode
    machine.admin_file.write_text('mode = "report"\n')
    machine.load()
    assert os.stat(machine.paths.last_valid).st_ino != inode


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _foreign_schema(path: Path) -> None:
    path.write_text('{"schema": 99, "policy": {}}')


def _bad_pattern(path: Path) -> None:
    path.write_text(path.read_text().replace("/boot/grub", "boot/["))


def _unknown_field(path: Path) -> None:
    path.write_text(path.read_text().replace('"mode"', '"mood"'))


def _writable(path: Path) -> None:
    path.chmod(0o666)


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil", [_truncate, _foreign_schema, _bad_pattern, _unknown_field, _writable, _link, _fifo, _directory]
)
def test_a_spoilt_copy_is_named_and_the_shipped_policy_is_in_force(machine, spoil):
    machine.load()
    spoil(Path(machine.paths.last_valid))
    machine.admin_file.write_text("x")
    loaded = machine.load()
    assert loaded.basis is Basis.VENDOR
    assert [problem.file for problem in loaded.problems] == [
        str(machine.admin_file),
        machine.paths.last_valid,
    ]


def test_a_copy_that_cannot_be_kept_is_a_warning_and_the_policy_is_in_force(machine):
    os.mkdir(machine.paths.last_valid)
    loaded = machine.load()
    assert not loaded.degraded
    assert "no copy" in loaded.problems[0].wrong
    assert os.listdir(machine.state) == ["policy.last-valid"]


def test_a_file_that_may_not_be_read_is_refused_and_said_so(machine):
    """In a child with another uid, since root reads everything."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    machine.admin_file.write_text('mode = "report"\n')
    machine.admin_file.chmod(0)
    directory = machine.root
    while directory != directory.parent and directory != Path("/tmp"):
        directory.chmod(directory.stat().st_mode | 0o055)
        directory = directory.parent
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            loaded = load_policy(machine.paths, remember=False)
            good = loaded.degraded and loaded.problems[0].wrong == "it may not be read"
            code = 0 if good and loaded.policy.mode is Mode.ENFORCE else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_drop_in_directory_that_is_a_file_is_refused(machine):
    machine.admin.rmdir()
    machine.admin.write_text("")
    loaded = machine.load()
    assert loaded.degraded
    assert loaded.problems[0].file == str(machine.admin)


def test_etc_may_be_missing(machine):
    machine.admin.rmdir()
    assert machine.load().problems == ()


def test_a_rule_on_a_path_through_a_link_holds_for_the_real_place(machine):
    disk = machine.root / "disk*1"
    (disk / "data").mkdir(parents=True)
    link = machine.root / "data"
    link.symlink_to(disk / "data")
    machine.admin_file.write_text(
        f'[rule.mine]\nplace = "protected"\npaths = ["{link}/**", "{link}"]\nbecause = "x"\n'
    )
    patterns = rule(machine.load(), "mine").patterns
    assert [pattern.written for pattern in patterns] == ["", f"{link}/**", ""]
    assert any(pattern.matches(f"{disk}/data/a/b".encode()) for pattern in patterns)
    assert any(pattern.matches(str(link).encode()) for pattern in patterns)
    assert not any(pattern.matches(f"{machine.root}/disk-1/data/a".encode()) for pattern in patterns)


def test_an_amendment_of_no_rule_is_refused_with_the_nearest_name(machine):
    machine.admin_file.write_text('[rule.database]\nseverity = "ignore"\n')
    loaded = machine.load()
    assert loaded.degraded
    assert 'did you mean "databases"?' in loaded.problems[0].right


def test_an_exception_to_no_rule_is_a_warning(machine):
    machine.admin_file.write_text('[exception.x]\nreason = "r"\nrules = ["boot", "databses"]\n')
    loaded = machine.load()
    assert not loaded.degraded
    assert loaded.problems[0].key == "exception.x.rules[2]"
    assert 'did you mean "databases"?' in loaded.problems[0].right
