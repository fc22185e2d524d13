# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor of one rehearsal: starts its init process, keeps the bounds, makes the result.

Runs in the helper process, single-threaded (a fork of a threaded interpreter can deadlock, and the parent
death signal is sent when the forking *thread* ends). It stays in the caller's mount namespace and never
mounts anything. Whatever goes wrong ends as an Unknown in the result.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aptguard.changes.model import Change
from aptguard.rehearsal import harvest, linux
from aptguard.rehearsal.answering import silent_mounts
from aptguard.rehearsal.bounds import Every, for_machine, memory_exhausted, read_memory, room_exhausted
from aptguard.rehearsal.channel import channel, mount_in, path_in, receive, tell, unknowns_in
from aptguard.rehearsal.failure import describe_failure
from aptguard.rehearsal.hollow_files import HollowFiles
from aptguard.rehearsal.meanwhile import changed_meanwhile, moment
from aptguard.rehearsal.model import (
    Effect,
    Question,
    RehearsalRequest,
    RehearsalResult,
    ScriptRun,
    StepResult,
    Unknown,
)
from aptguard.rehearsal.notifications import Notifications
from aptguard.rehearsal.observer import NoObserver, Observer
from aptguard.rehearsal.record_watch import RecordWatch
from aptguard.rehearsal.refused_settings import settings_refused
from aptguard.rehearsal.renewed_stand_ins import RenewedStandIns
from aptguard.rehearsal.tree_messages import layer_in, open_in_workspace
from aptguard.rehearsal.tripwire import Tripwires
from aptguard.rehearsal.unit_states import UnitStates
from aptguard.rehearsal.upper_room import UpperRoom
from aptguard.shown import shown

_TICK_SECONDS = 0.02
_MEMORY_SECONDS = 0.1
_GRACE_SECONDS = 5.0  # for the init process to kill what runs and to say so
_LAST_WORDS_BYTES = 4096  # of a call that failed
_FLOOD = 64  # times limits.output_bytes

Progress = Callable[[str], None]


class Supervisor:
    """One rehearsal, from fork to result; use ``run`` once."""

    def __init__(
        self,
        request: RehearsalRequest,
        caller: int | None,
        make_observer: Callable[[RehearsalRequest], Observer],
        progress: Progress,
    ) -> None:
        self._memory = read_memory()
        self._room = UpperRoom(request.limits)
        self._notifications, self._units = Notifications(), UnitStates()
        self._request = replace(request, limits=for_machine(request.limits, self._memory))
        self._room_look, self._memory_look = Every(_TICK_SECONDS), Every(_MEMORY_SECONDS)
        self._caller = caller
        self._make_observer = make_observer
        self._observer: Observer = NoObserver((), "the rehearsal ended before it could be observed")
        self._progress = progress
        self._scene = harvest.Scene()
        self._tripwires, self._records, self._renewed = Tripwires(), RecordWatch(), RenewedStandIns()
        self._unknowns: list[Unknown] = []
        self._notes: list[str] = []
        self._steps: dict[int, StepResult] = {}
        self._timing: dict[str, float] = {}
        self._output = bytearray()
        self._written, self._status_line = 0, b""
        self._cut_off = self._ended_early = self._quiet = False
        self._attempts: tuple[Effect, ...] = ()
        self._started = time.monotonic()
        self._began = moment()
        self._init = -1

    def run(self) -> RehearsalResult:
        """Rehearse and return the result; nothing runs any more when it returns."""
        with open("/proc/self/mountinfo", "rb") as file:
            silent = silent_mounts(file.read())
        self._room.prepare(self._request.limits)
        linux.unshare(linux.CLONE_NEWPID)
        self._control, theirs = channel()
        self._output_pipe, output = os.pipe2(os.O_CLOEXEC)
        self._status_pipe, status = os.pipe2(os.O_CLOEXEC)
        self._init = os.fork()
        if self._init == 0:
            from aptguard.rehearsal.sandbox import run_init

            self._control.close()
            for fd in (self._output_pipe, self._status_pipe):
                os.close(fd)
            run_init(self._request, theirs, output, status, silent, self._room.device)
        theirs.close()
        os.close(output)
        os.close(status)
        for fd in (self._output_pipe, self._status_pipe):
            os.set_blocking(fd, False)
        try:
            # Loaded while the init process builds its tree: it runs on another processor.
            self._observer = self._make_observer(self._request)
            self._notifications.script_of = self._observer.script_of
            self._watch()
            return self._result()
        finally:
            self._end()

    # -- while it runs ---------------------------------------------------------------------------------

    def _watch(self) -> None:
        deadline = self._started + self._request.limits.seconds
        kill_at: float | None = None
        while not self._quiet:
            now = time.monotonic()
            if kill_at is None:
                reason = self._reason_to_stop(now, now > deadline)
                if reason is not None:
                    self._cut_off = True
                    if reason:
                        self._unknowns.append(Unknown("the rehearsal was cut off", reason))
                    kill_at = now + _GRACE_SECONDS
                    tell(self._control, "stop")
            elif now > kill_at:
                self._unknowns.append(Unknown("the rehearsal's end", "its init process did not answer"))
                return
            tick = self._room_look.due - now if kill_at is None else _TICK_SECONDS
            wait = min(tick, (kill_at or deadline) - now, self._observer.seconds_until_stop() or 1.0)
            if not self._poll(max(0.0, wait)):
                return

    def _reason_to_stop(self, now: float, too_late: bool) -> str | None:
        """Return why the run must end now; an empty text when no reproach is meant; None to go on."""
        limits = self._request.limits
        if too_late:
            return f"it was not done after {limits.seconds:g} seconds"
        if self._written > limits.output_bytes * _FLOOD:
            return f"the scripts wrote more than {limits.output_bytes * _FLOOD} bytes of output"
        if self._observer.should_stop():
            self._ended_early = True
            self._attempts = tuple(self._observer.attempts)
            self._notes.append("the rehearsal was ended early: what it had done already decides")
            return ""
        if self._memory_look.is_due(now) and (reason := memory_exhausted(self._memory, read_memory())):
            return reason
        return self._room_exhausted() if self._room_look.is_due(now) else None

    def _room_exhausted(self) -> str | None:
        if self._scene.shared_memory >= 0:
            reason = room_exhausted(os.statvfs(self._scene.shared_memory), self._request.limits)
            if reason is not None:
                return reason
        return self._room.exhausted(self._scene.workspace)

    def _poll(self, seconds: float) -> bool:
        """Take in what has come; return False when the init process is gone."""
        poller = select.poll()
        observed = (*self._observer.filenos(), *self._notifications.filenos(), *self._units.filenos())
        pipes = self._output_pipe, self._status_pipe, self._tripwires.pipe
        for fd in (self._control.fileno(), *pipes, *observed):
            if fd >= 0:
                poller.register(fd, select.POLLIN)
        if self._caller is not None:
            poller.register(self._caller, select.POLLIN)
        alive = True
        for fd, _ in poller.poll(seconds * 1000):
            if fd == self._control.fileno():
                alive = self._take_message()
            elif fd == self._output_pipe:
                self._take_output()
            elif fd == self._status_pipe:
                self._take_status()
            elif fd == self._tripwires.pipe:
                self._tripwires.take()
            elif fd == self._caller:
                raise CallerGone("the caller went away")
            elif fd in self._notifications.filenos():
                self._notifications.ready()
            elif fd in self._units.filenos():
                self._units.ready(fd)
            else:
                self._observer.ready(fd)
        return alive

    def _take_message(self) -> bool:
        try:
            received = receive(self._control)
        except OSError:
            received = None
        if received is None:
            self._unknowns.append(Unknown("the rehearsal", "its init process ended before its work was done"))
            return False
        message, descriptors = received
        match message["kind"]:
            case "mount":
                self._scene.mounts.append(mount_in(message))
            case "layer":
                self._scene.layers.append(layer_in(message, self._scene.workspace, descriptors[0]))
            case "workspace":
                self._scene.workspace = descriptors[0]
                self._notes += self._room.mounted(descriptors[0])
            case "file":
                copy = open_in_workspace(message, self._scene.workspace)
                self._scene.files.append(harvest.FileCopy(path_in(message["point"]), copy, descriptors[0]))
            case "hollow":
                self._scene.hollow = HollowFiles(descriptors[0])
            case "tripwires":
                (self._tripwires.pipe,) = descriptors
            case "tripwire":
                self._tripwires.add(path_in(message["point"]), message["reason"], descriptors[0])
            case "units":
                self._units.listen(*descriptors)
            case "built":
                self._scene.merged, self._scene.namespace, *own_shared_memory = descriptors
                self._scene.shared_memory = own_shared_memory[0] if own_shared_memory else -1
                self._unknowns += unknowns_in(message)
                self._notes += message["notes"]
            case "ready":
                self._notes += message["notes"]
                for listener in descriptors:
                    self._notifications.listen(listener, self._init)
                self._renewed.attach(self._scene.merged, message["ours"], self._records.watch_further)
                self._observer.renew(self._renewed)
                self._observer.attach(self._scene.workspace, self._scene.merged, tuple(self._scene.layers))
                stand_ins = (map(path_in, message[key]) for key in ("recorders", "listening"))
                self._notes += self._records.attach(self._scene.merged, harvest.RECORDS, *stand_ins)
                self._timing["set-up"] = time.monotonic() - self._started
                tell(self._control, "go")  # it may have been told to stop before
            case "step":
                self._take_step(message)
            case "quiet":
                self._take_quiet(message)
            case "failed":
                self._unknowns.append(Unknown("the rehearsal could not be run", message["reason"]))
                return False
            case other:
                raise ValueError(f"the init process sent {other!r}, which is no message of ours")
        return True

    def _take_step(self, message: dict[str, Any]) -> None:
        self._renewed.step_ended(self._observer.catch_up())
        tell(self._control, "next")
        number = message["number"]
        step = self._request.steps[number]
        self._steps[number] = StepResult(step.argv, message["status"], message["seconds"])
        if message["left_out"]:
            names = ", ".join(shown(name) for name in message["left_out"])
            self._notes.append(f"the triggers of {names} were not rehearsed: the policy knows what they do")
        if message["status"] != 0:
            self._take_output()
            tail = bytes(self._output[-_LAST_WORDS_BYTES:])
            self._unknowns.append(describe_failure(step.argv, message["status"], tail))

    def _take_quiet(self, message: dict[str, Any]) -> None:
        self._quiet = True
        if message["stopped"]:
            self._cut_off = True
            self._unknowns.append(Unknown("the rehearsal was cut off", message["stopped"]))
        for process in message["leftovers"]:
            self._unknowns.append(
                Unknown("what a process left behind would still do", f"still running at the end: {process}")
            )
        self._scene.untouched = frozenset(map(path_in, message["untouched"]))
        self._scene.altered = frozenset(map(path_in, message["altered"]))

    def _take_output(self) -> None:
        if self._output_pipe < 0:
            return
        try:
            data = os.read(self._output_pipe, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            os.close(self._output_pipe)
            self._output_pipe = -1
            return
        self._written += len(data)
        self._output += data
        bound = self._request.limits.output_bytes
        if len(self._output) > 2 * bound:
            del self._output[: len(self._output) - bound]

    def _take_status(self) -> None:
        """Read dpkg's status lines (dpkg(1), --status-fd): they say what it is about to do."""
        try:
            data = os.read(self._status_pipe, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            os.close(self._status_pipe)
            self._status_pipe = -1
            return
        self._written += len(data)
        lines = (self._status_line + data).split(b"\n")
        self._status_line = lines.pop()[-4096:]
        for line in lines:
            if line.startswith(b"processing: "):
                self._progress(shown(line[len(b"processing: ") :]).replace(":", "", 1))

    # -- afterwards ------------------------------------------------------------------------------------

    def _result(self) -> RehearsalResult:
        self._timing["run"] = time.monotonic() - self._started - self._timing.get("set-up", 0.0)
        # The init process is reaped only when no process of its pid namespace is left (zap_pid_ns_processes()
        # in the kernel): so nothing changes any more while it is read. The mounts stay by the descriptor of
        # their namespace.
        self._kill()
        begun = time.monotonic()
        self._unknowns += (*self._tripwires.touched(), *self._renewed.give_back())
        self._observer.finish()
        self._unknowns += self._observer.unknowns
        while self._output_pipe >= 0 and select.select([self._output_pipe], [], [], 0)[0]:
            self._take_output()
        passed = memory_exhausted(self._memory, read_memory()) or self._room_exhausted()
        if passed is not None and not self._cut_off:
            self._unknowns.append(Unknown("the rehearsal passed a bound", passed))
        changes: tuple[Change, ...] = ()
        effects: tuple[Effect, ...] = ()
        questions: tuple[Question, ...] = ()
        collected: dict[bytes, bytes | None] = {}
        all_of_them = False
        if self._scene.merged >= 0:
            limit = self._request.limits.changes
            changes, all_of_them, unread = harvest.harvest_changes(self._scene, self._observer, limit)
            self._unknowns += unread
            self._unknowns += changed_meanwhile(changes, self._scene.layers, self._scene.mounts, self._began)
            collected, unread = harvest.collect(self._scene.merged, self._request.collect)
            self._unknowns += unread
            watched = self._records.finish(self._scene.merged)
            effects, questions, unread = harvest.recorded(self._scene, changes, watched, self._cut_off)
            self._unknowns += unread
        self._timing["reading"] = time.monotonic() - begun
        self._timing["total"] = time.monotonic() - self._started
        settings = settings_refused(self._output)
        stopped_by = self._request.stop_patterns if self._ended_early else ()
        done = [
            self._steps.get(number, StepResult(step.argv, None, 0.0))
            for number, step in enumerate(self._request.steps)
        ]
        ended = self._quiet and not self._cut_off and all_of_them and all(step.status == 0 for step in done)
        if not ended and not self._unknowns and not self._cut_off:
            self._unknowns.append(Unknown("the rehearsal", "it did not come to its end"))
        return RehearsalResult(
            steps=tuple(done),
            changes=changes,
            complete=ended,
            collected=collected,
            unknowns=tuple(self._unknowns),
            effects=(*effects, *settings, *self._notifications.effects, *self._attempts),
            notes=(*self._notes, *self._notifications.notes, *self._observer.notes),
            output=bytes(self._output[-self._request.limits.output_bytes :]),
            timing=self._timing,
            scripts=self._scripts(),
            mount_points={mount.point: mount.read_only for mount in self._scene.mounts},
            questions=questions,
            ended_early=self._ended_early,
            lying_below=harvest.lying_below(self._scene, changes, self._attempts, stopped_by),
            earlier_causes=self._scene.earlier_causes,
            account_steps=tuple(self._observer.account_steps),
        )

    def _scripts(self) -> tuple[ScriptRun, ...]:
        """Return the runs of scripts by the clock of the run, which begins when all is set up."""
        zero = self._started + self._timing.get("set-up", 0.0)
        return tuple(replace(run, begin=max(0.0, run.begin - zero)) for run in self._observer.scripts)

    def _kill(self) -> None:
        """End the init process and with it, by the kernel, everything that runs in the rehearsal."""
        if self._init > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
            init, self._init = self._init, -1
            if not linux.reaped_within(init, _GRACE_SECONDS):
                raise OSError(
                    errno.ETIME, "a process in it cannot be ended: a file system does not answer it"
                )

    def _end(self) -> None:
        watching = (self._observer, self._notifications, self._units, self._records, self._control)
        for one in watching:
            one.close()
        self._kill()
        self._room.give_up(self._scene.workspace)


class CallerGone(Exception):  # noqa: N818
    """Nobody waits for the result any more."""
