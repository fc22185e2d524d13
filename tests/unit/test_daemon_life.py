# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon takes from systemd, and how it starts and ends without it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

import aptguard
from aptguard.daemon import client
from aptguard.daemon.supervisor import Supervisor, take_from_environment

pytestmark = pytest.mark.needs_root  # the daemon serves root alone

SOURCE = os.path.dirname(os.path.dirname(aptguard.__file__))
# A guard that only names what it finds in its surroundings, or waits until it is told to give up.
DAEMON = """
import os, sys
sys.path.insert(0, sys.argv[1])
followed = os.environ.pop("FOLLOWED")
import types
service = types.ModuleType("aptguard.guard.service")
class Guard:
    loaded = 0
    following = property(lambda self: int(os.path.exists(followed)))
    def stay(self):
        pass
    def __init__(self):
        Guard.loaded += 1
    def dispatch(self, method, parameters, *, peer, progress, cancelled):
        if method == "Check":
            progress("working")
            cancelled.wait(parameters["seconds"])
            return {"cancelled": cancelled.is_set()}
        return {"loaded": Guard.loaded, "environment": dict(os.environ), "umask": os.umask(0o077)}
service.Guard = Guard
sys.modules["aptguard.guard.service"] = service
if len(sys.argv) > 2 and sys.argv[2] == "activated":
    os.dup2(int(sys.argv[3]), 3)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="x", WATCHDOG_USEC="300000")
    del sys.argv[2:4]
from aptguard.daemon import main
sys.exit(main.main(sys.argv[2:]))
"""


class Started:
    """A daemon, and what it tells its supervisor."""

    def __init__(self, directory, *words: str, listener: socket.socket | None = None) -> None:
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.settimeout(30)
        address = os.path.join(directory, "notify")
        self.notify.bind(address)
        self.told: list[str] = []
        descriptor = () if listener is None else (listener.fileno(),)
        activated = [] if listener is None else ["activated", str(listener.fileno())]
        self.process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, SOURCE, *activated, *words],
            env={**os.environ, "NOTIFY_SOCKET": address, "FOLLOWED": os.path.join(directory, "followed")},
            pass_fds=descriptor,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_told(self, line: str) -> None:
        while line not in self.told:
            self.told += self.notify.recv(65536).decode().splitlines()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.notify.close()


@pytest.fixture
def start(tmp_path):
    started = []

    def make(*words, **options):
        started.append(Started(str(tmp_path), *words, **options))
        return started[-1]

    yield make
    for daemon in started:
        daemon.close()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run" / "socket")


def listening(path: str) -> socket.socket:
    os.makedirs(os.path.dirname(path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    return listener


def test_started_by_hand_it_makes_its_socket_and_takes_it_away(start, path):
    daemon = start("--socket", path)
    daemon.wait_until_told("READY=1")
    assert os.stat(path).st_mode & 0o077 == 0
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    assert client.call("Log", {}, socket_path=path)["umask"] == 0o077
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait() == 0
    assert not os.path.lexists(path)


def test_a_socket_that_a_killed_daemon_left_is_replaced(start, path):
    daemon = start("--socket", path)
    daemon.wait_until_told("READY=1")
    daemon.process.kill()
    daemon.process.wait()
    os.unlink(daemon.notify.getsockname())
    start("--socket", path).wait_until_told("READY=1")
    assert "loaded" in client.call("Log", {}, socket_path=path)


def test_a_second_daemon_does_not_take_the_socket_of_the_first(start, path):
    with listening(path):
        daemon = start("--socket", path)
        assert daemon.process.wait() == 1
        assert "Another aptguardd listens" in daemon.process.stderr.read()
    assert os.path.lexists(path)


def test_a_file_in_the_place_of_the_socket_is_not_removed(start, path):
    os.makedirs(os.path.dirname(path))
    with open(path, "w", encoding="ascii") as file:
        file.write("mine")
    daemon = start("--socket", path)
    assert daemon.process.wait() == 1
    assert "is no socket" in daemon.process.stderr.read()
    assert os.path.getsize(path) == 4


def test_started_by_systemd_it_serves_the_given_socket_and_leaves_no_trace_for_children(start, path):
    with listening(path) as listener:
        daemon = start(listener=listener)
        daemon.wait_until_told("READY=1")
        environment = client.call("Log", {}, socket_path=path)["environment"]
        assert [name for name in environment if name.startswith(("NOTIFY", "LISTEN", "WATCHDOG"))] == []
        daemon.wait_until_told("WATCHDOG=1")
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait() == 0
        daemon.wait_until_told("STOPPING=1")
    assert os.path.lexists(path)  # systemd's, not the daemon's


def test_an_idle_daemon_ends_when_systemd_can_start_it_again(start, path):
    with listening(path) as listener:
        daemon = start("--idle", "0.2", listener=listener)
        assert "loaded" in client.call("Log", {}, socket_path=path)
        assert daemon.process.wait() == 0


def test_a_client_that_stays_keeps_the_daemon(start, path):
    with listening(path) as listener, socket.socket(socket.AF_UNIX) as silent:
        daemon = start("--idle", "0.05", listener=listener)
        silent.connect(path)
        daemon.wait_until_told("READY=1")
        daemon.wait_until_told("WATCHDOG=1")
        told = len(daemon.told)
        while daemon.told[told:].count("WATCHDOG=1") < 3:  # a tenth of a second apart
            daemon.told += daemon.notify.recv(65536).decode().splitlines()
        assert daemon.process.poll() is None
        silent.close()
        assert daemon.process.wait() == 0


def test_a_run_that_is_followed_keeps_the_daemon(start, path, tmp_path):
    followed = tmp_path / "followed"
    followed.touch()
    with listening(path) as listener:
        daemon = start("--idle", "0.05", listener=listener)
        daemon.wait_until_told("READY=1")
        told = len(daemon.told)
        while daemon.told[told:].count("WATCHDOG=1") < 3:  # a tenth of a second apart
            daemon.told += daemon.notify.recv(65536).decode().splitlines()
        assert daemon.process.poll() is None
        followed.unlink()
        assert daemon.process.wait() == 0


def test_a_running_call_ends_before_the_daemon_does(start, path):
    daemon = start("--socket", path)
    daemon.wait_until_told("READY=1")

    def end(text: str) -> None:
        if text == "working":
            daemon.process.send_signal(signal.SIGTERM)

    reply = client.call("Check", {"seconds": 0.3}, socket_path=path, progress=end)
    assert reply == {"cancelled": False}
    assert daemon.process.wait() == 0


def test_a_reload_makes_the_guard_anew(start, path):
    daemon = start("--socket", path)
    daemon.wait_until_told("READY=1")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_until_told("STATUS=Reloaded.")
    assert client.call("Log", {}, socket_path=path)["loaded"] == 2


def test_what_is_meant_for_another_process_is_not_taken_but_removed():
    environment = {
        "LISTEN_PID": "1",
        "LISTEN_FDS": "1",
        "WATCHDOG_PID": "1",
        "WATCHDOG_USEC": "5000000",
        "NOTIFY_SOCKET": "/x",
        "PATH": "/bin",
    }
    assert take_from_environment(environment) == Supervisor(notify_address="/x")
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("count", ["0", "3", "many"])
def test_other_than_one_or_two_sockets_are_refused(count):
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}
    with pytest.raises(ValueError, match="one or two sockets"):
        take_from_environment(environment)


def test_telling_a_supervisor_that_is_gone_does_nothing(tmp_path):
    Supervisor(notify_address=str(tmp_path / "none")).tell("READY=1")
    Supervisor().tell("READY=1")


def test_an_abstract_address_is_told_too():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0aptguard-test-{os.getpid()}")
        Supervisor(notify_address=f"@aptguard-test-{os.getpid()}").tell("READY=1", "STATUS=x")
        assert receiver.recv(100) == b"READY=1\nSTATUS=x"
