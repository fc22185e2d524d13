# SPDX-License-Identifier: GPL-3.0-or-later
"""The hooks under the real apt and the real dpkg of Debian 12 and 13, on a throw-away machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.builder import build_deb
from rehearsal.hooked import APT_CONFIGURATION, DPKG_CONFIGURATION, ENVIRONMENT, LIBEXEC, HookedMachine
from rehearsal.machine import running_machine
from testbed.trees import base_tree

pytestmark = [pytest.mark.needs_root, pytest.mark.on_either_debian]
MANY = tuple(f"toy-many{n}" for n in range(8))


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("toys")
    return [
        build_deb(directory, "toy", files={"/etc/toy.conf": "x\n", "/srv/toy/file": "x\n"}),
        build_deb(directory, "other", files={"/srv/other/file": "x\n"}),
        build_deb(directory, "aptguard", files={"/srv/aptguard/file": "x\n"}),
        build_deb(directory, "broken", scripts={"postinst": "exit 1"}),
        # Takes Python away at the first call of dpkg; what follows must do without.
        build_deb(
            directory,
            "python-away",
            files={"/etc/python-away": "x\n"},
            scripts={"preinst": "mv /usr/bin/python3 /usr/bin/python3.away"},
        ),
        *(build_deb(directory, name, files={f"/srv/{name}": "x\n"}) for name in MANY),
    ]


@pytest.fixture(params=["12", "13"], ids=["debian12", "debian13"])
def hooked(request: pytest.FixtureRequest, toys: list[str], tmp_path: Path) -> Iterator[HookedMachine]:
    with running_machine(base_tree(request.param), str(tmp_path)) as machine:
        hooked = HookedMachine(machine)
        hooked.publish(toys)
        yield hooked


def test_a_block_stops_apt_before_anything_has_changed(hooked: HookedMachine) -> None:
    hooked.install("toy")
    hooked.answer(10)
    before = hooked.machine.read("/var/lib/dpkg/status")
    done = hooked.apt("purge", "toy")
    assert done.returncode == 100
    assert "engine: BLOCKED" in done.stdout
    assert "returned an error code (10)" in done.stdout
    assert hooked.machine.read("/var/lib/dpkg/status") == before
    assert os.path.exists(hooked.machine.path("/srv/toy/file"))
    assert hooked.approvals() == []


def test_the_hook_gets_protocol_3_on_a_descriptor_of_its_own(hooked: HookedMachine) -> None:
    hooked.install("toy")
    done = hooked.run("sh", "-c", "apt-get -y purge toy >/dev/null; cat", input="still here\n")
    assert done.stdout == "still here\n"
    (judge, *_) = hooked.questions()
    assert judge["method"] == "JudgeApt"
    assert judge["input"].startswith("VERSION 3\n")
    assert judge["input"].endswith("\ntoy 1.0 all none > - - none **REMOVE**\n")
    assert judge["parameters"]["frontend"] == ["apt-get", "-y", "purge", "toy"]
    assert judge["parameters"]["environment"]["DPKG_FRONTEND_LOCKED"] == "true"


@pytest.mark.parametrize(
    "command",
    [
        ("install", "toy", "other"),
        ("install", *MANY),
        ("install", "--reinstall", "toy"),
        ("remove", "toy"),
        ("purge", "toy"),
        ("install", "other", "toy-"),
        ("install", "--purge", "other", "toy-"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_the_dpkg_calls_of_an_allowed_run_are_recognised_without_asking(
    hooked: HookedMachine, command: tuple[str, ...]
) -> None:
    if command[:2] != ("install", "toy"):
        hooked.install("toy")
    done = hooked.apt(*command)
    assert done.returncode == 0, done.stdout
    assert hooked.methods() == ["JudgeApt"]
    assert "aptguard" not in done.stdout
    assert hooked.approvals() == []


def test_a_purge_of_what_a_removal_left_is_recognised(hooked: HookedMachine) -> None:
    hooked.install("toy")
    assert hooked.apt("remove", "toy").returncode == 0
    assert hooked.status("toy") == "rc"
    assert hooked.apt("purge", "toy").returncode == 0
    assert hooked.status("toy") == "un"
    assert hooked.methods() == ["JudgeApt", "JudgeApt"]


def test_the_approval_is_gone_after_a_run_that_failed(hooked: HookedMachine) -> None:
    assert hooked.apt("install", "broken").returncode == 100
    assert hooked.status("broken") == "iF"
    assert hooked.approvals() == []


def test_an_override_that_was_applied_is_used_up_when_the_run_is_over(hooked: HookedMachine) -> None:
    hooked.answer(0, outcome="pass by override", verdict="block")
    assert hooked.apt("install", "toy").returncode == 0
    asked = hooked.questions()
    assert [question["method"] for question in asked] == ["JudgeApt", "Finish"]
    assert asked[0]["parameters"]["run"] == asked[1]["parameters"]["run"]


def test_an_allowed_run_is_not_stopped_when_python_goes_half_way(hooked: HookedMachine) -> None:
    done = hooked.apt("install", "python-away", "toy")
    assert done.returncode == 0, done.stdout
    assert (hooked.status("python-away"), hooked.status("toy")) == ("ii", "ii")
    assert not os.path.exists(hooked.machine.path("/usr/bin/python3"))
    assert hooked.approvals() == []


def test_without_python_apt_and_dpkg_go_on_with_one_loud_line(hooked: HookedMachine) -> None:
    hooked.install("toy")
    os.rename(hooked.machine.path("/usr/bin/python3"), hooked.machine.path("/usr/bin/python3.away"))
    done = hooked.apt("purge", "toy")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("NOT GUARDED: /usr/bin/python3 cannot be run") == 1
    assert hooked.status("toy") == "un"
    done = hooked.run("dpkg", "-i", "/srv/repository/toy_1.0_all.deb")
    assert (done.returncode, done.stdout.count("NOT GUARDED")) == (0, 1)


def test_configuration_left_by_a_removed_package_stops_nothing(hooked: HookedMachine) -> None:
    hooked.install("toy")
    os.rename(hooked.machine.path(LIBEXEC), hooked.machine.path(LIBEXEC + ".away"))
    done = hooked.apt("purge", "toy")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("NOT GUARDED") == 1
    done = hooked.run("dpkg", "-i", "/srv/repository/toy_1.0_all.deb")
    assert (done.returncode, "aptguard" in done.stdout) == (0, False)


def test_a_hook_that_may_not_be_executed_stops_nothing(hooked: HookedMachine) -> None:
    hooked.install("toy")
    os.chmod(hooked.machine.path(f"{LIBEXEC}/apt-hook"), 0o644)
    done = hooked.apt("purge", "toy")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("NOT GUARDED") == 1


def test_with_a_broken_engine_removals_stop_and_all_else_goes_on(hooked: HookedMachine) -> None:
    hooked.install("toy", "aptguard")
    hooked.break_engine()
    done = hooked.apt("purge", "toy")
    assert done.returncode == 100
    assert hooked.status("toy") == "ii"
    assert "apt-get purge aptguard" in done.stdout
    assert hooked.apt("install", "other").returncode == 0
    done = hooked.apt("purge", "aptguard")
    assert done.returncode == 0, done.stdout
    assert hooked.status("aptguard") == "un"


def test_plain_dpkg_with_a_broken_engine_goes_by_the_same_rule(hooked: HookedMachine) -> None:
    hooked.install("toy", "aptguard")
    hooked.break_engine()
    assert hooked.run("dpkg", "-P", "toy").returncode == 2
    assert hooked.run("dpkg", "-P", "--force-depends", "aptguard", "toy").returncode == 2
    assert hooked.run("dpkg", "--purge", "--pending").returncode == 2
    assert hooked.status("toy") == "ii"
    assert hooked.run("dpkg", "-i", "/srv/repository/other_1.0_all.deb").returncode == 0
    assert hooked.run("dpkg", "-P", "aptguard").returncode == 0


def test_a_pause_lets_a_broken_guard_pass_everything(hooked: HookedMachine) -> None:
    hooked.install("toy", "other")
    hooked.break_engine()
    hooked.machine.write("/run/aptguard/pause", '{"until": 99999999999, "reason": "test"}', 0o600)
    assert hooked.apt("purge", "toy").returncode == 0
    assert hooked.run("dpkg", "-P", "other").returncode == 0


def test_hooks_given_another_protocol_are_blocked_by_the_rule(hooked: HookedMachine) -> None:
    hooked.install("toy")
    hooked.break_engine()
    for option in ("Version=1", "Version=2", "InfoFD=0"):
        done = hooked.apt("purge", "toy", "-o", f"DPkg::Tools::Options::{LIBEXEC}/apt-hook::{option}")
        assert done.returncode == 100, done.stdout
    assert hooked.status("toy") == "ii"


@pytest.mark.parametrize("descriptor", ["0", "20", "63"])
def test_any_descriptor_that_the_administrator_chooses_works(hooked: HookedMachine, descriptor: str) -> None:
    hooked.install("toy")
    done = hooked.apt("purge", "toy", "-o", f"DPkg::Tools::Options::{LIBEXEC}/apt-hook::InfoFD={descriptor}")
    assert done.returncode == 0, done.stdout
    assert hooked.questions()[0]["input"].startswith("VERSION 3\n")


@pytest.mark.parametrize(
    "command", ["-P toy", "-r toy", "--purge --pending", "-i /srv/repository/other_1.0_all.deb"]
)
def test_a_plain_call_of_dpkg_is_judged_and_stopped(hooked: HookedMachine, command: str) -> None:
    hooked.install("toy")
    hooked.answer(10)
    done = hooked.run("dpkg", *command.split())
    assert done.returncode == 2
    assert "engine: BLOCKED" in done.stdout
    (question,) = hooked.questions()
    assert question["method"] == "JudgeDpkg"
    assert question["parameters"]["argv"] == ["dpkg", *command.split()]
    assert question["parameters"]["root"] == ""
    assert question["parameters"]["admindir"] == "/var/lib/dpkg"
    assert (hooked.status("toy"), hooked.status("other")) == ("ii", "un")


def test_queries_of_dpkg_are_no_business_of_the_guard(hooked: HookedMachine) -> None:
    hooked.install("toy")
    hooked.answer(10)
    for command in ("-l", "-L toy", "--audit", "--get-selections", "--print-architecture"):
        assert hooked.run("dpkg", *command.split()).returncode == 0
    assert hooked.questions() == []


def make_another_root(hooked: HookedMachine) -> None:
    for part in ("info", "updates"):
        os.makedirs(hooked.machine.path(f"/alt/var/lib/dpkg/{part}"))
    hooked.machine.write("/alt/var/lib/dpkg/status", "")


def test_dpkg_on_another_root_is_left_alone_but_not_on_this_one_by_another_name(
    hooked: HookedMachine,
) -> None:
    hooked.install("toy")
    hooked.answer(10)
    make_another_root(hooked)
    hooked.run("dpkg", "--root=/alt", "--force-bad-path", "-i", "/srv/repository/other_1.0_all.deb")
    assert hooked.questions() == []
    assert os.path.exists(hooked.machine.path("/alt/srv/other/file"))
    for option in (
        "--root=/",
        "--root=/.",
        "--root=/proc/self/root",
        "--instdir=/alt/..",
        "--admindir=/alt/var/lib/dpkg",
    ):
        hooked.machine.write("/srv/questions", "")
        assert hooked.run("dpkg", option, "-P", "toy").returncode == 2, option
        assert hooked.methods() == ["JudgeDpkg"], option


@pytest.mark.parametrize(
    ("configured", "command"),
    [
        ("", "dpkg --root=/alt --force-all -P toy"),
        ("", "dpkg --root=/alt --force-script-chrootless -P toy"),
        ("", "dpkg --root=/alt --force bad-path,script-chrootless -P toy"),
        ("", "env DPKG_FORCE=script-chrootless dpkg --root=/alt -P toy"),
        ("force-script-chrootless", "dpkg --root=/alt -P toy"),
        ("force=all", "env DPKG_ROOT=/alt dpkg -P toy"),
        ("", "dpkg --instdir=/alt -P toy"),
        ("", "dpkg --root=/alt --admindir=/var/lib/dpkg -P toy"),
        ("", "dpkg --root=/alt --admindir=/proc/self/root/var/lib/dpkg -P toy"),
        ("instdir=/alt", "dpkg -P toy"),
    ],
)
def test_a_root_that_is_another_in_parts_only_is_asked_about(
    hooked: HookedMachine, configured: str, command: str
) -> None:
    hooked.install("toy")
    hooked.answer(10)
    make_another_root(hooked)
    hooked.machine.write("/etc/dpkg/dpkg.cfg.d/local", f"{configured}\n")
    assert hooked.run(*command.split()).returncode == 2
    (question,) = hooked.questions()
    assert question["method"] == "JudgeDpkg"
    assert question["parameters"]["root"] == "/alt"
    assert "DPKG_FORCE" in question["parameters"]["environment"]


# --- the approval cannot be used for anything else --------------------------------------------------------

_LINKS = "mkdir /tmp/links; ln -s /srv/repository/toy_1.0_all.deb /tmp/links/000-toy.deb"
_TWO_IN_ONE = (
    'mkdir /tmp/l; T=/srv/repository/toy_1.0_all.deb; ln -s "$T\n$T" /tmp/l/1'  # one name with a newline
)
_APPROVE = """
set -e
read -r stat </proc/$$/stat
set -- ${stat##*) }
shift 19
mkdir -p -m 700 /run/aptguard/approved
printf '%s\\n' "outcome pass" "$LINES_ALLOWED" end >/run/aptguard/approved/$$-$1
"""


def with_approval(hooked: HookedMachine, lines: str, script: str) -> int:
    """Run ``script`` in a shell that has an approval for ``lines``; return its exit code."""
    environment = {**ENVIRONMENT, "LINES_ALLOWED": lines}
    return hooked.run("sh", "-c", _APPROVE + script, environment=environment).returncode


@pytest.mark.parametrize(
    ("lines", "call", "passes"),
    [
        ("purge toy", "dpkg -P toy", False),  # not one of apt's own words
        ("purge toy", "dpkg --purge toy", True),
        ("purge toy", "dpkg --status-fd 1 --no-triggers --purge toy", True),
        ("purge toy", "dpkg --purge toy other", False),
        ("purge other", "dpkg --purge toy", False),
        ("purge toy:all", "dpkg --purge toy", False),
        ("purge to", "dpkg --purge toy", False),
        ("purge t*", "dpkg --purge toy", False),
        ("remove toy", "dpkg --purge toy", False),
        ("remove toy", "dpkg --purge --pending", False),
        ("purge toy", "dpkg --purge --pending", True),
        ("purge toy", "dpkg --force-all --purge toy", False),
        ("option --force-all\npurge toy", "dpkg --force-all --purge toy", True),
        ("option --force\noption all\npurge toy", "dpkg --force all --purge toy", True),
        ("option --force\npurge toy", "dpkg --force all --purge toy", False),
        ("option all\npurge toy", "dpkg --force all --purge toy", False),
        ("purge toy", "dpkg --admindir=/alt --purge toy", False),
        ("option --instdir=/alt\npurge toy", "dpkg --instdir=/alt --purge toy", False),
        ("purge toy", "sh -c 'dpkg --purge toy; exit $?'", False),  # a grandchild
        ("configure toy", "dpkg --configure --pending", True),
        ("x", "dpkg --configure toy", False),
        ("unpack /srv/repository/toy_1.0_all.deb", "dpkg --unpack /srv/repository/toy_1.0_all.deb", True),
        ("unpack /srv/repository/toy_1.0_all.deb", "dpkg --unpack /srv/repository/other_1.0_all.deb", False),
        ("unpack /srv/repository/toy_1.0_all.deb", "dpkg --unpack --recursive /srv/repository", False),
        ("unpack /srv/repository/toy_1.0_all.deb", f"{_LINKS}; dpkg --unpack --recursive /tmp/links", True),
        ("unpack /srv/repository/toy", f"{_LINKS}; dpkg --unpack --recursive /tmp/links", False),
        (
            "unpack /srv/repository/toy_1.0_all.deb",
            f"{_LINKS}; cp /srv/repository/other*.deb /tmp/links; dpkg --unpack --recursive /tmp/links",
            False,
        ),
        (
            "unpack /srv/repository/toy_1.0_all.deb",
            f"{_TWO_IN_ONE}; dpkg --unpack --recursive /tmp/l",
            False,
        ),
        ("unpack /srv/repository/toy_1.0_all.deb", "dpkg --install /srv/repository/toy_1.0_all.deb", False),
    ],
)
def test_an_approval_covers_what_it_lists_and_nothing_else(
    hooked: HookedMachine, lines: str, call: str, passes: bool
) -> None:
    hooked.install("toy")
    hooked.answer(10)
    code = with_approval(hooked, lines, f"{call}; exit $?")
    assert hooked.methods() == ([] if passes else ["JudgeDpkg"])
    assert (code == 0) == passes


def test_an_approval_of_a_process_that_had_the_same_id_counts_for_nothing(hooked: HookedMachine) -> None:
    hooked.install("toy")
    hooked.answer(10)
    rename = "for file in /run/aptguard/approved/*; do mv $file ${file%-*}-1; done; dpkg --purge toy; exit $?"
    assert with_approval(hooked, "purge toy", rename) == 2
    assert hooked.status("toy") == "ii"


def test_an_approval_that_was_cut_off_counts_for_nothing(hooked: HookedMachine) -> None:
    hooked.install("toy")
    hooked.answer(10)
    cut = "for file in /run/aptguard/approved/*; do sed -i '$d' $file; done; dpkg --purge toy; exit $?"
    assert with_approval(hooked, "purge toy", cut) == 2


def test_the_configuration_files_name_programs_that_are_there(hooked: HookedMachine) -> None:
    for file in (APT_CONFIGURATION, DPKG_CONFIGURATION):
        words = hooked.machine.read(file).replace(";", " ").replace('"', " ").split()
        programs = {word.partition("::Options::")[2] or word for word in words if LIBEXEC in word}
        assert programs
        for program in programs:
            assert os.access(hooked.machine.path(program), os.X_OK), program
