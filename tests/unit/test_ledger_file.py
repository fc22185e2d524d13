# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's file when things go wrong: damage, other versions, kills, full and read-only disks."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest
from ledger_values import NOW, grant, report

import aptguard
from aptguard.ledger import schema
from aptguard.ledger.error import LedgerError
from aptguard.ledger.override import OverrideState
from aptguard.ledger.store import Ledger


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "state")


def test_directory_and_files_are_for_their_owner_alone(directory):
    before = os.umask(0)
    try:
        Ledger(directory).record(report())
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert {
        name: stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode) for name in os.listdir(directory)
    } == dict.fromkeys(os.listdir(directory), 0o600)
    assert os.path.exists(f"{directory}/ledger.db")


def test_a_ledger_that_others_could_have_written_is_not_trusted(directory):
    ledger = Ledger(directory)
    grant(ledger)
    ledger.close()
    os.chmod(f"{directory}/ledger.db", 0o660)
    with pytest.raises(LedgerError, match="can be written by others"):
        ledger.overrides()


def test_a_directory_that_others_can_write_is_not_trusted(directory):
    os.mkdir(directory)
    os.chmod(directory, 0o777)
    with pytest.raises(LedgerError, match="can be written by others"):
        Ledger(directory).record(report())
    assert os.listdir(directory) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to give a file away")
def test_a_ledger_of_another_owner_is_not_trusted(directory):
    ledger = Ledger(directory)
    grant(ledger)
    ledger.close()
    os.chown(f"{directory}/ledger.db", 65534, 0)
    with pytest.raises(LedgerError, match="owner 65534"):
        ledger.overrides()


def test_a_symbolic_link_in_the_place_of_the_ledger_is_refused(directory, tmp_path):
    os.mkdir(directory, 0o700)
    os.symlink(tmp_path / "elsewhere", f"{directory}/ledger.db")
    with pytest.raises(LedgerError, match="to be a file"):
        Ledger(directory).record(report())
    assert not os.path.lexists(tmp_path / "elsewhere")


def damage_everything(path):
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.write(b"\xa5" * size)


def damage_the_middle(path):
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def cut_off(path):
    os.truncate(path, 4096 + 100)


@pytest.mark.parametrize("damage", [damage_everything, damage_the_middle, cut_off])
def test_a_corrupt_ledger_is_moved_aside_reported_and_started_anew(directory, damage):
    ledger = Ledger(directory)
    ledger.record(report(changed=5000))
    granted = grant(ledger)
    ledger.close()
    damage(f"{directory}/ledger.db")
    with open(f"{directory}/ledger.db", "rb") as file:
        damaged = file.read()

    ledger = Ledger(directory)
    assert ledger.override_for(granted.fingerprint, granted.findings_digest, NOW) is None
    assert "ledger.corrupt-1" in ledger.problems[0]
    with open(f"{directory}/ledger.corrupt-1", "rb") as file:
        assert file.read() == damaged
    ledger.record(report("BBBB-BBBB"))
    assert [found.id for found in Ledger(directory).reports()] == ["BBBB-BBBB"]


def test_each_corrupt_ledger_is_kept_under_a_number_of_its_own(directory):
    for number in (1, 2, 3):
        ledger = Ledger(directory)
        ledger.record(report())
        ledger.close()
        damage_everything(f"{directory}/ledger.db")
        ledger.record(report())
        ledger.close()
        assert os.path.exists(f"{directory}/ledger.corrupt-{number}")


def test_a_process_that_has_the_moved_ledger_open_goes_over_to_the_new_one(directory):
    first, second = Ledger(directory), Ledger(directory)
    first.record(report("AAAA-AAAA"))
    assert len(second.reports()) == 1
    first.close()
    os.rename(f"{directory}/ledger.db", f"{directory}/ledger.corrupt-1")
    first.record(report("BBBB-BBBB"))
    second.record(report("CCCC-CCCC"))
    assert [found.id for found in first.reports()] == ["CCCC-CCCC", "BBBB-BBBB"]


def test_a_report_row_that_is_not_readable_does_not_hide_the_others(directory):
    ledger = Ledger(directory)
    ledger.record(report("AAAA-AAAA"))
    ledger.record(report("BBBB-BBBB"))
    ledger.close()
    with sqlite3.connect(f"{directory}/ledger.db") as connection:
        connection.execute("UPDATE reports SET report = x'00' WHERE id = 'AAAA-AAAA'")
    connection.close()
    assert [found.id for found in ledger.reports()] == ["BBBB-BBBB"]
    assert "AAAA-AAAA" in ledger.problems[0]
    with pytest.raises(LedgerError, match="AAAA-AAAA"):
        ledger.report("AAAA-AAAA")


def test_a_ledger_of_a_newer_version_is_refused_and_not_touched(directory):
    ledger = Ledger(directory)
    grant(ledger)
    ledger.close()
    path = f"{directory}/ledger.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    connection.close()
    with open(path, "rb") as file:
        before = file.read()
    with pytest.raises(LedgerError, match="newer aptguard"):
        Ledger(directory).record(report())
    with open(path, "rb") as file:
        assert file.read() == before
    assert not os.path.exists(f"{directory}/ledger.corrupt-1")


def test_a_migration_keeps_the_rows_and_happens_once(directory):
    ledger = Ledger(directory)
    granted = grant(ledger)
    ledger.close()
    connection = sqlite3.connect(f"{directory}/ledger.db", isolation_level=None)
    steps = (*schema.MIGRATIONS, ("ALTER TABLE overrides ADD COLUMN approved_by TEXT DEFAULT 'nobody'",))
    schema.migrate(connection, steps)
    schema.migrate(connection, steps)
    assert schema.version(connection) == len(steps)
    assert connection.execute("SELECT number, approved_by FROM overrides").fetchall() == [
        (granted.number, "nobody")
    ]
    connection.close()


def test_a_migration_that_fails_leaves_the_old_version_whole(directory):
    ledger = Ledger(directory)
    grant(ledger)
    ledger.close()
    connection = sqlite3.connect(f"{directory}/ledger.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, (*schema.MIGRATIONS, ("DELETE FROM overrides", "NO SUCH STATEMENT")))
    assert schema.version(connection) == len(schema.MIGRATIONS)
    connection.close()
    assert len(Ledger(directory).overrides()) == 1


def test_an_answered_write_is_in_the_file_in_wal_mode_and_synced(directory):
    ledger = Ledger(directory)
    ledger.record(report())
    with ledger._database._mutex:
        connection = ledger._database._connected()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_threads_that_share_one_ledger_lose_nothing(directory):
    ledger = Ledger(directory)
    threads = [
        threading.Thread(target=ledger.record, args=(report(f"AAAA-AA{number:02}"),)) for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found.id for found in ledger.reports()) == [f"AAAA-AA{number:02}" for number in range(20)]


WRITER = """
import sys
sys.path[:0] = sys.argv[2:4]
from ledger_values import grant, report
from aptguard.ledger.store import Ledger
ledger = Ledger(sys.argv[1])
for number in range(int(sys.argv[4]), int(sys.argv[5])):
    one = report("AAAA-%04d" % number, fingerprint="%064x" % number, changed=200)
    ledger.record(one)
    grant(ledger, one)
    print(one.id, flush=True)
"""


def writer(directory, first, last):
    source = os.path.dirname(os.path.dirname(aptguard.__file__))
    arguments = [directory, source, os.path.dirname(__file__), str(first), str(last)]
    return subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True)


def test_several_processes_write_at_once_and_nothing_is_lost(directory):
    writers = [writer(directory, first, first + 15) for first in (0, 100, 200)]
    told = [line.strip() for process in writers for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in writers] == [0, 0, 0]
    ledger = Ledger(directory)
    assert len(told) == 45
    assert sorted(found.id for found in ledger.reports()) == sorted(told)
    assert sorted(found.id for found in ledger.overrides()) == sorted(told)
    assert ledger.problems == ()


def test_a_kill_in_the_middle_of_writes_loses_nothing_that_was_answered(directory):
    first = 0
    answered = []
    for kill_after in (1, 3, 8):
        process = writer(directory, first, first + 1000)
        answered += [process.stdout.readline().strip() for _ in range(kill_after)]
        process.send_signal(signal.SIGKILL)
        answered += process.stdout.read().split()
        process.wait()
        first += 1000
    ledger = Ledger(directory)
    reports = {found.id for found in ledger.reports(limit=10_000)}
    overrides = {found.id: found.state for found in ledger.overrides(limit=10_000)}
    assert len(answered) >= 12
    assert set(answered) <= reports
    assert {overrides.get(identifier) for identifier in answered} == {OverrideState.GRANTED}
    assert set(overrides) <= reports
    assert ledger.problems == ()


SMALL_DISK = """
import os, subprocess, sys
sys.path[:0] = sys.argv[2:4]
from ledger_values import NOW, grant, report
from aptguard.ledger.error import LedgerError
from aptguard.ledger.store import Ledger
place = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", place], check=True)
ledger = Ledger(place + "/state")
granted = grant(ledger, report("BBBB-BBBB", fingerprint="bb" * 32))
answered = 0
for number in range(10_000):
    try:
        ledger.record(report("AAAA-%04d" % number, changed=500))
    except LedgerError as error:
        full = str(error)
        break
    answered += 1
assert "full" in full or "space" in full.lower(), full
assert answered > 3, answered
again = Ledger(place + "/state")
assert len(again.reports(limit=10_000)) == answered, "an answered report is gone"
assert again.override_for(granted.fingerprint, granted.findings_digest, NOW) == granted
assert again.problems == (), again.problems
ledger.close(); again.close()
subprocess.run(["mount", "-o", "remount,ro", place], check=True)
try:
    Ledger(place + "/state").record(report())
except LedgerError as error:
    assert "ead-only" in str(error) or "readonly" in str(error), error
else:
    raise AssertionError("a read-only disk took a report")
print("held")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to mount a small tmpfs")
def test_a_full_or_read_only_disk_is_one_clear_error_and_loses_nothing(tmp_path):
    source = os.path.dirname(os.path.dirname(aptguard.__file__))
    script = [sys.executable, "-c", SMALL_DISK, str(tmp_path), source, os.path.dirname(__file__)]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("held\n", 0), done.stderr


def test_a_ledger_that_cannot_be_made_says_what_was_tried(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"Could not record a verdict in the ledger .*/file/state"):
        Ledger(str(tmp_path / "file" / "state")).record(report())
