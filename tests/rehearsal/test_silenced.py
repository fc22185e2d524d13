# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's own hooks do nothing in a rehearsal, and whoever lays hands on them there is seen."""

from __future__ import annotations

import pytest

from aptguard.changes.model import Kind
from aptguard.rehearsal.model import RehearsalResult, Step
from rehearsal.machine import Machine, shell

pytestmark = pytest.mark.needs_root

HOOK = "/usr/libexec/guard/hook"
CONFIGURATION = "/etc/dpkg/dpkg.cfg.d/guard"
REFUSING = "#!/bin/sh\n# stops every call\nexit 10\n"
DPKG = Step((b"/usr/bin/dpkg", b"--configure", b"--pending"))


@pytest.fixture
def guarded(machine: Machine) -> Machine:
    machine.write(CONFIGURATION, f"pre-invoke=if [ -x {HOOK} ]; then exec {HOOK}; fi\n")
    machine.write(HOOK, REFUSING, 0o755)
    return machine


def rehearse(machine: Machine, *steps: Step) -> RehearsalResult:
    return machine.rehearse(*steps, silenced=(HOOK.encode(), b"/usr/libexec/guard/missing"))


def kinds(result: RehearsalResult, path: str) -> set[Kind]:
    return {kind for change in result.changes if change.path == path.encode() for kind in change.kinds}


def test_a_silenced_hook_stops_nothing_and_is_no_change(guarded: Machine) -> None:
    assert not guarded.rehearse(DPKG).complete
    result = rehearse(guarded, DPKG, DPKG)
    assert result.complete, result.unknowns
    assert not kinds(result, HOOK)
    assert not kinds(result, CONFIGURATION)
    assert guarded.read(HOOK) == REFUSING


@pytest.mark.parametrize(
    ("deed", "path", "expected"),
    [
        (f"rm -f {CONFIGURATION}", CONFIGURATION, {Kind.DELETED}),
        (f"sed -i s/^/#/ {CONFIGURATION}", CONFIGURATION, {Kind.CONTENT}),
        (f": >{CONFIGURATION}", CONFIGURATION, {Kind.CONTENT}),
        (f"mv {CONFIGURATION} {CONFIGURATION}.disabled", CONFIGURATION, {Kind.DELETED}),
        (f"rm -f {HOOK}", HOOK, {Kind.DELETED}),
        (f"chmod a-x {HOOK}", HOOK, {Kind.CONTENT, Kind.MODE}),
        (f"sed -i s/10/0/ {HOOK}", HOOK, {Kind.CONTENT}),
        (f"echo 'exit 0' >{HOOK}", HOOK, {Kind.CONTENT}),
        (f"cp -p {HOOK} /tmp/h; cat /tmp/h >{HOOK}; touch -r /tmp/h {HOOK}", HOOK, {Kind.CONTENT}),
        (f"ln -sf /bin/true {HOOK}", HOOK, {Kind.TYPE}),
    ],
)
def test_what_a_script_does_to_the_hooks_is_told(
    guarded: Machine, deed: str, path: str, expected: set[Kind]
) -> None:
    result = rehearse(guarded, shell(deed), DPKG)
    assert expected <= kinds(result, path)
    assert guarded.read(HOOK) == REFUSING


def test_a_hook_that_is_brought_half_way_is_silenced_too_and_told_as_it_came(guarded: Machine) -> None:
    newer = REFUSING.replace("every", "each")
    bring = f"printf '%s' '{newer}' >{HOOK}.new; chmod 755 {HOOK}.new; mv {HOOK}.new {HOOK}"
    result = rehearse(guarded, shell(bring), DPKG)
    assert result.complete, result.unknowns
    assert kinds(result, HOOK) == {Kind.CONTENT}
    (change,) = [one for one in result.changes if one.path == HOOK.encode()]
    assert change.after is not None
    assert change.after.size == len(newer)


def test_a_hook_on_a_read_only_file_system_is_silenced(guarded: Machine) -> None:
    directory = HOOK.rpartition("/")[0]
    guarded.run("mount", "-t", "tmpfs", "hooks", directory)
    guarded.write(HOOK, REFUSING, 0o755)
    guarded.run("mount", "-o", "remount,ro", directory)
    assert not guarded.rehearse(DPKG).complete
    result = rehearse(guarded, DPKG)
    assert result.complete, result.unknowns
    assert not kinds(result, HOOK)
