# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness itself: it must see what happened, and only that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from testbed import snapshot


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/link").symlink_to("passwd")
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "var/log/syslog").write_text("a\n")
    (tmp_path / "var/lib/postgresql/15/main/pg_wal").mkdir(parents=True)
    (tmp_path / "var/lib/postgresql/15/main/pg_wal/0001").write_text("a")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/pid").write_text("1")
    return tmp_path


def test_a_machine_that_was_left_alone_shows_no_difference(machine: Path) -> None:
    before = snapshot.take(str(machine))
    os.utime(machine / "etc/passwd", (1, 1))
    assert snapshot.differences(before, snapshot.take(str(machine))) == []


def test_content_mode_and_target_are_compared(machine: Path) -> None:
    before = snapshot.take(str(machine))
    (machine / "etc/passwd").write_text("changed\n")
    (machine / "etc").chmod(0o700)
    (machine / "etc/link").unlink()
    (machine / "etc/link").symlink_to("shadow")
    (machine / "etc/new").write_text("")
    found = [str(difference) for difference in snapshot.harm(before, snapshot.take(str(machine)))]
    assert found == [
        "/etc: changed (mode)",
        "/etc/link: changed (content)",
        "/etc/new: appeared (file)",
        "/etc/passwd: changed (content)",
    ]


def test_a_deleted_tree_is_reported_path_by_path(machine: Path) -> None:
    before = snapshot.take(str(machine))
    for name in ("passwd", "link"):
        (machine / "etc" / name).unlink()
    (machine / "etc").rmdir()
    assert snapshot.vanished(before, snapshot.take(str(machine))) == ["/etc", "/etc/link", "/etc/passwd"]


def test_logs_and_views_of_the_kernel_do_not_count(machine: Path) -> None:
    before = snapshot.take(str(machine))
    (machine / "var/log/syslog").unlink()
    (machine / "run/pid").unlink()
    assert snapshot.harm(before, snapshot.take(str(machine))) == []


def test_what_a_database_may_write_must_still_not_vanish(machine: Path) -> None:
    wal = machine / "var/lib/postgresql/15/main/pg_wal/0001"
    before = snapshot.take(str(machine))
    wal.write_text("b")
    assert snapshot.harm(before, snapshot.take(str(machine)), snapshot.POSTGRESQL_WRITES) == []
    wal.unlink()
    found = snapshot.harm(before, snapshot.take(str(machine)), snapshot.POSTGRESQL_WRITES)
    assert [difference.what for difference in found] == ["vanished"]
