# SPDX-License-Identifier: GPL-3.0-or-later
"""The accept loop on real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from daemon_bench import bench, call, error_of, message, receive, receive_all, start

from aptguard.daemon import client
from aptguard.daemon.access import Access
from aptguard.daemon.server import ServerLimits
from aptguard.guard.errors import GuardError

__all__ = ["bench", "start"]


def test_a_call_reaches_the_handler_and_its_reply_the_client(bench):
    parameters = {"since": 5, "text": "\udcff\n\x00é"}
    assert call(bench, "Log", parameters) == {"method": "Log", "parameters": parameters}
    peer = bench.handler.seen[0][2]
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())


def test_progress_comes_before_the_reply_and_only_to_who_wants_it(bench):
    told = []
    assert call(bench, "Check", {"progress": 3}, progress=told.append) == {"done": True}
    assert told == ["getting ready", "step 0", "step 1", "step 2"]
    assert call(bench, "Check", {"progress": 3}) == {"done": True}


def test_a_message_of_many_megabytes_arrives_whole(bench):
    text = "x" * (20 << 20)
    assert call(bench, "JudgeApt", {"input": text})["parameters"]["input"] == text


def test_calls_on_one_connection_are_answered_in_their_order(bench):
    with bench.connect() as connection:
        connection.sendall(b"".join(message("Log", {"limit": number}) for number in range(50)))
        replies = receive(connection, 50)
    assert [reply["parameters"]["parameters"]["limit"] for reply in replies] == list(range(50))


def test_a_one_way_call_is_done_and_not_answered(bench):
    with bench.connect() as connection:
        connection.sendall(message("Resume", oneway=True) + message("Log"))
        assert [reply["parameters"]["method"] for reply in receive(connection)] == ["Log"]
    assert [method for method, _, _ in bench.handler.seen] == ["Resume", "Log"]


def test_a_client_that_ends_its_side_still_gets_its_reply(bench):
    with bench.connect() as connection:
        connection.sendall(message("Log"))
        connection.shutdown(socket.SHUT_WR)
        assert [reply["parameters"]["method"] for reply in receive_all(connection)] == ["Log"]


def test_an_error_of_the_guard_arrives_with_name_and_sentence(bench):
    with pytest.raises(GuardError, match="no transaction 7F3K-92QX") as caught:
        call(bench, "Show", {"id": "7F3K-92QX"})
    assert caught.value.name == "NoSuchTransaction"


@pytest.mark.parametrize(("method", "parameters"), [("Show", {"id": "unwritable"}), ("Pause", {})])
def test_what_fails_inside_is_an_internal_error_and_never_a_reply(bench, method, parameters):
    with pytest.raises(GuardError, match=f"failed in {method}") as caught:
        call(bench, method, parameters)
    assert caught.value.name == "InternalError"
    assert call(bench, "Log")["method"] == "Log"


@pytest.mark.parametrize(
    ("name", "error", "details"),
    [
        ("org.example.Foo", "InterfaceNotFound", {"interface": "org.example"}),
        ("io.github.aptguard.Dance", "MethodNotFound", {"method": "io.github.aptguard.Dance"}),
        ("org.varlink.service.Dance", "MethodNotFound", {"method": "org.varlink.service.Dance"}),
        ("NoDots", "MethodNotFound", {"method": "io.github.aptguard.NoDots"}),
    ],
)
def test_what_does_not_exist_is_refused_as_varlink_says(bench, name, error, details):
    with bench.connect() as connection:
        connection.sendall(message(name))
        (reply,) = receive(connection)
    assert reply == {"error": f"org.varlink.service.{error}", "parameters": details}
    assert bench.handler.seen == []


def test_the_service_describes_itself(bench):
    info = call(bench, "org.varlink.service.GetInfo")
    assert info["interfaces"] == ["org.varlink.service", "io.github.aptguard"]
    described = call(
        bench, "org.varlink.service.GetInterfaceDescription", {"interface": "io.github.aptguard"}
    )
    assert "method JudgeApt(" in described["description"]


@pytest.mark.parametrize(
    "garbage", [b"\0", b"GET / HTTP/1.1\r\n\r\n\0", b"\xff\xfe\0", b"[" * 100_000 + b"\0"]
)
def test_garbage_gets_one_clear_error_and_the_end(bench, garbage):
    with bench.connect() as connection:
        connection.sendall(garbage)
        (reply,) = receive_all(connection)
    assert error_of(reply) == "InvalidMessage"
    assert reply["parameters"]["message"].startswith("This is no varlink message: ")
    assert bench.handler.seen == []


def test_an_oversized_message_gets_one_clear_error_while_it_is_still_being_sent(start):
    bench = start(access=Access(root=-1))  # nobody is root: the small limit
    with pytest.raises(GuardError, match="at most 65536 bytes") as caught:
        call(bench, "Log", {"text": "x" * (8 << 20)})
    assert caught.value.name == "MessageTooLarge"


def test_a_silent_client_is_dropped_and_a_slow_one_is_told_why(start):
    bench = start(limits=ServerLimits(message_seconds=0.05))
    with bench.connect() as silent, bench.connect() as slow:
        slow.sendall(b'{"method":')
        assert receive_all(silent) == []
        (reply,) = receive_all(slow)
    assert error_of(reply) == "MessageTooLate"
    assert call(bench, "Log")["method"] == "Log"


def test_a_client_that_waits_for_a_long_call_is_not_dropped(start):
    bench = start(limits=ServerLimits(message_seconds=0.05))
    bench.handler.let_go["long"] = threading.Event()
    with bench.connect() as patient, bench.connect() as silent:
        patient.sendall(message("Check", {"wait": "long"}))
        assert bench.handler.entered.acquire(timeout=30)
        assert receive_all(silent) == []  # its time is over: so would be the other one's
        bench.handler.let_go["long"].set()
        assert [reply["parameters"] for reply in receive(patient)] == [{"waited": "long"}]


def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody(start):
    bench = start(limits=ServerLimits(reply_seconds=0.05, backlog_bytes=1 << 16))
    with bench.connect() as deaf:
        deaf.sendall(message("Check", {"progress": 2000, "length": 1000}, more=True) * 3)
        assert call(bench, "Log")["method"] == "Log"
        dropped = threading.Event()

        def look():
            dropped.set() if bench.server.calls == 0 and len(bench.server._connections) == 0 else None

        while not dropped.wait(0.01):
            bench.in_loop(look)
        replies = receive_all(deaf)
    assert {"done": True} not in [reply["parameters"] for reply in replies]


def test_a_client_that_hangs_up_cancels_what_runs_for_it(bench):
    bench.handler.let_go["never"] = threading.Event()
    connection = bench.connect()
    connection.sendall(message("Check", {"wait": "never"}))
    assert bench.handler.entered.acquire(timeout=30)
    connection.close()
    assert bench.handler.cancelled.acquire(timeout=30)


def test_a_killed_client_cancels_what_runs_for_it(bench):
    bench.handler.let_go["never"] = threading.Event()
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(bytes.fromhex(sys.argv[2])); s.recv(1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, bench.path, message("Check", {"wait": "never"}).hex()]
    )
    assert bench.handler.entered.acquire(timeout=30)
    process.kill()
    process.wait()
    assert bench.handler.cancelled.acquire(timeout=30)


def test_two_hundred_clients_at_once_are_all_answered(start):
    bench = start(limits=ServerLimits(calls=4))
    bench.handler.let_go["all"] = threading.Event()
    clients = [bench.connect() for _ in range(200)]
    for number, connection in enumerate(clients):
        if number % 10 == 0:
            connection.sendall(b"garbage\0")
        elif number % 10 == 1:
            connection.sendall(message("Check", {"wait": "all"}))
        elif number % 10 != 2:  # those stay silent
            connection.sendall(message("Log", {"limit": number}))
    for _ in range(4):
        assert bench.handler.entered.acquire(timeout=30)
    bench.handler.let_go["all"].set()
    for number, connection in enumerate(clients):
        if number % 10 == 2:
            connection.sendall(message("Log", {"limit": number}))
        (reply,) = receive(connection)
        if number % 10 == 0:
            assert error_of(reply) == "InvalidMessage"
        elif number % 10 == 1:
            assert reply["parameters"] == {"waited": "all"}
        else:
            assert reply["parameters"]["parameters"] == {"limit": number}
        connection.close()
    assert bench.handler.most_at_once == 4


def test_those_who_may_only_read_never_take_every_place_among_the_calls(start):
    readers = Access(root=os.geteuid() + 1, reader_group=os.getegid())
    bench = start(limits=ServerLimits(calls=8, calls_not_root=2), access=readers)
    bench.handler.let_go["all"] = threading.Event()
    clients = [bench.connect() for _ in range(6)]
    for connection in clients:
        connection.sendall(message("Log", {"wait": "all"}))
    for _ in range(2):
        assert bench.handler.entered.acquire(timeout=30)
    while bench.server.calls < 6:
        bench.in_loop(lambda: None)
    bench.handler.let_go["all"].set()
    for connection in clients:
        assert receive(connection)[0]["parameters"] == {"waited": "all"}
        connection.close()
    assert bench.handler.most_at_once == 2


def test_a_connection_goes_on_after_a_call_that_came_too_early(start, monkeypatch):
    ahead = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[0])
    monkeypatch.setattr("aptguard.daemon.server.time", clock)
    limits = ServerLimits(calls_in_a_row_not_root=3, seconds_per_call_not_root=3600.0, message_seconds=1e6)
    bench = start(access=Access(root=os.geteuid() + 1, reader_group=os.getegid()), limits=limits)
    with bench.connect() as connection:
        connection.sendall(b"".join(message("Log", {"limit": number}) for number in range(5)))
        replies = receive(connection, 5)
        assert [reply["parameters"]["parameters"]["limit"] for reply in replies[:3]] == [0, 1, 2]
        assert [error_of(reply) for reply in replies[3:]] == ["TooOften"] * 2
        ahead[0] = 3600.0
        connection.sendall(message("Log", {"limit": 5}) + message("Log"))
        good, early = receive(connection, 2)
    assert good["parameters"]["parameters"]["limit"] == 5
    assert error_of(early) == "TooOften"


def test_a_client_that_does_not_read_has_no_more_calls_made_until_it_does(start):
    bench = start(limits=ServerLimits(backlog_bytes=1 << 16, early_bytes=1 << 30, reply_seconds=1e6))
    waiting = []

    def look():
        waiting.append(max(one.waiting_bytes for one in bench.server._connections.values()))

    with bench.connect() as deaf, bench.connect() as other:
        deaf.sendall(b"".join(message("Log", {"limit": number, "x": "x" * 50_000}) for number in range(100)))
        for _ in range(200):
            other.sendall(message("Status"))
            assert receive(other)[0]["parameters"]["method"] == "Status"
            bench.in_loop(look)
        replies = receive(deaf, 100)
    assert 1 << 16 <= max(waiting) < (1 << 16) + 51_000
    assert [reply["parameters"]["parameters"]["limit"] for reply in replies] == list(range(100))


def test_a_failure_that_cannot_even_be_logged_is_answered_and_keeps_nobody_waiting(bench, monkeypatch):
    def out_of_memory(*_arguments, **_fields):
        raise MemoryError

    monkeypatch.setattr("aptguard.daemon.answer.log", out_of_memory)
    with pytest.raises(GuardError, match="MemoryError"):
        call(bench, "Pause", {"reason": "x", "seconds": 60})


def test_every_listening_socket_is_served(start, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(tmp_path / "readers"))
        other.listen()
        bench = start(others=[other])
        for path in (bench.path, str(tmp_path / "readers")):
            assert client.call("Log", {}, socket_path=path)["method"] == "Log"
        bench.close()


def test_one_client_too_many_is_told_so_and_the_others_are_served(start):
    bench = start(limits=ServerLimits(clients=2))
    with bench.connect() as first, bench.connect() as second, bench.connect() as third:
        (reply,) = receive_all(third)
        assert error_of(reply) == "Busy"
        for connection in (first, second):
            connection.sendall(message("Log"))
            assert receive(connection)[0]["parameters"]["method"] == "Log"


def test_a_client_that_sends_on_and_on_while_its_call_runs_is_refused(start):
    bench = start(limits=ServerLimits(early_bytes=1000))
    bench.handler.let_go["never"] = threading.Event()
    with bench.connect() as connection:
        connection.sendall(message("Check", {"wait": "never"}))
        assert bench.handler.entered.acquire(timeout=30)
        connection.sendall(b"x" * 2000)
        (reply,) = receive_all(connection)
    assert error_of(reply) == "Busy"
    assert bench.handler.cancelled.acquire(timeout=30)


def test_a_client_without_a_daemon_is_told_that_none_answers(tmp_path):
    with pytest.raises(client.Unreachable, match="No aptguardd answers"):
        client.call("Log", {}, socket_path=str(tmp_path / "none"))


@pytest.mark.parametrize("answer", [b"", b"garbage\0", b'{"parameters":'])
def test_a_daemon_that_ends_or_talks_nonsense_is_unreachable_and_no_reply(tmp_path, answer):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(client.Unreachable):
            client.call("Log", {}, socket_path=path)
        thread.join()


def test_ending_lets_a_running_call_finish_and_closes_the_idle_ones(bench):
    bench.handler.let_go["last"] = threading.Event()
    with bench.connect() as working, bench.connect() as idle:
        working.sendall(message("Check", {"wait": "last"}))
        assert bench.handler.entered.acquire(timeout=30)
        bench.in_loop(bench.server.stop_accepting)
        assert receive_all(idle) == []
        bench.handler.let_go["last"].set()
        assert [reply["parameters"] for reply in receive_all(working)] == [{"waited": "last"}]


def test_cancelling_all_reaches_every_running_call(bench):
    bench.handler.let_go["never"] = threading.Event()
    with bench.connect() as one, bench.connect() as two:
        for connection in (one, two):
            connection.sendall(message("Check", {"wait": "never"}))
            assert bench.handler.entered.acquire(timeout=30)
        bench.in_loop(bench.server.cancel_all)
        assert [error_of(receive(connection)[0]) for connection in (one, two)] == ["InternalError"] * 2
