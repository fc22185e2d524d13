# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard works out from the transaction itself: bounds, what is to be settled, wishes to undo."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aptguard.guard import putting_back
from aptguard.guard.limits import limits_for
from aptguard.guard.selections import Wish, selections_to_put_back, still_standing, wishes_of
from aptguard.guard.settling import as_removals, to_be_settled
from aptguard.host.dpkg_database import DpkgDatabase
from aptguard.policy.model import PolicyLimits
from aptguard.rehearsal.model import RehearsalRequest
from aptguard.rehearsal.rehearse import RehearsalCancelledError, rehearse
from aptguard.transaction.model import Action, Item, Transaction


def purge(name: str, *, assumed: bool = False) -> Item:
    return Item(name, "amd64", Action.PURGE, old_version="1", purge_assumed=assumed)


def transaction(*items: Item, frontend: str = "libapt") -> Transaction:
    return Transaction(frontend, items)


def test_what_is_known_to_be_a_purge_is_not_rehearsed_as_a_removal() -> None:
    assert as_removals(transaction(purge("known"))) is None
    mixed = transaction(purge("known"), purge("open", assumed=True))
    removals = as_removals(mixed)
    assert removals is not None
    assert [item.action for item in removals.items] == [Action.PURGE, Action.REMOVE]
    assert to_be_settled(mixed) == ["open:amd64"]
    assert to_be_settled(removals) == []


def test_bounds_grow_with_the_transaction_and_never_fall_below_the_policys() -> None:
    policy = PolicyLimits(seconds=120, upper_mib=1024)
    small = limits_for(policy, transaction(purge("one")), [])
    large = limits_for(policy, transaction(*(purge(f"p{n}") for n in range(300))), [600_000] * 300)
    assert 120 <= small.seconds < 130
    assert large.seconds >= 120 + 600
    assert small.upper_bytes == 1 << 30
    assert large.upper_bytes >= (1 << 30) + 700_000_000
    # What probably will be written decides whether memory is enough for it.
    assert small.upper_likely_bytes <= 64 << 20
    assert 700_000_000 <= large.upper_likely_bytes <= large.upper_bytes


def status(selection: str, name: str = "toy") -> str:
    return f"Package: {name}\nStatus: {selection} ok installed\nArchitecture: amd64\nVersion: 1\n\n"


@pytest.mark.parametrize(
    ("frontend", "before", "now", "expected"),
    [
        ("aptitude", "install", "purge", "toy:amd64 install\n"),
        ("aptitude", "hold", "deinstall", "toy:amd64 hold\n"),
        ("aptitude", "purge", "purge", ""),  # somebody's wish from before
        ("apt-get", "install", "purge", ""),  # apt has not written anything yet
    ],
)
def test_only_what_the_front_end_has_just_written_is_undone(
    tmp_path: Path, frontend: str, before: str, now: str, expected: str
) -> None:
    directory = tmp_path / "var/lib/dpkg"
    (directory / "updates").mkdir(parents=True)
    (directory / "status-old").write_text(status(before) + status("install", "bystander"))
    (directory / "status").write_text(status(now) + status("purge", "bystander"))
    database = DpkgDatabase(bytes(tmp_path))
    wishes = wishes_of(transaction(purge("toy"), frontend=frontend), database)
    assert selections_to_put_back(wishes) == expected


@pytest.mark.parametrize(
    ("then", "left"),
    [
        (status("purge"), True),
        (status("install"), False),  # it has been put back
        (status("hold"), False),  # somebody else wishes something else
        (status("purge").replace("installed", "config-files"), False),  # it was removed after all
        (status("purge").replace("Version: 1", "Version: 2"), False),
        ("", False),
    ],
)
def test_a_wish_is_undone_only_as_long_as_nobody_has_done_or_wished_anything_since(
    tmp_path: Path, then: str, left: bool
) -> None:
    directory = tmp_path / "var/lib/dpkg"
    (directory / "updates").mkdir(parents=True)
    (directory / "status-old").write_text(status("install"))
    (directory / "status").write_text(status("purge"))
    aptitudes = transaction(purge("toy"), frontend="aptitude")
    wishes = wishes_of(aptitudes, DpkgDatabase(bytes(tmp_path)))
    (directory / "status").write_text(then + status("install", "bystander"))
    assert still_standing(wishes, DpkgDatabase(bytes(tmp_path))) == (wishes if left else ())


def test_a_hold_that_the_front_end_has_lifted_is_undone_too(tmp_path: Path) -> None:
    directory = tmp_path / "var/lib/dpkg"
    (directory / "updates").mkdir(parents=True)
    (directory / "status-old").write_text(status("hold"))
    (directory / "status").write_text(status("install"))
    upgrade = Item("toy", "amd64", Action.UPGRADE, old_version="1", new_version="2")
    wishes = wishes_of(transaction(upgrade, frontend="aptitude"), DpkgDatabase(bytes(tmp_path)))
    assert selections_to_put_back(wishes) == "toy:amd64 hold\n"


def test_while_somebody_holds_dpkgs_lock_selections_are_not_touched_and_in_the_end_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "var/lib/dpkg"
    (directory / "updates").mkdir(parents=True)
    (directory / "status").write_text(status("purge"))
    lock = directory / "lock-frontend"
    monkeypatch.setattr(putting_back, "FRONT_END_LOCK", str(lock))
    hold = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'w'), fcntl.LOCK_EX); print(flush=True); input()"
    wish = Wish("toy", "amd64", "purge", "install", "installed", "1")
    with subprocess.Popen(
        [sys.executable, "-c", hold, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        holder.stdout.readline()
        with pytest.raises(putting_back.CannotPutBackError, match="somebody else holds"):
            putting_back.put_back((wish,), lambda: DpkgDatabase(bytes(tmp_path)), seconds=0)
        holder.stdin.close()


def test_a_rehearsal_that_nobody_waits_for_ends_at_once() -> None:
    gone = threading.Event()
    gone.set()
    with pytest.raises(RehearsalCancelledError):
        rehearse(RehearsalRequest(steps=(), environment={}), cancelled=gone.is_set)
