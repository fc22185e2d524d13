# SPDX-License-Identifier: GPL-3.0-or-later
"""What overlayfs refuses stands in a rehearsal as a copy: what is done to it, or read in it, counts.

The kernel of a test machine may know no vfat; ramfs, which overlayfs takes, is then treated as if refused.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from aptguard.changes.model import Kind
from aptguard.rehearsal.model import RehearsalResult
from rehearsal.altered import alter_helper
from rehearsal.disks import mount
from rehearsal.machine import Machine
from rehearsal.toys import deleted_by_script, rehearse_purge

pytestmark = pytest.mark.needs_root

BIG, SMALL = "/boot/efi/vmlinuz", "/boot/efi/grub/grub.cfg"


@pytest.fixture
def boot(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a large and a small file at /boot/efi, on a file system that is copied."""
    alter_helper(
        monkeypatch,
        tmp_path,
        "from aptguard.rehearsal import mount_plan, small_copy\n"
        "mount_plan._REFUSED_BY_OVERLAY |= {b'ramfs'}\nsmall_copy._MOST_TREE_BYTES = 1 << 16\n",
    )
    machine.write("/boot/efi/x")
    mount(machine, "-t", "ramfs", "x", "/boot/efi")
    machine.write(BIG, "k" * (1 << 20))
    machine.write(SMALL)
    return machine


def kinds(result: RehearsalResult) -> dict[str, set[Kind]]:
    assert result.complete, (result.unknowns, result.output)
    return {change.path.decode(): set(change.kinds) for change in result.changes}


@pytest.mark.parametrize(
    "deed",
    [
        f"dd if=/dev/zero of={BIG} bs=64k count=16 conv=notrunc",
        f"dd if=/dev/zero of={BIG} bs=1 count=1 seek=5000 conv=notrunc",
        f"head -c 1048576 /dev/zero >{BIG}",
        f"dd if=/dev/zero of={BIG} bs=64k count=16 conv=notrunc; chmod 600 {BIG}",
    ],
)
def test_zeros_over_a_file_whose_content_was_not_copied_are_a_change(boot: Machine, deed: str) -> None:
    result = boot.rehearse_shell(deed)
    assert Kind.CONTENT in kinds(result)[BIG]
    assert result.unknowns == ()


@pytest.mark.parametrize("deed", [f"cat {BIG} >/dev/null", f"cp {BIG} /tmp/new", f": <{BIG}"])
def test_who_reads_a_file_whose_content_was_not_copied_makes_it_unknown(boot: Machine, deed: str) -> None:
    result = boot.rehearse_shell(deed)
    assert [unknown.path for unknown in result.unknowns] == [BIG.encode()]


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (f"ls -l {BIG}; [ -s {BIG} ]; du /boot/efi >/dev/null", {}),
        (f"grep kept {SMALL} && echo more >>{SMALL}", {SMALL: {Kind.CONTENT}}),
        (f"rm {BIG}", {BIG: {Kind.DELETED}}),
        (f"chmod 600 {BIG}", {BIG: {Kind.MODE}}),
    ],
)
def test_what_needs_no_content_is_as_certain_as_elsewhere(
    boot: Machine, deed: str, told: dict[str, set[Kind]]
) -> None:
    result = boot.rehearse_shell(deed)
    assert kinds(result) == told
    assert result.unknowns == ()


@pytest.mark.parametrize(
    "deed",
    [
        "rm -rf /boot/efi/GRUB",
        "ESP=/boot/efi; rm -rf $ESP/GRUB/x",
        "cd /boot/efi && rm -rf Grub || true",
        ": >/boot/efi/grub/GRUB.CFG",
        "[ -e /boot/efi/Grub ] || true",
        "mkdir -p /tmp/a/GRUB; touch /tmp/a/GRUB/n; cp -r /tmp/a/. /boot/efi",
    ],
)
def test_a_name_in_another_case_makes_it_unknown_what_becomes_of_the_one_that_is_there(
    boot: Machine, tmp_path: Path, deed: str
) -> None:
    result = rehearse_purge(boot, tmp_path / "debs", deed)
    assert result.complete, result.output
    assert {unknown.path for unknown in result.unknowns} <= {b"/boot/efi/grub", SMALL.encode()}
    assert result.unknowns


def test_names_as_they_are_there_make_nothing_unknown(boot: Machine, tmp_path: Path) -> None:
    names = "cd /boot/efi; ls grub Grub* new 2>/dev/null || true"
    deed = f"{names}; mkdir -p NEW/Grub; rm -rf /boot/efi/grub; touch {BIG}.old"
    result = rehearse_purge(boot, tmp_path / "debs", deed)
    assert result.unknowns == ()
    assert deleted_by_script(result) == {b"/boot/efi/grub", SMALL.encode()}
