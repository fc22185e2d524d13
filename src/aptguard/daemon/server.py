# SPDX-License-Identifier: GPL-3.0-or-later
"""The accept loop: one thread that reads and writes for all clients and never waits for one of them.

Each call is answered in a thread of its own, which mostly waits for the rehearsal's helper process. A
thread gives its replies back to the loop; only the loop touches sockets.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aptguard.alerts.journal import log
from aptguard.daemon.access import Access, read_peer
from aptguard.daemon.answer import Dispatch, Request, answer, own_error
from aptguard.daemon.call_rate import CallRate
from aptguard.daemon.connection import Connection, close_all
from aptguard.daemon.varlink import MessageError


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds: seconds, counts and bytes."""

    message_seconds: float = 20.0  # for a whole message to come in, and for silence between two
    reply_seconds: float = 20.0  # for a reply to be taken
    clients: int = 400
    clients_not_root: int = 40
    calls: int = 16  # running at once; others wait
    calls_not_root: int = 4  # of these: who may only read must not keep apt waiting
    calls_in_a_row_not_root: int = 30  # of one user; more than people and monitoring make
    seconds_per_call_not_root: float = 2.0  # after that
    backlog_bytes: int = 1 << 20  # of replies; beyond it progress is left out, and the next call waits
    early_bytes: int = 4 << 20  # of further messages while a call runs


class Server:
    """Serves listening Unix stream sockets until it is told to stop."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        dispatch: Dispatch,
        *,
        access: Access | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._dispatch = dispatch
        self._access = access or Access()
        self._limits = limits or ServerLimits()
        self._rate = CallRate(self._limits.calls_in_a_row_not_root, self._limits.seconds_per_call_not_root)
        self._connections: dict[int, Connection] = {}
        self._posted: deque[Callable[[], None]] = deque()
        self._queued: deque[tuple[Connection, Request]] = deque()
        self._running = 0
        self._running_not_root = 0
        self._stopping = False
        self._idle_since = time.monotonic()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._epoll = select.epoll()
        for descriptor, listener in self._listeners.items():
            listener.setblocking(False)
            self._epoll.register(descriptor, select.EPOLLIN)
        self._epoll.register(self._woken.fileno(), select.EPOLLIN)

    @property
    def calls(self) -> int:
        """How many calls are running or waiting for their turn."""
        return self._running + len(self._queued)

    @property
    def idle_seconds(self) -> float:
        """For how long there has been neither a client nor a call."""
        return 0.0 if self._connections or self.calls else time.monotonic() - self._idle_since

    def wake(self) -> None:
        """Make the loop turn once now; safe from any thread and from a signal handler."""
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody is there to wake
            self._waker.send(b"\0")

    @property
    def waker(self) -> int:
        """The descriptor for signal.set_wakeup_fd()."""
        return self._waker.fileno()

    def stop_accepting(self) -> None:
        """Take no new client or call; those that are running go on."""
        if not self._stopping:
            self._stopping = True
            for listener in self._listeners:
                self._epoll.unregister(listener)
            for connection in list(self._connections.values()):
                if connection.cancelled is None:
                    self._finish(connection)

    def cancel_all(self) -> None:
        """Tell every call to give up."""
        for connection in list(self._connections.values()):
            if connection.cancelled is not None:
                connection.cancelled.set()

    def turn(self, seconds: float) -> None:
        """Do what there is to do, after waiting for it for at most ``seconds``."""
        deadlines = [c.deadline for c in self._connections.values() if c.deadline is not None]
        if deadlines:
            seconds = min(seconds, max(0.0, min(deadlines) - time.monotonic()))
        # Rounded up by a millisecond: epoll's clock must not fall short of a deadline and spin.
        ready = dict(self._epoll.poll(seconds + 0.001))
        callers = [listener for number, listener in self._listeners.items() if ready.pop(number, 0)]
        for descriptor, events in ready.items():
            if descriptor == self._woken.fileno():
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            elif (connection := self._connections.get(descriptor)) is not None:
                self._serve(connection, events)
        for listener in callers:  # last: a new client may get the number of one that was dropped just now
            self._accept(listener)
        while self._posted:
            self._posted.popleft()()
        self._drop_late()

    def close(self) -> None:
        """Close everything but the listeners, cancelling what runs."""
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._epoll.close()
        self._woken.close()
        self._waker.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):  # then the others get their turn
            try:
                connected, _address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log().error("A client could not be accepted", reason=str(error))
                time.sleep(0.05)  # out of descriptors: epoll would tell again at once
                return
            try:
                self._welcome(connected)
            except OSError:
                connected.close()  # gone already

    def _welcome(self, connected: socket.socket) -> None:
        peer, groups = read_peer(connected)
        root = self._access.is_root(peer)
        limit = self._access.message_limit(peer)
        connection = Connection(connected, peer, groups, limit=limit, descriptors=root)
        others = sum(not self._access.is_root(c.peer) for c in self._connections.values())
        if len(self._connections) >= self._limits.clients or (
            not root and others >= self._limits.clients_not_root
        ):
            connection.write(own_error("Busy", "Too many clients at once; try again."))
            connection.close()
            return
        connection.deadline = time.monotonic() + self._limits.message_seconds
        self._connections[connected.fileno()] = connection
        self._epoll.register(connected.fileno(), connection.events)

    def _serve(self, connection: Connection, events: int) -> None:
        if events & (select.EPOLLHUP | select.EPOLLERR) and not events & select.EPOLLIN:
            self._drop(connection)
            return
        if events & select.EPOLLOUT:
            self._send(connection, b"")
            if self._is_open(connection) and not connection.ending:
                self._next_call(connection)
        elif events & select.EPOLLIN and not connection.ending:
            if connection.read():
                self._next_call(connection)
            elif events & (select.EPOLLHUP | select.EPOLLERR):
                self._drop(connection)  # closed at the other end: nobody waits for the answer
            else:
                connection.ended_by_peer = True  # shutdown(2) of one direction: still reads
                self._next_call(connection)

    def _next_call(self, connection: Connection) -> None:
        """Start on the next message if it is there whole, nothing runs for this client and it reads."""
        if connection.cancelled is not None or connection.waiting_bytes >= self._limits.backlog_bytes:
            if len(connection.framer) > self._limits.early_bytes:
                self._refuse(connection, MessageError("Busy", "Wait for the reply before you send more."))
            else:
                self._update(connection)
            return
        try:
            message = connection.framer.take()
        except MessageError as error:
            self._refuse(connection, error)
            return
        if message is None:
            if connection.ended_by_peer or self._stopping:
                self._finish(connection)
            else:
                self._update(connection)
            return
        if not connection.waiting_bytes:
            connection.deadline = None
        cancelled = connection.cancelled = threading.Event()
        peer = connection.peer
        early = 0.0 if self._access.is_root(peer) else self._rate.take(peer.uid, time.monotonic())
        request = Request(
            message, peer, connection.groups, connection.take_descriptors(), cancelled, early_seconds=early
        )
        self._queued.append((connection, request))
        self._update(connection)
        self._start_queued()

    def _start_queued(self) -> None:
        held_back: list[tuple[Connection, Request]] = []
        while self._queued and self._running < self._limits.calls:
            connection, request = self._queued.popleft()
            if self._access.is_root(request.peer) or self._running_not_root < self._limits.calls_not_root:
                self._start(connection, request)
            else:
                held_back.append((connection, request))
        self._queued.extendleft(reversed(held_back))

    def _start(self, connection: Connection, request: Request) -> None:
        if request.cancelled.is_set():  # it has hung up while it waited
            close_all(request.descriptors)
            return
        self._running += 1
        self._running_not_root += not self._access.is_root(request.peer)
        thread = threading.Thread(target=self._run, args=(connection, request), daemon=True)
        thread.start()

    def _run(self, connection: Connection, request: Request) -> None:
        def send_progress(data: bytes) -> None:
            self._post(lambda: self._progress(connection, data))

        try:
            reply, goes_on = answer(request, self._dispatch, self._access, send_progress)
        except BaseException as error:  # no memory even to log it: whoever waits must hear of it all the same
            reply, goes_on = own_error("InternalError", f"aptguardd failed: {type(error).__name__}"), False
        close_all(request.descriptors)
        self._post(lambda: self._end_call(connection, reply, goes_on))

    def _post(self, action: Callable[[], None]) -> None:
        self._posted.append(action)
        self.wake()

    def _progress(self, connection: Connection, data: bytes) -> None:
        if self._is_open(connection) and connection.waiting_bytes < self._limits.backlog_bytes:
            self._send(connection, data)

    def _end_call(self, connection: Connection, reply: bytes, goes_on: bool) -> None:
        self._running -= 1
        self._running_not_root -= not self._access.is_root(connection.peer)
        self._idle_since = time.monotonic()
        self._start_queued()
        if not self._is_open(connection):
            return
        connection.cancelled = None
        if not goes_on:
            connection.ending = True
        self._send(connection, reply)
        if self._is_open(connection) and not connection.ending:
            self._next_call(connection)

    def _refuse(self, connection: Connection, error: MessageError) -> None:
        connection.ending = True
        self._send(connection, own_error(error.name, str(error)))

    def _finish(self, connection: Connection) -> None:
        """Close the connection once what is on its way has been sent."""
        connection.ending = True
        self._send(connection, b"")

    def _send(self, connection: Connection, data: bytes) -> None:
        before = connection.waiting_bytes
        sent = connection.write(data)
        if not sent or (connection.ending and not connection.waiting_bytes):
            self._drop(connection)
        else:
            now = time.monotonic()
            if connection.waiting_bytes:
                if not before or connection.waiting_bytes < before + len(data):  # some of it was taken
                    connection.deadline = now + self._limits.reply_seconds
            elif connection.cancelled is None:
                connection.deadline = now + self._limits.message_seconds
            else:
                connection.deadline = None
            self._update(connection)

    def _update(self, connection: Connection) -> None:
        self._epoll.modify(connection.socket.fileno(), connection.events)

    def _drop_late(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if connection.deadline is None or connection.deadline > now:
                continue
            if len(connection.framer) and not connection.waiting_bytes:
                seconds = self._limits.message_seconds
                late = own_error("MessageTooLate", f"The message did not end within {seconds:g} s.")
                connection.write(late)
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if self._is_open(connection):
            descriptor = connection.socket.fileno()
            self._epoll.unregister(descriptor)
            del self._connections[descriptor]
            self._idle_since = time.monotonic()
            connection.close()

    def _is_open(self, connection: Connection) -> bool:
        return self._connections.get(connection.socket.fileno()) is connection
