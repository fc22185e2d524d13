# SPDX-License-Identifier: GPL-3.0-or-later
"""What status says of the hooks, of an empty rehearsal, and of programs that began before the hook."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from aptguard.guard import condition
from aptguard.guard.condition import (
    Check,
    State,
    apt_hook_checks,
    calls_dpkg_hook,
    maps_libapt,
    older_apt_users,
    rehearsal_checks,
)
from aptguard.rehearsal.model import RehearsalResult, Unknown

HOOKS = Path(__file__).resolve().parent.parent.parent / "hooks"
DPKG_LINE = (
    b"pre-invoke=if [ -x /usr/libexec/aptguard/dpkg-hook ]; then exec /usr/libexec/aptguard/dpkg-hook; fi"
)
DPKG_COMMAND = DPKG_LINE.removeprefix(b"pre-invoke=")


def test_dpkgs_hook_is_wired_by_the_file_that_is_shipped() -> None:
    assert calls_dpkg_hook((HOOKS / "dpkg.cfg.d" / "aptguard").read_bytes())


@pytest.mark.parametrize(
    "line",
    [
        DPKG_LINE,
        DPKG_LINE + b" \t\r\n",
        b"pre-invoke " + DPKG_COMMAND,
        b"pre-invoke = " + DPKG_COMMAND,
        b"pre-invoke:\t" + DPKG_COMMAND,
        b'pre-invoke="' + DPKG_COMMAND + b'"',
        b"pre-invoke='" + DPKG_COMMAND + b"'\n",
        b"# judged by aptguard\n\nno-debsig\n" + DPKG_LINE + b"\nlog /var/log/dpkg.log\n",
    ],
)
def test_dpkgs_hook_is_wired_by_each_form_in_which_dpkg_reads_the_line(line: bytes) -> None:
    assert calls_dpkg_hook(line)


@pytest.mark.parametrize(
    "configuration",
    [
        b"",
        b"\0" * 200,
        b"#" + DPKG_LINE + b"\n",
        b"# " + DPKG_LINE + b"\n",
        b" " + DPKG_LINE + b"\n",  # refused by dpkg
        DPKG_COMMAND + b"\n",
        b"post-invoke=" + DPKG_COMMAND + b"\n",
        b"pre-invoke-" + DPKG_COMMAND + b"\n",
        b"pre-invoke='" + DPKG_COMMAND + b"\n",
        b"pre-invoke=# " + DPKG_COMMAND + b"\n",
        b"pre-invoke=" + DPKG_COMMAND + b" || true\n",
        b"pre-invoke=true # /usr/libexec/aptguard/dpkg-hook\n",
        b"pre-invoke=/usr/libexec/aptguard/dpkg-hook || true\n",
        b"pre-invoke=\n" + DPKG_COMMAND + b"\n",
        b"pre-invoke=if [ -x /usr/libexec/aptguard/dpkg-hook ]; then exec /usr/libexec/aptguard/dpkg-hoo",
    ],
)
def test_dpkgs_hook_is_not_wired_by_a_file_that_does_not_call_it_and_heed_it(configuration: bytes) -> None:
    assert not calls_dpkg_hook(configuration)


@pytest.fixture
def dpkg_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the hook's program and no configuration yet."""
    program = tmp_path / "dpkg-hook"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "rules.sh").write_text("run=/run/aptguard\n")
    monkeypatch.setattr(condition, "DPKG_HOOK", str(program))
    monkeypatch.setattr(condition, "HOOK_RULES", str(tmp_path / "rules.sh"))
    monkeypatch.setattr(condition, "DPKG_CONFIGURATION", str(tmp_path / "aptguard"))
    return tmp_path / "aptguard"


def test_dpkgs_hook_is_wired_while_its_line_and_its_program_are_there(dpkg_configuration: Path) -> None:
    assert not condition.dpkg_hook_is_wired()
    dpkg_configuration.write_bytes(DPKG_LINE + b"\n")
    assert condition.dpkg_hook_is_wired()
    assert condition._dpkg_hook().state is State.OK
    os.chmod(condition.DPKG_HOOK, 0o644)
    assert not condition.dpkg_hook_is_wired()


@pytest.mark.parametrize("name", ["dpkg-hook", "rules.sh"])
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "emptied"])
def test_dpkgs_hook_is_not_wired_without_its_program_or_its_rules(
    dpkg_configuration: Path, name: str, gone: bool
) -> None:
    dpkg_configuration.write_bytes(DPKG_LINE + b"\n")
    lacking = dpkg_configuration.parent / name
    if gone:
        lacking.unlink()
    else:
        lacking.write_bytes(b"")
    assert not condition.dpkg_hook_is_wired()
    assert f"{lacking} is missing" in condition._dpkg_hook().detail


def test_a_configuration_of_dpkg_that_cannot_be_read_wires_nothing(
    dpkg_configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(path: str) -> bytes:
        raise PermissionError(path)

    dpkg_configuration.write_bytes(DPKG_LINE + b"\n")
    monkeypatch.setattr(condition, "_read", unreadable)
    assert not condition.dpkg_hook_is_wired()


def test_no_one_waits_for_a_configuration_of_dpkg_that_is_a_pipe(dpkg_configuration: Path) -> None:
    os.mkfifo(dpkg_configuration)
    assert not condition.dpkg_hook_is_wired()


def test_an_emptied_configuration_of_dpkg_is_degraded_with_the_line_that_it_needs(
    dpkg_configuration: Path,
) -> None:
    dpkg_configuration.write_bytes(b"")
    check = condition._dpkg_hook()
    assert check.state is State.DEGRADED
    assert f"put the line '{DPKG_LINE.decode()}' back into {dpkg_configuration}." in check.detail


def test_a_hook_of_dpkg_that_is_missing_is_degraded_with_the_package_to_reinstall(
    dpkg_configuration: Path,
) -> None:
    dpkg_configuration.write_bytes(DPKG_LINE + b"\n")
    os.unlink(condition.DPKG_HOOK)
    check = condition._dpkg_hook()
    assert check.state is State.DEGRADED
    assert check.detail.endswith("reinstall the package aptguard.")


ANNOUNCE = (
    b'DPkg::Pre-Invoke:: "if [ -x /usr/libexec/aptguard/apt-announce ]; '
    b'then /usr/libexec/aptguard/apt-announce || :; fi";\n'
)
JUDGE = b'DPkg::Pre-Install-Pkgs:: "/usr/libexec/aptguard/apt-hook || { r=$?; exit $r; } # aptguard";\n'
FINISH = (
    b'DPkg::Post-Invoke:: "if [ -x /usr/libexec/aptguard/apt-announce ]; '
    b'then /usr/libexec/aptguard/apt-announce finish || :; fi";\n'
)
VERSION = b'DPkg::Tools::Options::/usr/libexec/aptguard/apt-hook::Version "3";\n'
WIRED = (b'DPkg "";\nDPkg::Pre-Invoke "";\n', ANNOUNCE, JUDGE, FINISH, VERSION, b'DPkg::Path "/usr/bin";\n')


def states(*dump: bytes) -> list[State]:
    return [check.state for check in apt_hook_checks(b"".join(dump))]


def without(line: bytes) -> bytes:
    return b"".join(WIRED).replace(line, b"")


def test_apts_hooks_are_ok_when_all_three_are_wired_with_protocol_3() -> None:
    assert states(*WIRED) == [State.OK]


def test_apts_hooks_are_wired_by_the_file_that_is_shipped() -> None:
    shipped = ["/usr/bin/apt-config", "-c", str(HOOKS / "05aptguard"), "dump"]
    assert states(subprocess.run(shipped, capture_output=True, check=True).stdout) == [State.OK]


def test_apts_hooks_are_known_however_another_file_writes_apts_names() -> None:
    assert states(b"".join(WIRED).replace(b"DPkg::P", b"Dpkg::p").replace(b"::Version", b"::version")) == [
        State.OK
    ]


@pytest.mark.parametrize(("line", "name"), [(ANNOUNCE, "DPkg::Pre-Invoke"), (FINISH, "DPkg::Post-Invoke")])
def test_a_begin_or_end_of_apts_run_that_the_guard_is_not_told_of_is_degraded(line: bytes, name: str) -> None:
    (check,) = apt_hook_checks(without(line))
    assert check.state is State.DEGRADED
    assert check.detail.startswith(f"{name} is not wired")
    assert check.detail.endswith("put /etc/apt/apt.conf.d/05aptguard back as it was shipped.")


def test_a_post_invoke_that_does_not_say_finish_tells_no_end() -> None:
    assert states(without(FINISH), FINISH.replace(b" finish", b"")) == [State.DEGRADED]


def test_without_the_hook_that_judges_or_in_another_protocol_the_guard_is_off() -> None:
    assert states(without(JUDGE)) == [State.OFF]
    assert states(without(VERSION)) == [State.OFF]
    assert states(without(VERSION), VERSION.replace(b'"3"', b'"1"')) == [State.OFF]


def test_a_hook_that_is_not_the_first_word_is_off_for_apt_speaks_protocol_1_to_it() -> None:
    assert states(without(JUDGE), JUDGE.replace(b'"/usr', b'": /usr')) == [State.OFF]


def rehearsed(*notes: str, unknowns: tuple[Unknown, ...] = (), complete: bool = True) -> list[Check]:
    result = RehearsalResult(steps=(), changes=(), complete=complete, notes=notes, unknowns=unknowns)
    return list(rehearsal_checks(result))


def test_a_rehearsal_without_reserve_names_the_options_of_its_overlays() -> None:
    (check,) = rehearsed()
    assert check.state is State.OK
    assert "overlays with metacopy, redirect_dir and index" in check.detail
    assert "but for" not in check.detail


def test_each_note_of_the_rehearsal_is_a_line_of_its_own_and_degrades_nothing() -> None:
    notes = ("below / the overlay has no index", "/boot/efi\n is rehearsed on a copy")
    first, *others = rehearsed(*notes)
    assert first.detail.endswith("but for what is said next")
    assert [check.state for check in (first, *others)] == [State.OK] * 3
    assert [check.detail for check in others] == [notes[0], r"/boot/efi\x0a is rehearsed on a copy"]


def test_a_place_that_is_not_covered_degrades_and_what_failed_as_a_whole_is_off() -> None:
    uncovered = Unknown("/mnt", "it is a network file system", b"/mnt")
    first, cover = rehearsed(unknowns=(uncovered,))
    assert (first.state, cover.state) == (State.OK, State.DEGRADED)
    assert first.detail.endswith("but for what is said next")
    (off,) = rehearsed("a note", unknowns=(Unknown("the rehearsal", "it could not be done"),))
    assert off.state is State.OFF
    assert [check.state for check in rehearsed(complete=False)] == [State.OFF]


LIBRARY = (
    b"7f3611698000-7f36116da000 r--p 00000000 fe:00 339306                     /usr/lib/x86_64-linux-gnu/"
)
OTHER = LIBRARY + b"libc.so.6\n"
LIBAPT = LIBRARY + b"libapt-pkg.so.6.0.0\n"


@pytest.mark.parametrize(
    "end", [b"libapt-pkg.so.6.0.0", b"libapt-pkg.so.7.0", b"libapt-pkg.so.6.0.0 (deleted)"]
)
def test_apts_library_is_seen_among_what_is_mapped_even_after_its_upgrade(end: bytes) -> None:
    assert maps_libapt(OTHER + LIBRARY + end + b"\n" + OTHER)


@pytest.mark.parametrize(
    "end", [b"libapt-private.so.0.0.0", b"libapt-pkg.so.d/x", b"xlibapt-pkg.so.6.0", b"libc.so.6"]
)
def test_other_mapped_files_are_not_apts_library(end: bytes) -> None:
    assert not maps_libapt(OTHER + LIBRARY + end + b"\n")


WIRED_AT = 1000.0
TICKS = os.sysconf("SC_CLK_TCK")


class Processes:
    """A directory like /proc, with processes that are apt users older than the hook unless told otherwise."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "sys").mkdir()

    def add(
        self,
        pid: int,
        comm: str,
        *,
        began: float = WIRED_AT - 1,
        maps: bytes | None = LIBAPT,
        root: str = "/",
        cmdline: bytes = b"/usr/bin/program\0",
    ) -> None:
        process = self.directory / str(pid)
        process.mkdir()
        fields = ["S", "1", *["0"] * 17, str(round(began * TICKS)), *["0"] * 30]
        (process / "stat").write_text(f"{pid} ({comm}) {' '.join(fields)}\n")
        (process / "comm").write_text(f"{comm}\n")
        (process / "cmdline").write_bytes(cmdline)
        (process / "root").symlink_to(root)
        if maps is not None:
            (process / "maps").write_bytes(maps)

    def details(self) -> list[str]:
        checks = list(older_apt_users(str(self.directory), WIRED_AT))
        assert {check.state for check in checks} <= {State.DEGRADED}
        return sorted(check.detail for check in checks)


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


def test_any_program_on_apts_library_that_is_older_than_the_hook_is_named_with_what_to_do(
    processes: Processes,
) -> None:
    processes.add(11, "packagekitd")
    processes.add(12, "synaptic) (\t")
    assert processes.details() == [
        "packagekitd (pid 11) is older than the hook and does not call it: restart packagekit.service.",
        r"synaptic) (\x09 (pid 12) is older than the hook and does not call it: end or restart it when idle.",
    ]


def test_what_began_after_the_hook_was_wired_calls_it_and_its_mappings_are_not_even_read(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    whole = condition._read
    monkeypatch.setattr(condition, "_read", lambda path: opened.append(os.path.basename(path)) or whole(path))
    processes.add(11, "packagekitd", began=WIRED_AT)
    assert processes.details() == []
    assert opened == ["stat"]


def test_a_program_without_apts_library_is_no_apt_user_whatever_its_name(processes: Processes) -> None:
    processes.add(11, "packagekitd", maps=OTHER)
    assert processes.details() == []


def test_a_process_that_has_ended_or_cannot_be_read_hides_no_other(processes: Processes) -> None:
    (processes.directory / "10").mkdir()
    processes.add(11, "hidden", maps=None)
    processes.add(12, "broken")
    (processes.directory / "12" / "stat").write_text("12 (broken) S 1\n")
    processes.add(13, "aptitude")
    assert [detail.partition(" ")[0] for detail in processes.details()] == ["aptitude"]


def test_this_process_is_not_told_to_restart(processes: Processes) -> None:
    processes.add(os.getpid(), "python3")
    assert processes.details() == []


def test_apt_in_a_container_does_not_use_this_machines_configuration(
    processes: Processes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    processes.add(11, "packagekitd", root=str(tmp_path_factory.mktemp("container")))
    assert processes.details() == []


def test_apt_of_another_user_cannot_change_the_system_by_itself(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.add(11, "update-manager")
    own = os.geteuid()
    monkeypatch.setattr(condition.os, "geteuid", lambda: own + 1)
    assert processes.details() == []


def test_the_service_that_waits_for_the_shutdown_starts_apt_anew_and_needs_no_restart(
    processes: Processes,
) -> None:
    waiting = b"/usr/share/unattended-upgrades/unattended-upgrade-shutdown\0"
    processes.add(11, "unattended-upgr", cmdline=b"/usr/bin/python3\0" + waiting + b"--wait-for-signal\0")
    processes.add(12, "unattended-upgr", cmdline=b"/usr/bin/python3\0/usr/bin/unattended-upgrade\0")
    assert [detail.partition(" is ")[0] for detail in processes.details()] == ["unattended-upgr (pid 12)"]
