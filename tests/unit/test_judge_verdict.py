# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict: what unknowns, exceptions and severities make of it, and what may never become allow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from change_sets import (
    DONE,
    PURGE,
    REMOVE,
    TODAY,
    altered,
    default_policy,
    facts,
    file,
    gone,
    judged,
    made,
    rules,
    transaction,
)
from hypothesis import given
from hypothesis import strategies as st

from aptguard import serialization
from aptguard.changes.model import Change, FileType, Kind, Node
from aptguard.policy.finding import Severity, Verdict
from aptguard.policy.judge import judge, stop_prefixes
from aptguard.policy.model import CheckSetting, Policy, PolicyException
from aptguard.policy.pattern import Pattern
from aptguard.rehearsal.model import Effect, RehearsalResult, ScriptRun, StepResult, Unknown
from aptguard.transaction.model import Action

FOREIGN = facts(owners={"/usr/bin/find": "findutils"})
DEED = gone("/usr/bin/find")


def with_exception(**more: object) -> Policy:
    entry = PolicyException(name="toy", reason="known", packages=frozenset({"toy"}))
    return replace(default_policy(), exceptions=(replace(entry, **more),))  # type: ignore[arg-type]


def with_severity(severity: Severity) -> Policy:
    check = CheckSetting("foreign-file", severity, "Somebody's.", "x.toml:1")
    return replace(default_policy(), checks={**default_policy().checks, "foreign-file": check})


@pytest.mark.parametrize("paths", [(), (Pattern("/usr/bin/find"),)])
def test_what_nobody_was_seen_to_do_is_excused_only_where_all_may_do_it(paths: tuple[Pattern, ...]) -> None:
    unseen = gone("/usr/bin/find", by=None)
    two = transaction(("toy", Action.PURGE), ("other", Action.UPGRADE))
    policy = with_exception(paths=paths)
    assert judged(PURGE, [unseen], FOREIGN, policy).findings == ()
    assert rules(judged(two, [unseen], FOREIGN, policy)) == {"foreign-file"}
    both = with_exception(paths=paths, packages=frozenset({"toy", "other"}))
    assert judged(two, [unseen], FOREIGN, both).findings == ()
    assert judged(two, [DEED], FOREIGN, policy).findings == ()


def test_a_strangers_loss_of_the_network_is_no_upgrade_of_systemd() -> None:
    unseen = gone("/etc/network/interfaces", by=None)
    plan = transaction(("toy", Action.PURGE), ("systemd", Action.UPGRADE))
    assert judged(plan, [unseen]).verdict is Verdict.BLOCK


def test_a_complete_rehearsal_that_changed_nothing_is_allowed() -> None:
    assert judged(PURGE, ()).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    "lack",
    [
        {"complete": False},
        {"unknowns": (Unknown("mount", "vfat cannot be an upper", b"/boot/efi"),)},
        {"steps": (StepResult((b"dpkg",), 1, 0.1),)},
        {"steps": (StepResult((b"dpkg",), -9, 0.1),)},
        {"steps": (StepResult((b"dpkg",), None, 0.1),)},
        {"steps": ()},
    ],
    ids=["cut off", "unknown", "failed", "killed", "not reached", "no step"],
)
def test_a_rehearsal_that_lacks_something_is_unknown_and_says_why(lack: dict[str, object]) -> None:
    judgement = judged(PURGE, (made("/usr/bin/toy"),), **lack)
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.unknowns


def test_a_problem_in_the_facts_is_unknown() -> None:
    problem = Unknown("accounts", "a line cannot be read")
    judgement = judged(PURGE, (), facts(problems=(problem,)))
    assert (judgement.verdict, judgement.unknowns) == (Verdict.UNKNOWN, (problem,))


def test_a_blocking_finding_blocks_whatever_else_is_unknown() -> None:
    assert judged(PURGE, (DEED,), FOREIGN, complete=False).verdict is Verdict.BLOCK


def test_a_warning_alone_does_not_block() -> None:
    judgement = judged(PURGE, (DEED,), FOREIGN, with_severity(Severity.WARN))
    assert judgement.verdict is Verdict.ALLOW
    assert [finding.severity for finding in judgement.findings] == [Severity.WARN]


def test_an_ignored_check_says_nothing() -> None:
    assert judged(PURGE, (DEED,), FOREIGN, with_severity(Severity.IGNORE)).findings == ()


def test_a_warning_beside_an_unknown_is_unknown() -> None:
    judgement = judged(PURGE, (DEED,), FOREIGN, with_severity(Severity.WARN), complete=False)
    assert judgement.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("limits", "excused"),
    [
        ({}, True),
        ({"expires": "2027-01-15"}, True),
        ({"expires": "2027-01-14"}, False),
        ({"expires": "soon"}, False),
        ({"packages": frozenset({"other"})}, False),
        ({"packages": frozenset()}, True),
        ({"rules": frozenset({"foreign-file"})}, True),
        ({"rules": frozenset({"unowned-file"})}, False),
        ({"paths": (Pattern("/usr/bin/*"),)}, True),
        ({"paths": (Pattern("/usr/sbin/*"),)}, False),
    ],
)
def test_an_exception_excuses_exactly_what_it_names_until_its_last_day(
    limits: dict[str, object], excused: bool
) -> None:
    judgement = judged(PURGE, (DEED,), FOREIGN, with_exception(**limits))
    assert (judgement.verdict is Verdict.ALLOW) is excused


def test_an_exception_for_one_file_does_not_cover_its_neighbour() -> None:
    policy = with_exception(paths=(Pattern("/srv/one"),))
    judgement = judged(PURGE, (gone("/srv/one"), gone("/srv/two")), policy=policy)
    assert [finding.path for finding in judgement.findings] == [b"/srv/two"]


def test_an_exception_never_makes_an_unknown_known() -> None:
    assert judged(PURGE, (DEED,), FOREIGN, with_exception(), complete=False).verdict is Verdict.UNKNOWN


def test_a_refused_deletion_of_the_root_is_a_finding() -> None:
    for output in (
        b"rm: it is dangerous to operate recursively on '/'\nrm: use --no-preserve-root\n",
        b"Removing toy ...\nrm: cannot remove '/': Is a directory\n",
        "rm: cannot remove \u2018/\u2019: Is a directory\n".encode(),
    ):
        judgement = judged(PURGE, (), output=output)
        assert (judgement.verdict, rules(judgement)) == (Verdict.BLOCK, {"attempt"})


def test_a_deletion_refused_by_a_read_only_mount_is_a_finding_unless_it_is_of_the_kernel() -> None:
    words = b"rm: cannot remove '%s': Read-only file system\n"
    assert judged(PURGE, (), output=words % b"/boot/efi/EFI/x").findings[0].path == b"/boot/efi/EFI/x"
    assert judged(PURGE, (), output=words % b"/sys/kernel/x").verdict is Verdict.ALLOW
    assert judged(PURGE, (), output=b"rm: cannot remove '/var/x': No such file\n").verdict is Verdict.ALLOW


def test_a_deletion_that_the_machine_refuses_as_well_is_no_finding() -> None:
    words = b"rm: cannot remove '/srv/kept/x': Read-only file system\n"
    for points, verdict in (
        ({b"/": False, b"/srv": True}, Verdict.ALLOW),
        ({b"/": False, b"/srv": True, b"/srv/kept": False}, Verdict.BLOCK),
        ({b"/": False, b"/srv/kep": True, b"/srv/kept/x/y": True}, Verdict.BLOCK),
        ({b"/": True}, Verdict.ALLOW),
        ({}, Verdict.BLOCK),
    ):
        assert judged(PURGE, (), output=words, mount_points=points).verdict is verdict


@pytest.mark.parametrize(
    ("heading", "ran", "script"),
    [
        (b"Purging configuration files for toy (1.0-1) ...", ("postrm purge",), "postrm purge"),
        (b"Removing toy:amd64 (1.0) ...", ("prerm remove",), "prerm remove"),
        (b"Removing toy (1.0) ...", ("prerm remove", "postrm remove"), None),
        (b"Setting up toy (1.0) ...", (), None),
        (b"Preparing to unpack .../0-x/toy_1.0_all.deb ...", ("preinst install",), "preinst install"),
        (b"Preparing to unpack /a b/toy_2.deb ...", ("prerm upgrade",), "prerm upgrade"),
        (b"Unpacking toy (2) over (1) ...", ("postrm upgrade",), "postrm upgrade"),
        (b"Processing triggers for toy (1.0) ...", ("postinst triggered",), "postinst triggered"),
    ],
)
def test_an_attempt_is_told_with_the_package_and_the_script_that_dpkg_had_announced(
    heading: bytes, ran: tuple[str, ...], script: str | None
) -> None:
    refusal = b"rm: cannot remove '/boot/efi/x': Read-only file system\n"
    output = b"Setting up other (1) ...\n" + heading + b"\n" + refusal + b"Removing third (1) ...\n"
    runs = tuple(ScriptRun("toy", name, 0.0, 1.0) for name in ran)
    (finding,) = judged(PURGE, (), output=output, scripts=runs).findings
    assert (finding.package, finding.script) == ("toy", script)
    (finding,) = judged(PURGE, (), output=refusal + output, scripts=runs).findings
    assert (finding.package, finding.script) == (None, None)


def test_an_attempt_that_was_stopped_is_a_finding_and_other_effects_are_not() -> None:
    assert judged(PURGE, (), effects=(Effect("attempt", "unlink /boot/efi/x"),)).verdict is Verdict.BLOCK
    assert judged(PURGE, (), effects=(Effect("socket", "/run/dbus"),)).verdict is Verdict.ALLOW


def test_a_file_altered_through_one_hard_link_is_altered_under_its_other_names() -> None:
    known = facts(mine=["/opt/toy/libnss.so"], owners={"/usr/lib/libnss.so.2": "libc6"})
    change = replace(altered("/opt/toy/libnss.so", Kind.MODE), other_names=(b"/usr/lib/libnss.so.2",))
    assert [one.path for one in judged(PURGE, (change,), known).findings] == [b"/usr/lib/libnss.so.2"]
    unlinked = replace(gone("/opt/toy/libnss.so"), other_names=(b"/usr/lib/libnss.so.2",))
    assert judged(PURGE, (unlinked,), known).verdict is Verdict.ALLOW


def test_the_same_values_give_the_same_judgement_also_after_a_recording() -> None:
    recorded = RehearsalResult(
        steps=DONE, changes=(DEED, gone("/srv/x"), altered("/etc/y", Kind.MODE)), complete=True
    )
    replayed = serialization.loads(RehearsalResult, serialization.dumps(recorded))
    assert judge(PURGE, recorded, FOREIGN, default_policy(), TODAY) == judge(
        PURGE, replayed, FOREIGN, default_policy(), TODAY
    )


def test_the_early_stop_never_comes_for_a_place_that_an_exception_reaches() -> None:
    prefixes = stop_prefixes(default_policy())
    assert b"/root/.ssh" in prefixes
    assert b"/home" in prefixes
    assert b"/root" not in prefixes  # caches may go
    assert b"/usr/local" not in prefixes
    assert b"/opt" not in prefixes
    assert stop_prefixes(with_exception()) == ()


def test_what_stops_a_rehearsal_early_is_blocked_by_the_judge() -> None:
    for prefix in stop_prefixes(default_policy()):
        for below in (b"", b"/x", b"/x/y"):
            change = replace(gone("/x"), path=prefix + below)
            assert judged(REMOVE, (change,)).verdict is Verdict.BLOCK, prefix + below


NODES = st.builds(
    Node,
    st.sampled_from(FileType),
    st.integers(0, 0o7777),
    st.integers(0, 70_000),
    st.integers(0, 70_000),
    st.integers(0, 10**12),
    st.integers(0, 2**62),
    st.none() | st.binary(max_size=8),
)
COMPONENT = st.sampled_from([b"etc", b"var", b"lib", b"toy", b"srv", b"usr", b"bin", b"dpkg"]) | st.binary(
    min_size=1, max_size=6
).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
PATHS = st.lists(COMPONENT, max_size=5).map(lambda parts: b"/" + b"/".join(parts))
CHANGES = st.builds(Change, PATHS, st.frozensets(st.sampled_from(Kind)), st.none() | NODES, st.none() | NODES)


@given(st.lists(CHANGES, max_size=12), st.booleans(), st.integers(-15, 255) | st.none())
def test_no_change_set_whatever_crashes_the_judge_or_is_allowed_when_it_is_not_whole(
    changes: list[Change], complete: bool, status: int | None
) -> None:
    judgement = judged(PURGE, changes, complete=complete, steps=(StepResult((b"dpkg",), status, 0.0),))
    whole = complete and status == 0
    assert whole or judgement.verdict is not Verdict.ALLOW
    assert (judgement.verdict is Verdict.BLOCK) == any(
        f.severity is Severity.BLOCK for f in judgement.findings
    )


@given(st.lists(CHANGES, max_size=12, unique_by=lambda change: change.path))
def test_every_path_that_breaks_a_rule_is_counted_in_exactly_one_finding(changes: list[Change]) -> None:
    alone = sum(bool(judged(PURGE, (change,)).findings) for change in changes if not change.created)
    together = judged(PURGE, [change for change in changes if not change.created])
    assert sum(finding.count for finding in together.findings if finding.path is not None) == alone


@given(PATHS)
def test_an_unowned_file_outside_own_and_shared_places_never_vanishes_in_silence(path: bytes) -> None:
    outside = replace(gone("/x", file(5)), path=b"/data" + path.rstrip(b"/"))
    assert judged(PURGE, (outside,)).verdict is Verdict.BLOCK
