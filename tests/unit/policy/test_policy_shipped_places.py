# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shipped rules say of places: one line for each thing that a purge may, or may not, delete."""

from __future__ import annotations

import pytest

from unit.change_sets import PURGE, gone, judged, rules

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
