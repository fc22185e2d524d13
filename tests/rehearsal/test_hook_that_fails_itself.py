# SPDX-License-Identifier: GPL-3.0-or-later
"""When a part of the hooks itself fails, under the real apt and dpkg: never a half-done run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.builder import build_deb
from rehearsal.hooked import LIBEXEC, HookedMachine
from rehearsal.machine import running_machine
from testbed.trees import base_tree

pytestmark = pytest.mark.needs_root

RULES = f"{LIBEXEC}/hooklib/rules.sh"
# As dash does when it cannot fork: it ends with 2, in the middle of the script.
BREAKS_OFF = "\n{name}() {{\n    shift 99\n}}\n"
ONCE = (
    '\nsay() {\n    [ -n "${once:-}" ] || { once=1; shift 99; }\n    printf "aptguard: %s\\n" "$1" >&2\n}\n'
)
_APPROVE = """
read -r stat </proc/$$/stat
set -- ${stat##*) }
shift 19
mkdir -p -m 700 /run/aptguard/approved
printf '%s\\n' 'outcome pass' "$ALLOWED" end >/run/aptguard/approved/$$-$1
"""


@pytest.fixture(params=["12", "13"], ids=["debian12", "debian13"])
def hooked(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HookedMachine]:
    directory = tmp_path_factory.mktemp("toys")
    with running_machine(base_tree(request.param), str(tmp_path)) as machine:
        hooked = HookedMachine(machine)
        hooked.publish(
            [build_deb(directory, "toy", files={"/srv/toy/file": "x\n"}), build_deb(directory, "other")]
        )
        hooked.install("toy")
        yield hooked


def break_rules(hooked: HookedMachine, more: str) -> None:
    hooked.machine.write(RULES, hooked.machine.read(RULES) + more)


def with_approval(hooked: HookedMachine, allowed: str, call: str) -> int:
    """Run ``call`` in a shell that has an approval for the lines ``allowed``; return its exit code."""
    environment = {"PATH": os.environ["PATH"], "ALLOWED": allowed}
    return hooked.run("sh", "-c", f"{_APPROVE}{call}; exit $?", environment=environment).returncode


def test_a_shell_that_breaks_off_stops_removals_and_nothing_else(hooked: HookedMachine) -> None:
    break_rules(hooked, BREAKS_OFF.format(name="process"))
    done = hooked.run("dpkg", "-P", "toy")
    assert (done.returncode, hooked.status("toy")) == (2, "ii")
    assert "BLOCKED - this call of dpkg has changed nothing: its hook failed" in done.stdout
    done = hooked.run("dpkg", "-i", "/srv/repository/other_1.0_all.deb")
    assert (done.returncode, hooked.status("other")) == (0, "ii")
    assert "NOT JUDGED" in done.stdout


def test_a_shell_that_breaks_off_does_not_stop_an_approved_run_half_way(hooked: HookedMachine) -> None:
    hooked.break_engine()
    break_rules(hooked, ONCE)
    assert with_approval(hooked, "remove toy", "dpkg --purge toy") == 0
    assert hooked.status("toy") == "un"


def test_a_search_that_fails_in_a_long_list_is_no_approval(hooked: HookedMachine) -> None:
    hooked.answer(10)
    many = [f"toy-{'x' * 60}-{number}" for number in range(80)]
    allowed = "\n".join(f"purge {name}" for name in ("toy", *many))
    call = f"dpkg --purge toy {' '.join(many)}"
    assert with_approval(hooked, allowed, call) != 2  # dpkg itself does not know the many
    assert hooked.methods() == []
    hooked.machine.write("/usr/bin/grep", "#!/bin/sh\nexit 2\n", 0o755)
    assert with_approval(hooked, allowed, call) == 2
    assert hooked.methods() == ["JudgeDpkg"]


def test_a_removal_that_is_yet_to_be_judged_is_part_of_no_allowed_run(hooked: HookedMachine) -> None:
    hooked.break_engine()
    assert with_approval(hooked, "unsettled\nremove other", "dpkg --purge toy") == 2
    assert hooked.status("toy") == "ii"
    break_rules(hooked, ONCE)
    assert with_approval(hooked, "unsettled\nremove other", "dpkg --purge toy") == 2
    assert hooked.status("toy") == "ii"


def test_where_nobody_can_say_who_asks_the_call_is_judged(hooked: HookedMachine) -> None:
    hooked.answer(10)
    hooked.machine.write("/usr/bin/id", "#!/bin/sh\nexit 1\n", 0o755)
    assert hooked.run("dpkg", "-P", "toy").returncode == 2
    assert hooked.methods() == ["JudgeDpkg"]


@pytest.mark.parametrize(
    ("as_one", "code", "methods"),
    [
        (True, 100, ["JudgeApt"]),
        (False, 0, ["JudgeApt", "JudgeDpkg", "JudgeDpkg", "JudgeDpkg"]),
    ],
)
def test_without_room_for_an_approval_what_passes_as_one_only_ends_before_anything_has_changed(
    hooked: HookedMachine, as_one: bool, code: int, methods: list[str]
) -> None:
    hooked.machine.write("/run/aptguard/approved", "a file where the directory should be\n")
    hooked.answer(0, as_one=as_one, verdict="block")
    done = hooked.apt("purge", "toy")
    assert (done.returncode, hooked.methods()) == (code, methods), done.stdout
    assert hooked.status("toy") == ("ii" if code else "un")
    assert "cannot leave its approval" in done.stdout


def test_what_nobody_could_list_is_approved_as_a_whole(hooked: HookedMachine) -> None:
    hooked.answer(0, outcome="pass while paused", verdict="unknown", everything=True)
    assert hooked.apt("purge", "toy").returncode == 0
    assert hooked.methods()[:1] == ["JudgeApt"] and "JudgeDpkg" not in hooked.methods()
    assert hooked.status("toy") == "un"
