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
