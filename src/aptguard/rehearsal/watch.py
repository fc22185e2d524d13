# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching a rehearsal from outside with fanotify: who did it, how far it is, and when it may end early.

Two groups: `UpperChanges` tells what happens in the upper layers, and `ProgramStarts` holds each maintainer
script and each program for a moment when it starts. Before we let it go on we have read every change that
was made so far: that gives one strict order of changes and scripts. What must hold: a failure in here ends
the watching (closing both groups, which lets everything go on), never the rehearsal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from aptguard.changes.model import Cause, Kind
from aptguard.rehearsal import fanotify as fan
from aptguard.rehearsal.account_steps import ACCOUNT_FILES, AccountSteps, Layer
from aptguard.rehearsal.attribution import Action, Attribution
from aptguard.rehearsal.early_stop import EarlyStop
from aptguard.rehearsal.home_removal import HomeRemovals
from aptguard.rehearsal.lower_entries import LowerEntries
from aptguard.rehearsal.maintainer_script import package_and_script
from aptguard.rehearsal.model import AccountStep, Effect, Progress, ScriptRun, Unknown
from aptguard.rehearsal.observer import ObservedLayer, Renewing
from aptguard.rehearsal.other_case import CaselessPlaces
from aptguard.rehearsal.processes import look_at, start_time
from aptguard.rehearsal.program_starts import LINKER_CACHE, UNPACKED_SCRIPTS, ProgramStarts
from aptguard.rehearsal.upper_changes import UpperChanges
from aptguard.shown import shown

_READS_AT_ONCE: Final = 8  # so that a flood of changes leaves the caller time for its deadline
_GATHERING_SECONDS: Final = 0.02
_FLOOD: Final = 100  # changes in that time
_PATHS_BETWEEN_REPORTS: Final = 1000


class Watcher:
    """Observes one rehearsal; the sandbox' supervisor polls `filenos` and calls `ready`.

    ``packages`` are the names in the transaction: a single one is named wherever nothing better is known.
    ``programs_per_script`` bounds the price: after so many program starts in one maintainer script,
    further ones are not stopped for a look at their command line (about 0.1 ms each).
    """

    def __init__(
        self,
        *,
        packages: Sequence[str] = (),
        stop_patterns: Sequence[bytes] = (),
        progress: Callable[[Progress], None] | None = None,
        early_stop: EarlyStop | None = None,
        programs_per_script: int = 2000,
        limit: int = 500_000,
    ) -> None:
        only = packages[0].encode("utf-8", "surrogateescape") if len(set(packages)) == 1 else None
        self.attribution = Attribution(only_package=only, limit=limit)
        self._stop = early_stop if early_stop is not None else EarlyStop(stop_patterns)
        self._progress = progress
        self._reported: tuple[object, str | None] = (None, None)
        self._reported_paths = 0
        self._notes: dict[str, None] = {}
        self._changes: UpperChanges | None = None
        self._starts: ProgramStarts | None = None
        self._before = LowerEntries(())
        self._accounts = AccountSteps()
        self._removals = HomeRemovals(self._stop.concerns)
        self._started: dict[int, int | None] = {}
        self._gather_until = 0.0
        self._window = 0.0
        self._in_window = 0
        self._programs = 0
        self._programs_limit = programs_per_script
        self._caseless = CaselessPlaces()
        self._renewing: Renewing | None = None
        self._pid = os.getpid()
        self._blind = ""  # why not every script and program is seen
        self._unseen = False  # programs may have started that nobody held, and nothing was told of it yet

    def attach(self, workspace_fd: int, merged_root_fd: int, layers: Sequence[Layer]) -> None:
        """Start watching; before anything runs inside. Never raises: without fanotify there is a note.

        The descriptors must stay open as long as the watcher does; they are not closed here.
        """
        self._before = LowerEntries(layers)
        self._accounts = AccountSteps(layers)
        self._removals.attach(merged_root_fd)
        self._caseless = CaselessPlaces(one for one in layers if isinstance(one, ObservedLayer))
        try:
            self._changes = UpperChanges(workspace_fd, layers)
        except OSError as error:
            self._give_up(f"the kernel does not report changes of the overlay ({error})")
            return
        for mount_point in self._changes.uncovered:
            self._note(f"attribution incomplete: {shown(mount_point)} has its upper layer elsewhere")
        try:
            self._starts = ProgramStarts(merged_root_fd)
        except OSError as error:
            self._blind = f"program starts are not seen ({error})"
            self._note(f"changes are told apart by process only, since {self._blind}")
            return
        if not self._starts.sees_programs:
            self._blind = "only the starts of scripts are seen"
        self.attribution.ordered = self._starts.waits
        if not self._starts.waits:
            self._note("attribution may be off by a moment: this kernel lets no script wait for the watcher")

    def renew(self, renewing: Renewing) -> None:
        """Tell ``renewing`` each change, and let it act before a program goes on."""
        self._renewing = renewing

    def catch_up(self) -> bool:
        """Take all changes that were made so far; return whether each is seen, and each program waits."""
        try:
            self._catch_up()
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")
        starts, changes = self._starts, self._changes
        if starts is None or changes is None or min(starts.fd, changes.fd) < 0 or changes.uncovered:
            return False
        return self._held(starts.waits and starts.sees_programs)

    def _held(self, now: bool) -> bool:
        """Whether each program until ``now`` was held; to be asked when all changes until then are taken."""
        unseen, self._unseen = self._unseen, False
        return now and not unseen

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors to poll for input now; ask again before each poll."""
        groups = (self._starts, None if self._pause() else self._changes)
        return tuple(group.fd for group in groups if group is not None and group.fd >= 0)

    def _pause(self) -> float:
        """Return the seconds for which changes are left to gather, while they come in floods.

        Taken one by one each of them costs a wake-up, several times what it costs in a batch.
        """
        return max(0.0, self._gather_until - monotonic())

    def _take_some(self, changes: UpperChanges) -> None:
        now = monotonic()
        if now > self._window + _GATHERING_SECONDS:
            self._window, self._in_window = now, 0
        for _ in range(_READS_AT_ONCE):
            taken = self._take(changes)
            self._in_window += taken
            if not taken:
                break
        if self._in_window > _FLOOD:
            self._gather_until = self._window + _GATHERING_SECONDS

    def ready(self, fileno: int) -> None:
        """Take what ``fileno`` has to say. Never raises; a failure ends the watching, not the rehearsal."""
        try:
            if self._starts is not None and fileno == self._starts.fd:
                self._answer(self._starts)
            elif self._changes is not None and fileno == self._changes.fd:
                self._take_some(self._changes)
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def causes(self, path: bytes, kinds: frozenset[Kind]) -> tuple[Cause, ...]:
        """Return who may have made ``path`` differ in ``kinds``, the last one first; as far as seen."""
        return self.attribution.causes(path, kinds)

    @property
    def account_steps(self) -> tuple[AccountStep, ...]:
        """Return how the account files changed, one script after the other."""
        return self._accounts.steps(self.attribution.cause_of)

    def script_of(self, pid: int) -> str | None:
        """Return package and script that a process belongs to, None where that is dpkg or was not seen."""
        if not self.attribution.knows(pid):
            self._see(pid)
        script = self.attribution.script_of(pid)
        if script is None:
            return None
        package = "" if script.package is None else shown(script.package) + " "
        return package + shown(script.label())

    def should_stop(self) -> bool:
        """Whether a deletion below a stop pattern was seen, or is certain, and the grace after it is over."""
        if self._stop.first is None:
            return self._removals.seconds_until_stop() == 0.0
        waiting = 0 if self._changes is None or self._changes.fd < 0 else self._changes.queued()
        return self._stop.remaining(waiting) == 0.0

    @property
    def attempts(self) -> tuple[Effect, ...]:
        """Return what was certain to be deleted and was not yet."""
        if self._stop.first is None and self._removals.seconds_until_stop() == 0.0:
            return self._removals.attempts
        return ()

    def seconds_until_stop(self) -> float | None:
        """Return how long the caller may sleep before it asks again, also `filenos`; None: until input."""
        pause, remaining = self._pause(), self._stop.remaining()
        if remaining is None:
            remaining = self._removals.seconds_until_stop()
        if not pause:
            return remaining
        return pause if remaining is None else min(pause, remaining)

    def finish(self) -> None:
        """Take all that is still queued and stop watching; to be called when every process has ended.

        The descriptors stay open until `close`, which waits for the kernel.
        """
        try:
            self._catch_up()
            self._accounts.take(self._catch_up)
            if self._starts is not None and self._starts.fd >= 0:
                self._starts.forget_all()  # nothing that reads the result may be made to wait
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Stop watching; every process that waits for an answer goes on."""
        for group in (self._starts, self._changes):
            if group is not None:
                group.close()

    @property
    def scripts(self) -> tuple[ScriptRun, ...]:
        """Return the runs of maintainer scripts that were seen, ``begin`` by time.monotonic()."""
        self._note_end(monotonic())
        return tuple(
            ScriptRun(
                None if script.package is None else shown(script.package),
                shown(script.label()),
                script.begun,
                max(0.0, (script.ended or script.begun) - script.begun),
            )
            for script in self.attribution.scripts
            if script.begun  # else only its traces were seen
        )

    def _note_end(self, now: float) -> None:
        """Note that the script which ran last has ended, if it was not seen before."""
        last = self.attribution.last_script
        if last is not None and last.ended is None:
            last.ended = now

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """Return what the scripts named where a name means more than the rehearsal shows."""
        return self._caseless.unseen(self._blind) if self._blind else self._caseless.unknowns

    @property
    def notes(self) -> tuple[str, ...]:
        """Return sentences for the report where attribution is not what it should be."""
        if self.attribution.truncated:
            self._note(f"attribution incomplete: more than {self.attribution.limit} paths changed")
        return tuple(self._notes)

    def _answer(self, starts: ProgramStarts) -> int:
        events, in_time = starts.read(), starts.waits and starts.sees_programs
        try:
            if starts.waits:
                # Only now, with these processes waiting, is all that they did before in the other queue.
                self._catch_up()
                self._accounts.take(self._catch_up)
            for event in events:
                if event.fd >= 0:
                    self._start(starts, event)
            if self._renewing is not None:
                commands = (self.attribution.command_of(event.pid) for event in events)
                self._renewing.programs_wait(commands, self._held(in_time))
        finally:
            starts.release(events)
        self._report()
        return len(events)

    def _look_ahead(self) -> None:
        """Where nobody waits for us, take the starts that came before the changes in hand."""
        if self._starts is not None and self._starts.fd >= 0 and not self._starts.waits:
            for _ in range(_READS_AT_ONCE):
                if not self._answer(self._starts):
                    break

    def _start(self, starts: ProgramStarts, event: fan.Event) -> None:
        name = starts.executed_file(event)
        if name is None:
            self._programs += 1
            if self._programs > self._programs_limit and starts.sees_programs and not self._caseless:
                starts.see_programs(False)
            self._see(event.pid)
            if self.attribution.belongs_to_script(event.pid):
                argv = self.attribution.command_of(event.pid)
                self._removals.program_started(event.pid, argv, self.script_of(event.pid))
                self._caseless.command(event.pid, argv)
        elif package_and_script(name) is not None:
            self._forget_ended()
            self._note_end(monotonic())
            self.attribution.script_started(event.pid, name, monotonic())
            self._caseless.script(event.fd)
            self._programs = 0
            if not starts.sees_programs:
                starts.see_programs(True)

    def _see(self, pid: int) -> None:
        seen, started = look_at(pid, self.attribution.owned_by_script)
        if pid in self._started and self._started[pid] != started:
            self.attribution.forget(pid)
        self._started[pid] = started
        self.attribution.process_seen(seen)

    def _forget_ended(self) -> None:
        """Drop processes that have ended, whose changes were all taken: their numbers may be used again."""
        for pid, started in list(self._started.items()):
            if started is None or start_time(pid) != started:
                del self._started[pid]
                self.attribution.forget(pid)

    def _catch_up(self) -> None:
        """Take what is queued at this moment; not more, since others may go on writing for ever."""
        if self._changes is None or self._changes.fd < 0:
            return
        queued = self._changes.queued()
        while queued > 0:
            taken = self._take(self._changes)
            if not taken:
                break
            queued -= taken

    def _take(self, changes: UpperChanges) -> int:
        events = changes.read()
        self._look_ahead()
        for event in events:
            if event.mask & fan.FAN_Q_OVERFLOW:
                self._note("attribution incomplete: the kernel's event queue was full")
                self._accounts.give_up()
                continue
            change = changes.understand(event)
            if change is None or change[0] == self._pid:  # what is renewed is no change of anybody's
                continue
            pid, path, action, directory, harm, slight = change
            if self._renewing is not None:
                self._renewing.changed(path)
            if path == LINKER_CACHE and self._starts is not None and self._starts.fd >= 0:
                self._unseen = True  # nothing marked it from when it came, or the old one went, until now
                self._starts.see_programs(True)
            if pid and not self.attribution.knows(pid):
                self._see(pid)
            self.attribution.path_changed(pid, path, action, directory, slight)
            if path in ACCOUNT_FILES:
                self._accounts.written(path, self.attribution.latest_origin)
            if harm and self.attribution.belongs_to_script(pid):
                if not self._stop.concerns(path) or self._takes_something(path, action):
                    self._stop.deleted(path)
            elif action is Action.ENTERED or action is Action.MOVED_IN:
                self._stop.entered(path)
                self._follow(path, directory)
        self._report()
        return len(events)

    def _takes_something(self, path: bytes, action: Action) -> bool:
        if action is Action.MOVED_AWAY:
            return self._before.rename_takes_something(path)
        return self._before.whiteout_takes_something(path)

    def _follow(self, path: bytes, directory: bool) -> None:
        """Mark the scripts of a new package, which come in a new directory."""
        if self._starts is None or self._starts.fd < 0:
            return
        if path in UNPACKED_SCRIPTS and directory:
            try:
                self._starts.guard_scripts(path)
            except OSError:
                return  # gone again; a script in it would still be known by its environment

    def _report(self) -> None:
        if self.attribution.current is None:
            self._note_end(monotonic())
        if self._progress is None:
            return
        script = self.attribution.current
        state = (script, None if script is None else script.label())
        paths = self.attribution.paths
        if state != self._reported or paths >= self._reported_paths + _PATHS_BETWEEN_REPORTS:
            self._reported, self._reported_paths = state, paths
            package = None if script is None or script.package is None else shown(script.package)
            self._progress(Progress(package, state[1], paths))

    def _note(self, sentence: str) -> None:
        self._notes[sentence] = None

    def _give_up(self, reason: str) -> None:
        self.close()
        self._blind = reason
        self._accounts.give_up()
        self._note(
            f"attribution incomplete: {reason}; "
            "causes are named only as far as they were seen, or by the transaction's only package"
        )
