# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher over real dpkg, real scripts and a real overlay: who did it, how far, and when to stop."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from packages.builder import build_deb
from rehearsal import watched

pytestmark = pytest.mark.needs_root

PURGE = ("dpkg", "--no-triggers", "--purge")


def on_purge(text: str) -> dict[str, str]:
    return {"postrm": f'[ "$1" = purge ] || exit 0\n{text}'}


def purge(tmp_path: Path, text: str, **options: object) -> watched.Outcome:
    archive = build_deb(tmp_path, "foo", scripts=on_purge(text))
    outcome = watched.run(*PURGE, "foo", installed=(archive,), **options)  # type: ignore[arg-type]
    assert outcome.status == 0 or outcome.stopped, outcome.output
    return outcome


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> watched.Outcome:
    where = tmp_path_factory.mktemp("two")
    alpha = build_deb(
        where,
        "alpha",
        files={"/etc/alpha.conf": "x", "/usr/share/alpha/data": "x"},
        scripts={
            "prerm": "echo bye > /var/log/alpha",
            **on_purge("rm -rf /srv/alpha /home/alice\nmv /srv/tree /srv/moved"),
        },
    )
    beta = build_deb(
        where,
        "beta",
        files={"/usr/share/beta/data": "x"},
        scripts=on_purge("find /home/bob -type f -delete; chmod 700 /home/bob; echo x >> /etc/passwd"),
    )
    outcome = watched.run(
        *PURGE,
        "alpha",
        "beta",
        installed=(alpha, beta),
        files={
            "/srv/alpha/deep/one": "1",
            "/srv/tree/branch/leaf": "1",
            "/home/alice/letter": "1",
            "/home/bob/letter": "1",
        },
        ask=("/srv/alpha/deep/one", "/srv/tree/branch/leaf", "/srv/moved/branch/leaf", "/srv/nobody"),
    )
    assert outcome.status == 0, outcome.output
    assert not outcome.notes
    return outcome


@pytest.mark.parametrize(
    ("path", "package", "script", "command"),
    [
        ("/srv/alpha", "alpha", "postrm purge", ["rm", "-rf", "/srv/alpha", "/home/alice"]),
        ("/srv/alpha/deep/one", "alpha", "postrm purge", ["rm", "-rf", "/srv/alpha", "/home/alice"]),
        ("/home/alice", "alpha", "postrm purge", ["rm", "-rf", "/srv/alpha", "/home/alice"]),
        ("/srv/tree", "alpha", "postrm purge", ["mv", "/srv/tree", "/srv/moved"]),
        ("/srv/tree/branch/leaf", "alpha", "postrm purge", ["mv", "/srv/tree", "/srv/moved"]),
        ("/srv/moved/branch/leaf", "alpha", "postrm purge", ["mv", "/srv/tree", "/srv/moved"]),
        ("/home/bob/letter", "beta", "postrm purge", ["find", "/home/bob", "-type", "f", "-delete"]),
        ("/home/bob", "beta", "postrm purge", ["chmod", "700", "/home/bob"]),
        ("/etc/passwd", "beta", "postrm purge", ["/bin/sh", "/var/lib/dpkg/info/beta.postrm", "purge"]),
        ("/var/log/alpha", "alpha", "prerm remove", ["/bin/sh", "/var/lib/dpkg/info/alpha.prerm", "remove"]),
        ("/etc/alpha.conf", "alpha", None, [*PURGE, "alpha", "beta"]),
        ("/usr/share/alpha", "alpha", None, [*PURGE, "alpha", "beta"]),
        ("/usr/share/beta", "beta", None, [*PURGE, "alpha", "beta"]),
        ("/var/lib/dpkg/status", None, None, [*PURGE, "alpha", "beta"]),
    ],
)
def test_each_path_names_its_package_script_argument_and_command(
    two: watched.Outcome, path: str, package: str | None, script: str | None, command: list[str]
) -> None:
    assert two.who(path) == (package, script)
    assert two.command(path) == command


def test_a_path_that_nothing_touched_has_no_cause(two: watched.Outcome) -> None:
    assert two.causes["/srv/nobody"] is None


def test_every_path_in_the_upper_layers_has_a_cause(two: watched.Outcome) -> None:
    assert [path for path in two.upper if two.causes[path] is None] == []


def test_progress_names_each_script_in_its_order(two: watched.Outcome) -> None:
    scripts = list(dict.fromkeys((package, script) for package, script, _ in two.progress if script))
    assert [step for step in scripts if " " in step[1]] == [
        ("alpha", "prerm remove"),
        ("alpha", "postrm remove"),
        ("alpha", "postrm purge"),
        ("beta", "postrm remove"),
        ("beta", "postrm purge"),
    ]
    assert two.progress[-1][2] > 20


def test_an_install_names_the_preinst_and_postinst_of_new_packages(tmp_path: Path) -> None:
    files = {"/usr/share/new/data": "x", "/etc/new.conf": "x"}
    scripts = {"preinst": "mkdir -p /srv/made", "postinst": "touch /srv/configured"}
    archive = build_deb(tmp_path, "new", files=files, scripts=scripts)
    name = os.path.basename(archive)
    outcome = watched.run("dpkg", "--no-triggers", "-i", f"/archives/{name}", archives=(archive,))
    assert outcome.status == 0, outcome.output
    assert outcome.who("/srv/made") == ("new", "preinst install")
    assert outcome.command("/srv/made") == ["mkdir", "-p", "/srv/made"]
    assert outcome.who("/srv/configured") == ("new", "postinst configure")
    assert outcome.who("/usr/share/new/data") == ("new", None)
    assert outcome.who("/etc/new.conf") == ("new", None)


def test_a_process_that_outlives_its_script_keeps_its_package(tmp_path: Path) -> None:
    # It waits for the other package's script by a file, not by the clock.
    linger = "(while [ ! -e /run/now ]; do sleep 0.01; done; rm /srv/late; : > /run/done) >/dev/null 2>&1 &"
    foo = build_deb(tmp_path, "foo", scripts=on_purge(linger))
    bar = build_deb(
        tmp_path,
        "bar",
        scripts=on_purge(": > /run/now; while [ ! -e /run/done ]; do sleep 0.01; done; rm /srv/own"),
    )
    outcome = watched.run(
        *PURGE, "foo", "bar", installed=(foo, bar), files={"/srv/late": "1", "/srv/own": "1"}
    )
    assert outcome.who("/srv/late") == ("foo", "postrm purge")
    assert outcome.who("/srv/own") == ("bar", "postrm purge")


def test_odd_names_are_kept_byte_for_byte(tmp_path: Path) -> None:
    odd = "/srv/new\nline \udcff'\" (deleted)/x"
    outcome = purge(tmp_path, "rm -rf /srv/*", files={odd: "1"}, ask=(odd,))
    assert outcome.who(odd) == ("foo", "postrm purge")


def test_directories_renamed_to_and_fro_end_with_the_right_cause(tmp_path: Path) -> None:
    text = "cd /srv; mv a b; mv b a; mv a /srv/c; rm /srv/c/one; mkdir /srv/c/d; : > /srv/c/d/new"
    outcome = purge(tmp_path, text, files={"/srv/a/one": "1", "/srv/a/two": "2"}, ask=("/srv/a/two",))
    assert outcome.command("/srv/c/one") == ["rm", "/srv/c/one"]
    assert outcome.command("/srv/a/two") == ["mv", "a", "/srv/c"]
    assert outcome.command("/srv/c/d/new")[0] == "/bin/sh"


def test_changes_that_the_kernel_merges_in_a_long_queue_keep_their_paths(tmp_path: Path) -> None:
    files = {f"/srv/t/{number}/x": "1" for number in range(100)}
    outcome = purge(tmp_path, "rm -rf /srv/t", files=files, ask=tuple(files), unread=True)
    assert {outcome.who(path) for path in files} == {("foo", "postrm purge")}
    assert outcome.progress[-1][2] > 200  # a directory and a file each: none was lost


def test_a_directory_renamed_to_and_fro_in_one_long_queue_keeps_its_last_name(tmp_path: Path) -> None:
    text = """perl -e 'rename("/srv/a", "/srv/b"); rename("/srv/b", "/srv/a")'; rm /srv/a/one"""
    outcome = purge(tmp_path, text, files={"/srv/a/one": "1"}, unread=True)
    assert outcome.command("/srv/a/one") == ["rm", "/srv/a/one"]


def test_a_tree_removed_and_made_anew_is_put_down_to_the_same_script(tmp_path: Path) -> None:
    files = {f"/srv/t/{number}/x": "1" for number in range(20)}
    outcome = purge(tmp_path, "rm -rf /srv/t; mkdir /srv/t; : > /srv/t/new", files=files, ask=tuple(files))
    assert {outcome.who(path) for path in files} == {("foo", "postrm purge")}
    assert outcome.command("/srv/t/3/x") == ["rm", "-rf", "/srv/t"]


def test_a_rebuilt_linker_cache_does_not_blind_the_watcher(tmp_path: Path) -> None:
    # The mark follows the new inode as soon as the change is read, a moment later: hence some programs.
    some = "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done"
    text = f"cp /etc/ld.so.cache /etc/c; mv /etc/c /etc/ld.so.cache; {some}; rm /srv/x"
    outcome = purge(tmp_path, text, files={"/srv/x": "1"})
    assert outcome.command("/srv/x") == ["rm", "/srv/x"]


def test_a_missing_linker_cache_costs_at_most_the_command(tmp_path: Path) -> None:
    outcome = purge(tmp_path, "rm /etc/ld.so.cache; rm /srv/x", files={"/srv/x": "1"})
    assert outcome.who("/srv/x") == ("foo", "postrm purge")


def test_beyond_the_bound_of_programs_the_script_is_still_named(tmp_path: Path) -> None:
    text = "i=0; while [ $i -lt 30 ]; do /bin/true; i=$((i+1)); done; rm /srv/x"
    bar = build_deb(tmp_path, "bar", scripts=on_purge("rm /srv/y"))
    foo = build_deb(tmp_path, "foo", scripts=on_purge(text))
    files = {"/srv/x": "1", "/srv/y": "1"}
    outcome = watched.run(*PURGE, "foo", "bar", installed=(foo, bar), files=files, programs_per_script=10)
    assert outcome.who("/srv/x") == ("foo", "postrm purge")
    assert outcome.who("/srv/y") == ("bar", "postrm purge")
    assert outcome.command("/srv/y") == ["rm", "/srv/y"]


def test_without_permission_events_package_and_script_are_named_and_a_note_says_what_is_missing(
    tmp_path: Path,
) -> None:
    outcome = purge(tmp_path, "rm -rf /srv/x", files={"/srv/x/y": "1"}, without_permission=True)
    assert any("wait for the watcher" in note for note in outcome.notes)
    package, script = outcome.who("/srv/x")
    # Argument and command are seen only where the process still lives when the watcher looks.
    assert package == "foo"
    assert script in {"postrm", "postrm purge"}


def test_without_fanotify_the_only_package_is_named_and_a_note_says_so(tmp_path: Path) -> None:
    outcome = purge(
        tmp_path, "rm -rf /srv/x", files={"/srv/x/y": "1"}, packages=("foo",), without_fanotify=True
    )
    assert outcome.who("/srv/x") == ("foo", None)
    assert any("does not report changes" in note for note in outcome.notes)


def test_without_fanotify_nobody_is_named_among_several_packages(tmp_path: Path) -> None:
    outcome = purge(
        tmp_path, "rm -rf /srv/x", files={"/srv/x/y": "1"}, packages=("a", "b"), without_fanotify=True
    )
    assert outcome.causes["/srv/x"] is None


def test_a_slow_reader_still_tells_two_scripts_apart(tmp_path: Path) -> None:
    foo = build_deb(tmp_path, "foo", scripts=on_purge("rm -rf /srv/a"))
    bar = build_deb(tmp_path, "bar", scripts=on_purge("rm -rf /srv/b"))
    files = {f"/srv/{letter}/{number}": "1" for letter in "ab" for number in range(50)}
    outcome = watched.run(
        *PURGE, "foo", "bar", installed=(foo, bar), files=files, ask=tuple(files), delay=0.02
    )
    assert outcome.status == 0, outcome.output
    assert {outcome.who(path)[0] for path in files if path.startswith("/srv/a/")} == {"foo"}
    assert {outcome.who(path)[0] for path in files if path.startswith("/srv/b/")} == {"bar"}


def test_a_watcher_that_breaks_lets_the_rehearsal_go_on_and_says_so(tmp_path: Path) -> None:
    outcome = purge(tmp_path, "rm -rf /srv/x", files={"/srv/x/y": "1"}, break_after=3)
    assert outcome.upper["/srv/x"] == "whiteout"
    assert any("attribution incomplete" in note for note in outcome.notes)


def test_a_runaway_deletion_is_stopped_before_its_end(tmp_path: Path) -> None:
    outcome = purge(tmp_path, "rm -rf /srv; : > /home/after", many={"/srv/big": 20000}, stop=("/srv",))
    assert outcome.stopped
    assert "/home/after" not in outcome.upper
    first = next(path for path in outcome.upper if path.startswith("/srv/big/"))
    assert outcome.who(first) == ("foo", "postrm purge")


def test_dpkg_s_own_deletions_stop_nothing(tmp_path: Path) -> None:
    archive = build_deb(tmp_path, "foo", files={f"/srv/foo/{number}": "x" for number in range(10)})
    stop = ("/srv",)
    keep = {"/srv/keep": "1"}
    outcome = watched.run(*PURGE, "foo", installed=(archive,), files=keep, stop=stop, grace_seconds=0)
    assert outcome.status == 0 and not outcome.stopped
    assert outcome.upper["/srv/foo"] == "whiteout"


def test_a_deletion_beside_the_patterns_stops_nothing(tmp_path: Path) -> None:
    outcome = purge(tmp_path, "rm -rf /srv/x", files={"/srv/x/y": "1"}, stop=("/home",), grace_seconds=0)
    assert not outcome.stopped


@pytest.mark.parametrize("harm", ["rm /srv/x/y", "mv /srv/x /home/moved"])
def test_a_single_file_deleted_or_directory_renamed_away_stops(tmp_path: Path, harm: str) -> None:
    outcome = purge(
        tmp_path, f"{harm}\nsleep 100", files={"/srv/x/y": "1"}, stop=("/srv/x/y",), grace_seconds=0
    )
    assert outcome.stopped


@pytest.mark.parametrize(
    "tidying",
    [
        "rmdir /srv/ftp",
        "rmdir /srv/deep/er/est /srv/deep/er",
        "mv /srv/deep /home/moved",
        "mkdir /srv/new; : > /srv/new/x; mv /srv/new /home/moved",
    ],
)
def test_empty_directories_that_go_away_stop_nothing(tmp_path: Path, tidying: str) -> None:
    empty = {"/srv/ftp/": "", "/srv/deep/er/est/": ""}
    outcome = purge(tmp_path, tidying, files=empty, stop=("/srv",), grace_seconds=0)
    assert outcome.status == 0 and not outcome.stopped


@pytest.mark.parametrize("harm", ["rm -r /srv/deep", "rm /srv/deep/er/link", "mv /srv/deep /home/moved"])
def test_a_directory_with_no_more_than_a_link_in_it_stops(tmp_path: Path, harm: str) -> None:
    outcome = purge(
        tmp_path,
        f"{harm}\nsleep 100",
        files={"/srv/deep/er/est/": ""},
        links={"/srv/deep/er/link": "x"},
        stop=("/srv",),
        grace_seconds=0,
    )
    assert outcome.stopped
