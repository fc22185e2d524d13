# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shipped rules say of places: one line for each thing that a purge may, or may not, delete."""

from __future__ import annotations

import pytest

from aptguard.changes.model import Kind
from unit.change_sets import PURGE, altered, gone, judged, rules

# What no package lists, deleted by the purge of the package toy: the rule that speaks, None where none does.
PLACES = (
    ("/etc/passwd", "account-files"),
    ("/etc/fstab", "mount-table"),
    ("/usr/bin/dash", "shell-and-loader"),
    ("/var/lib/dpkg/status", "dpkg-database"),
    ("/dev/null", "device-nodes"),
    ("/dev/stdout", "device-nodes"),
    ("/dev/foo", None),
    ("/etc/dpkg/dpkg.cfg.d/aptguard", "guard-hooks"),
    ("/etc/apt/apt.conf.d/05aptguard", "guard-hooks"),
    ("/usr/libexec/aptguard/hooklib/rules.sh", "guard-hooks"),
    ("/run/aptguard/pause", "guard-switches"),
    ("/dev/shm/PostgreSQL.3", "shared-memory"),
    ("/sys/firmware/efi/efivars/Boot0000-8be4df61-93ca-11d2-aa0d-00e098032b8c", "firmware-variables"),
    ("/var/lib/postgresql/15/main/PG_VERSION", "databases"),
    ("/var/lib/mysql/shop/orders.ibd", "databases"),
    ("/var/lib/toy/state", None),
    ("/var/cache/toy/page", None),
    ("/var/log/toy/toy.log", None),
)


@pytest.mark.parametrize(("path", "rule"), PLACES)
def test_a_deletion_is_judged_by_the_rule_of_its_place(path: str, rule: str | None) -> None:
    judgement = judged(PURGE, [gone(path)])
    assert rules(judgement) == ({rule} if rule else set())
    assert judgement.verdict.value == ("block" if rule else "allow")


_DISK = "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0"
WRITTEN = (
    ("/proc/sysrq-trigger", "kernel-switches"),
    (f"{_DISK}/delete", "kernel-switches"),
    ("/sys/devices/pci0000:00/0000:00:02.0/remove", "kernel-switches"),
    ("/sys/bus/pci/drivers/ahci/unbind", "kernel-switches"),
    ("/sys/devices/virtual/block/md0/md/array_state", "kernel-switches"),
    (f"{_DISK}/block/sda/queue/scheduler", None),
    (f"{_DISK}/uevent", None),
    ("/sys/kernel/mm/transparent_hugepage/enabled", None),
    ("/sys/module/zswap/parameters/enabled", None),
    ("/dev/shm/PostgreSQL.3", None),
)


@pytest.mark.parametrize(("path", "rule"), WRITTEN)
def test_what_is_written_to_the_kernel_is_judged_by_what_it_does(path: str, rule: str | None) -> None:
    judgement = judged(PURGE, [altered(path, Kind.CONTENT)])
    assert rules(judgement) == ({rule} if rule else set())
