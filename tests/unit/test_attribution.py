# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changed what, from an ordered list of events."""

from __future__ import annotations

from attribution_events import CHILD, DPKG, DPKG_ARGV, DPKG_STARTS, RM, entered, gone, script
from hypothesis import given
from hypothesis import strategies as st

from aptguard.changes.model import Cause
from aptguard.rehearsal.attribution import (
    Action,
    Attribution,
    Event,
    PathChanged,
    ProcessSeen,
    ScriptStarted,
    causes,
)


def test_a_deletion_by_a_program_of_a_script_names_package_script_argument_and_command() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(CHILD, b"foo.postrm", b"purge"),
            ProcessSeen(RM, (CHILD, DPKG), (b"rm", b"-rf", b"/srv")),
            gone(RM, b"/srv"),
        ]
    )
    assert found[b"/srv"] == Cause("foo", "postrm purge", (b"rm", b"-rf", b"/srv"))


def test_a_change_by_the_shell_itself_names_the_command_line_of_the_script() -> None:
    found = causes([DPKG_STARTS, *script(CHILD, b"foo.postrm", b"purge"), entered(CHILD, b"/x")])
    assert found[b"/x"].command == (b"/bin/sh", b"/var/lib/dpkg/info/foo.postrm", b"purge")


def test_dpkg_s_own_deletion_has_no_script_even_right_after_a_script() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(CHILD, b"foo.prerm", b"remove"),
            gone(CHILD, b"/a"),
            gone(DPKG, b"/usr/bin/foo"),
        ]
    )
    assert found[b"/a"].script == "prerm remove"
    assert found[b"/usr/bin/foo"] == Cause(None, None, DPKG_ARGV)


def test_dpkg_s_own_deletion_gets_the_package_whose_record_dpkg_rewrites_afterwards() -> None:
    found = causes(
        [
            DPKG_STARTS,
            gone(DPKG, b"/usr/bin/foo"),
            entered(DPKG, b"/var/lib/dpkg/updates/0001"),
            gone(DPKG, b"/var/lib/dpkg/info/foo:amd64.list"),
            gone(DPKG, b"/usr/bin/bar"),
            gone(DPKG, b"/var/lib/dpkg/info/bar.list"),
            gone(DPKG, b"/usr/bin/rest"),
        ]
    )
    assert found[b"/usr/bin/foo"].package == "foo"
    assert found[b"/usr/bin/bar"].package == "bar"
    assert found[b"/usr/bin/rest"].package is None
    assert found[b"/var/lib/dpkg/updates/0001"].package is None
    assert found[b"/var/lib/dpkg/info/foo:amd64.list"].package == "foo"


def test_dpkg_s_own_deletion_gets_the_package_whose_postrm_comes_next() -> None:
    found = causes([DPKG_STARTS, gone(DPKG, b"/usr/bin/foo"), *script(CHILD, b"foo.postrm", b"remove")])
    assert found[b"/usr/bin/foo"] == Cause("foo", None, DPKG_ARGV)


def test_dpkg_s_own_deletion_is_not_given_to_a_package_whose_prerm_comes_next() -> None:
    found = causes(
        [
            DPKG_STARTS,
            gone(DPKG, b"/old"),
            *script(CHILD, b"bar.prerm", b"remove"),
            *script(CHILD + 1, b"bar.postrm", b"remove"),
        ]
    )
    assert found[b"/old"].package is None


def test_a_helper_of_dpkg_is_dpkg_and_no_script() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(CHILD, b"foo.preinst", b"install"),
            gone(DPKG, b"/z"),
            ProcessSeen(RM, (DPKG,), (b"rm",)),
            gone(RM, b"/a"),
        ]
    )
    assert found[b"/a"].script is None


def test_two_scripts_in_a_row_each_keep_their_own_deletions() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(20, b"foo.postrm", b"purge"),
            gone(20, b"/foo"),
            *script(30, b"bar.postrm", b"purge"),
            gone(30, b"/bar"),
        ]
    )
    assert (found[b"/foo"].package, found[b"/bar"].package) == ("foo", "bar")


def test_a_process_left_behind_by_one_script_is_not_taken_for_the_next_one() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(20, b"foo.prerm", b"remove"),
            ProcessSeen(21, (20,), (b"sleeper",)),
            *script(30, b"bar.postrm", b"purge"),
            gone(21, b"/late"),
            ProcessSeen(22, (21, 1), (b"rm",)),
            gone(22, b"/later"),
        ]
    )
    assert found[b"/late"].package == found[b"/later"].package == "foo"


def test_an_orphan_is_told_by_the_environment_that_dpkg_gave_its_script() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(20, b"foo.prerm", b"remove"),
            *script(30, b"bar.postrm", b"purge"),
            ProcessSeen(40, (), (b"rm",), (b"foo", b"prerm")),
            gone(40, b"/late"),
        ]
    )
    assert found[b"/late"] == Cause("foo", "prerm remove", (b"rm",))


def test_an_orphan_without_environment_belongs_to_the_script_that_runs() -> None:
    found = causes([DPKG_STARTS, *script(20, b"foo.postrm", b"purge"), ProcessSeen(40, ()), gone(40, b"/x")])
    assert found[b"/x"] == Cause("foo", "postrm purge")


def test_a_process_that_nobody_saw_belongs_to_the_script_that_runs() -> None:
    found = causes([DPKG_STARTS, *script(20, b"foo.postrm", b"purge"), gone(99, b"/x")])
    assert found[b"/x"] == Cause("foo", "postrm purge")


def test_a_process_that_nobody_saw_belongs_to_no_script_once_dpkg_has_acted_itself() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(20, b"foo.postrm", b"purge"),
            gone(DPKG, b"/var/lib/dpkg/info/foo.list"),
            gone(99, b"/x"),
        ]
    )
    assert found[b"/x"].script is None


def test_without_a_strict_order_an_act_of_dpkg_does_not_end_the_script() -> None:
    attribution = Attribution(ordered=False)
    attribution.apply([DPKG_STARTS, *script(20, b"foo.postrm", b"purge"), gone(DPKG, b"/a"), gone(99, b"/x")])
    assert attribution.cause(b"/x") == Cause("foo", "postrm purge")


def test_a_script_cannot_put_its_deeds_down_to_another_package_by_its_environment() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(20, b"evil.postrm", b"purge"),
            ProcessSeen(21, (20,), (b"rm",), (b"innocent", b"postrm")),
            gone(21, b"/x"),
        ]
    )
    assert found[b"/x"].package == "evil"


def test_a_script_whose_start_was_not_seen_is_known_by_its_environment() -> None:
    argv = (b"/bin/sh", b"/var/lib/dpkg/tmp.ci/preinst", b"install")
    found = causes([DPKG_STARTS, ProcessSeen(20, (DPKG,), argv, (b"foo", b"preinst")), entered(20, b"/x")])
    assert found[b"/x"] == Cause("foo", "preinst install", argv)


def test_a_preinst_of_a_new_package_gets_its_package_from_the_environment() -> None:
    argv = (b"/bin/sh", b"/var/lib/dpkg/tmp.ci/preinst", b"install")
    found = causes(
        [
            DPKG_STARTS,
            ScriptStarted(20, b"preinst"),
            ProcessSeen(20, (DPKG,), argv, (b"foo", b"preinst")),
            entered(20, b"/x"),
        ]
    )
    assert (found[b"/x"].package, found[b"/x"].script) == ("foo", "preinst install")


def test_a_script_that_debconf_runs_again_stays_one_script() -> None:
    events = [
        DPKG_STARTS,
        *script(20, b"foo.postinst", b"configure"),
        ProcessSeen(
            20,
            (DPKG,),
            (b"perl", b"/usr/share/debconf/frontend", b"/var/lib/dpkg/info/foo.postinst", b"configure"),
        ),
        ProcessSeen(21, (20,), ()),
        *script(21, b"foo.postinst", b"configure"),
        entered(21, b"/x"),
        entered(20, b"/y"),
    ]
    found = causes(events)
    assert found[b"/x"].script == found[b"/y"].script == "postinst configure"


def test_the_outer_script_is_named_again_after_a_script_inside_it() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(20, b"foo.postinst", b"configure"),
            *script(21, b"foo.config", b"configure"),
            entered(21, b"/inner"),
            entered(20, b"/outer"),
        ]
    )
    assert found[b"/inner"].script == "config configure"
    assert found[b"/outer"].script == "postinst configure"


def test_a_number_that_is_used_again_by_another_process_forgets_the_first() -> None:
    attribution = Attribution()
    attribution.apply([DPKG_STARTS, *script(20, b"foo.postrm", b"purge"), gone(20, b"/a")])
    attribution.forget(20)
    attribution.apply([*script(20, b"bar.postrm", b"purge"), gone(20, b"/b")])
    assert attribution.cause(b"/a") == Cause(
        "foo", "postrm purge", (b"/bin/sh", b"/var/lib/dpkg/info/foo.postrm", b"purge")
    )
    cause = attribution.cause(b"/b")
    assert cause is not None and cause.package == "bar"


def test_a_process_that_executes_another_program_changes_its_command_from_then_on() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(20, b"foo.postrm", b"purge"),
            entered(20, b"/a"),
            ProcessSeen(20, (DPKG,), (b"rm", b"/b")),
            gone(20, b"/b"),
        ]
    )
    assert found[b"/a"].command[0] == b"/bin/sh"
    assert found[b"/b"].command == (b"rm", b"/b")
    assert found[b"/b"].script == "postrm purge"


def test_the_last_one_to_change_a_path_is_named() -> None:
    found = causes(
        [
            DPKG_STARTS,
            *script(20, b"foo.postrm", b"purge"),
            gone(20, b"/x"),
            *script(30, b"bar.postrm", b"purge"),
            entered(30, b"/x"),
        ]
    )
    assert found[b"/x"].package == "bar"


def test_the_only_package_is_named_where_nothing_was_seen_and_else_nobody() -> None:
    assert Attribution(only_package=b"foo").cause(b"/x") == Cause("foo", None)
    assert Attribution().cause(b"/x") is None


def test_more_paths_than_the_limit_are_dropped_and_that_is_said() -> None:
    attribution = Attribution(limit=2)
    attribution.apply(entered(1, path) for path in (b"/a", b"/b", b"/a", b"/c"))
    assert attribution.truncated
    assert attribution.cause(b"/b") is not None
    assert attribution.cause(b"/c") is None


def test_exactly_as_many_paths_as_the_limit_are_no_truncation() -> None:
    attribution = Attribution(limit=2)
    attribution.apply(entered(1, path) for path in (b"/a", b"/b", b"/a"))
    assert not attribution.truncated


def test_a_package_name_that_is_no_utf_8_is_shown_with_escapes() -> None:
    found = causes([ScriptStarted(20, b"f\xff.postrm"), gone(20, b"/x")])
    assert found[b"/x"].package == "f\\xff"


PIDS = st.integers(1, 6)
PATHS = st.sampled_from([b"/a", b"/a/b", b"/a/b/c", b"/d", b"/", b"/var/lib/dpkg/info/foo.list"])
EVENTS = st.one_of(
    st.builds(
        ProcessSeen,
        PIDS,
        st.lists(PIDS, max_size=3).map(tuple),
        st.just((b"dpkg",)) | st.just(()),
        st.none() | st.just((b"foo", b"postrm")),
    ),
    st.builds(ScriptStarted, PIDS, st.sampled_from([b"foo.postrm", b"bar.prerm", b"preinst", b"x.config"])),
    st.builds(PathChanged, PIDS, PATHS, st.sampled_from(Action), st.booleans()),
)


@given(st.lists(EVENTS, max_size=40))
def test_every_path_in_any_stream_has_a_cause_and_scripts_always_name_one_that_was_seen(
    events: list[Event],
) -> None:
    found = causes(events)
    assert set(found) == {event.path for event in events if isinstance(event, PathChanged)}
    assert {cause.package for cause in found.values()} <= {None, "foo", "bar", "x"}


@given(st.lists(st.tuples(PIDS, st.sampled_from([b"/a", b"/b", b"/c/d"])), min_size=1, max_size=60))
def test_in_a_stream_of_plain_deletions_the_owner_of_the_last_one_is_named(
    deletions: list[tuple[int, bytes]],
) -> None:
    events: list[Event] = []
    for pid in range(1, 7):
        events += [ScriptStarted(pid, b"p%d.postrm" % pid)]
    events += [gone(pid, path) for pid, path in deletions]
    expected = {path: f"p{pid}" for pid, path in deletions}
    assert {path: cause.package for path, cause in causes(events).items()} == expected
