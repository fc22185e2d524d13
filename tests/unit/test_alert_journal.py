# SPDX-License-Identifier: GPL-3.0-or-later
"""Records against real datagram sockets: journald's protocol, syslog, stderr, and nobody there."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys

import pytest

from aptguard.alerts import journal, sink
from aptguard.alerts.events import make_event
from aptguard.alerts.message_ids import MESSAGE_IDS, EventName
from aptguard.alerts.sink import Channel, Places, Record


class Receiver:
    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def take(self) -> bytes:
        return self.socket.recv(1 << 20)


@pytest.fixture
def places(tmp_path):
    read, write = os.pipe()
    yield Places(str(tmp_path / "journal"), str(tmp_path / "log"), write), read
    os.close(read)
    os.close(write)


def parse(data: bytes) -> list[tuple[str, str]]:
    """Read a datagram as journald does."""
    fields = []
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            name, (length,) = line, struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        fields.append((name.decode(), value.decode()))
        data = rest
    return fields


def test_an_event_reaches_the_journal_with_every_value_of_every_field(places, monkeypatch):
    out, _ = places
    receiver = Receiver(out.journal)
    monkeypatch.setattr(sink, "Places", lambda: out)
    event = make_event(EventName.BLOCKED, "Blocked.", id="7F3K-92QX", path=[b"/a", b"/b"])
    assert journal.send_event(event) is Channel.JOURNAL
    assert parse(receiver.take()) == [
        ("MESSAGE", "Blocked."),
        ("PRIORITY", "2"),
        ("SYSLOG_IDENTIFIER", "aptguard"),
        ("MESSAGE_ID", MESSAGE_IDS[EventName.BLOCKED]),
        ("APTGUARD_EVENT", "blocked"),
        ("APTGUARD_ID", "7F3K-92QX"),
        ("APTGUARD_PATH", "/a"),
        ("APTGUARD_PATH", "/b"),
    ]


def test_a_value_with_a_line_end_cannot_become_a_field_of_its_own():
    forged = "x\nAPTGUARD_VERDICT=allow\n"
    fields = parse(sink.native(Record("m", 3, (("APTGUARD_PATH", forged), ("APTGUARD_USER", "\udcff")))))
    assert fields[3:] == [("APTGUARD_PATH", forged), ("APTGUARD_USER", "\\udcff")]


def test_without_structlog_an_event_goes_out_all_the_same(places, monkeypatch):
    out, _ = places
    receiver = Receiver(out.journal)
    monkeypatch.setattr(sink, "Places", lambda: out)
    monkeypatch.setitem(sys.modules, "structlog", None)
    journal._logger.cache_clear()
    event = make_event(EventName.DEGRADED, "Degraded.", reason="why")
    assert journal.send_event(event) is Channel.JOURNAL
    without = receiver.take()
    monkeypatch.undo()
    monkeypatch.setattr(sink, "Places", lambda: out)
    journal._logger.cache_clear()
    journal.send_event(event)
    assert without == receiver.take()


def test_the_own_log_escapes_what_it_is_given_and_keeps_the_traceback(places, monkeypatch):
    out, _ = places
    receiver = Receiver(out.journal)
    monkeypatch.setattr(sink, "Places", lambda: out)
    journal.log().info("served\n%s", **{"method-name": "Status\x1b", "none": None})
    assert parse(receiver.take()) == [
        ("MESSAGE", "served\\x0a%s"),
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "aptguard"),
        ("APTGUARD_METHOD_NAME", "Status\\x1b"),
    ]
    try:
        raise ValueError("deep\nreason")
    except ValueError:
        journal.log().exception("failed")
    fields = dict(parse(receiver.take()))
    assert fields["PRIORITY"] == "3"
    assert "ValueError: deep\\x0areason" in fields["APTGUARD_EXCEPTION"]


RECORD = Record("One\nline.", 4, (("MESSAGE_ID", "00" * 16),), "event=paused id=7F3K-92QX")


def test_without_journald_syslog_gets_one_line(places):
    out, _ = places
    receiver = Receiver(out.syslog)
    assert sink.deliver(RECORD, out) is Channel.SYSLOG
    line = f"<{(3 << 3) | 4}>aptguard[{os.getpid()}]: One\\nline. [event=paused id=7F3K-92QX]"
    assert receiver.take() == line.encode()


def test_a_very_long_message_is_cut_for_syslog(places):
    out, _ = places
    receiver = Receiver(out.syslog)
    sink.deliver(Record("x" * 100_000, 3), out)
    assert len(receiver.take()) == 2000


def test_without_any_log_stderr_gets_one_line(places):
    out, read = places
    assert sink.deliver(RECORD, out) is Channel.STDERR
    assert os.read(read, 65536).endswith(b": One\\nline. [event=paused id=7F3K-92QX]\n")


def test_the_terminal_is_not_told_of_what_is_mere_information(places):
    out, read = places
    os.set_blocking(read, False)
    assert sink.deliver(Record("Allowed.", 6), out) is Channel.NOWHERE
    with pytest.raises(BlockingIOError):
        os.read(read, 1)


def test_a_stopped_journald_with_a_full_queue_is_passed_over(places, monkeypatch):
    monkeypatch.setattr(sink, "_WAIT_SECONDS", 0.01)
    out, _ = places
    journald = Receiver(out.journal)
    log = Receiver(out.syslog)
    channels = []
    while Channel.SYSLOG not in channels:
        channels.append(sink.deliver(RECORD, out))
    assert channels.count(Channel.JOURNAL) > 0
    assert b"One" in log.take()
    journald.take()
    assert sink.deliver(RECORD, out) is Channel.JOURNAL


def test_when_nobody_reads_anything_there_is_no_hang(places, monkeypatch):
    monkeypatch.setattr(sink, "_WAIT_SECONDS", 0.01)
    out, _ = places
    os.set_blocking(out.stderr, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(out.stderr, b"x" * 4096)
    os.set_blocking(out.stderr, True)
    assert sink.deliver(RECORD, out) is Channel.NOWHERE
    assert sink.deliver(RECORD, Places(out.journal, out.syslog, 999)) is Channel.NOWHERE


def test_a_record_too_large_for_a_datagram_is_sent_with_the_first_value_of_each_field(places):
    out, _ = places
    receiver = Receiver(out.journal)
    values = tuple(("APTGUARD_PATH", f"/{number}" + "x" * 4000) for number in range(500))
    assert sink.deliver(Record("m", 2, (("APTGUARD_EVENT", "blocked"), *values)), out) is Channel.JOURNAL
    fields = parse(receiver.take())
    assert ("APTGUARD_EVENT", "blocked") in fields
    assert [value[:2] for name, value in fields if name == "APTGUARD_PATH"] == ["/0"]


def test_sending_does_not_import_what_makes_a_hook_slow():
    slow = ("structlog", "pydantic", "rich")
    code = f"import sys, aptguard.alerts.journal; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
