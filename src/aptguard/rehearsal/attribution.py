# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changed what: an ordered stream of events becomes a mapping from path to cause. Pure, no system calls.

dpkg runs maintainer scripts strictly one after another and waits for each (Debian policy, section 6.1, and
dpkg's maintainer_script_exec); so a change by dpkg itself proves that no script is running. Everything else
is told by descent: a process belongs to the script that its nearest known ancestor belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from aptguard.changes.model import Cause, Kind
from aptguard.rehearsal.maintainer_script import RECORDS_OF_DPKG, Origin, Script, package_and_script
from aptguard.rehearsal.path_records import ATTRIBUTES, GONE, PLACED, TOOK, WROTE, PathRecords

_INFO = b"/var/lib/dpkg/info/"


class Action(Enum):
    """What an event says of a path."""

    ENTERED = "entered"  # created, renamed over, or copied up
    DELETED = "deleted"
    MOVED_AWAY = "moved away"  # a directory, with all below it
    MOVED_IN = "moved in"  # a directory that stood elsewhere
    CONTENT = "content"
    ATTRIBUTES = "attributes"


_DEEDS = {
    Action.ENTERED: PLACED,
    Action.DELETED: TOOK | GONE,
    Action.MOVED_AWAY: TOOK | GONE,
    Action.MOVED_IN: PLACED,
    Action.CONTENT: WROTE,
    Action.ATTRIBUTES: ATTRIBUTES,
}


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """A process as /proc showed it; ``ancestors`` nearest first.

    ``marks`` are package and script of its environment: dpkg sets DPKG_MAINTSCRIPT_PACKAGE and
    DPKG_MAINTSCRIPT_NAME for each script (dpkg(1), ENVIRONMENT).
    """

    pid: int
    ancestors: tuple[int, ...] = ()
    argv: tuple[bytes, ...] = ()
    marks: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class ScriptStarted:
    """``pid`` executes the maintainer script in file ``name`` (``foo.postrm``, or ``preinst`` of tmp.ci)."""

    pid: int
    name: bytes


@dataclass(frozen=True, slots=True)
class PathChanged:
    """``pid`` did ``action`` to ``path``, absolute in the merged tree.

    ``slight``: perhaps it only opened the file, for which overlayfs copies it up.
    """

    pid: int
    path: bytes
    action: Action
    directory: bool = False
    slight: bool = False


Event = ProcessSeen | ScriptStarted | PathChanged


@dataclass(slots=True)
class Attribution:
    """Keeps who changed each path.

    ``only_package`` is named where no script and no dpkg record tells more: the package of a transaction
    with one package. ``ordered`` says that the events come in the order in which things happened; without it
    a change by dpkg does not prove that the last script has ended. ``limit`` bounds the number of paths that
    are kept; ``truncated`` says it was reached.
    """

    only_package: bytes | None = None
    ordered: bool = True
    limit: int = 500_000
    current: Script | None = None
    _scripts: list[Script] = field(default_factory=list)
    _owner: dict[int, Script | None] = field(default_factory=dict)
    _argv: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    _records: PathRecords = field(init=False)
    _run_key: object = None
    _unnamed: list[Origin] = field(default_factory=list)
    _last: dict[int, tuple[Action, bytes]] = field(default_factory=dict)
    # Attribute changes of directories whose meaning depends on what their process does next.
    _held: dict[int, dict[bytes, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._records = PathRecords(self.limit)

    @property
    def truncated(self) -> bool:
        """Whether there were more paths than ``limit``."""
        return self._records.truncated

    @property
    def paths(self) -> int:
        """The number of paths that changed."""
        return self._records.count

    @property
    def latest_origin(self) -> Origin | None:
        """Who made the change that came last."""
        return self._records.latest_origin

    def apply(self, events: Iterable[Event]) -> None:
        """Take the events in their order."""
        for event in events:
            match event:
                case ProcessSeen():
                    self.process_seen(event)
                case ScriptStarted():
                    self.script_started(event.pid, event.name)
                case PathChanged():
                    self.path_changed(event.pid, event.path, event.action, event.directory, event.slight)

    def knows(self, pid: int) -> bool:
        """Whether a process was seen, or is known by the script it executes."""
        return pid in self._owner

    def owned_by_script(self, pid: int) -> bool | None:
        """Whether a process belongs to a maintainer script; None if it was not seen."""
        return self._owner[pid] is not None if pid in self._owner else None

    def belongs_to_script(self, pid: int) -> bool:
        """Whether changes of ``pid`` are put down to a maintainer script (else: to dpkg)."""
        return self.script_of(pid) is not None

    def script_of(self, pid: int) -> Script | None:
        """Return the maintainer script that ``pid`` belongs to, None for dpkg itself."""
        return self._owner.get(pid, self.current)

    def command_of(self, pid: int) -> tuple[bytes, ...]:
        """Return the command line of a process as it was seen last, empty if it was not."""
        return self._argv.get(pid, ())

    def forget(self, pid: int) -> None:
        """Drop what is known of a process that has ended: its number may come back as another one's."""
        self._owner.pop(pid, None)
        self._argv.pop(pid, None)
        self._last.pop(pid, None)

    def known_processes(self) -> tuple[int, ...]:
        """Return the pids of all processes seen."""
        return tuple(self._owner)

    @property
    def scripts(self) -> tuple[Script, ...]:
        """All runs of maintainer scripts, in their order."""
        return tuple(self._scripts)

    @property
    def last_script(self) -> Script | None:
        """The run of a maintainer script that began last."""
        return self._scripts[-1] if self._scripts else None

    def script_started(self, pid: int, name: bytes, now: float = 0.0) -> None:
        """Note that ``pid`` executes a maintainer script; its argument comes with the process' argv."""
        package, script = package_and_script(name) or (None, name)
        self._begin(pid, Script(package, script, name, begun=now))

    def _begin(self, pid: int, script: Script) -> None:
        self._scripts.append(script)
        self._owner[pid] = script
        self._argv.pop(pid, None)
        self.current = script
        self._run_key = None
        if script.package is not None and script.name in {b"postrm", b"postinst"}:
            self._name_dpkg(script.package)
        elif script.name != b"config":
            self._unnamed.clear()

    def process_seen(self, seen: ProcessSeen) -> None:
        """Note a process, and which script it belongs to."""
        pid = seen.pid
        self._run_key = None
        owner = self._owner.get(pid)
        if owner is None:
            owner = self._owner_by_descent(seen)
            self._owner[pid] = owner
        if seen.argv:
            self._argv[pid] = seen.argv
        if owner is not None:
            self._complete(owner, seen)

    def _owner_by_descent(self, seen: ProcessSeen) -> Script | None:
        nearest = next((pid for pid in seen.ancestors if pid in self._owner), None)
        if nearest is not None and self._owner[nearest] is not None:
            return self._owner[nearest]
        if seen.marks is not None:
            return self._marked(seen)
        if nearest is not None:
            return None
        if seen.argv and seen.argv[0].rpartition(b"/")[2] == b"dpkg":
            self.current = None
            return None
        return self.current  # its parents have ended: it was left behind by what ran last

    def _marked(self, seen: ProcessSeen) -> Script:
        """Return the script that the environment names, also where its start was not seen."""
        assert seen.marks is not None
        package, name = seen.marks
        for script in reversed(self._scripts):
            if script.name == name and script.package in {package, None}:
                return script
        script = Script(package, name, b"")
        self._begin(seen.pid, script)
        return script

    @staticmethod
    def _complete(script: Script, seen: ProcessSeen) -> None:
        if script.package is None and seen.marks is not None and seen.marks[1] == script.name:
            script.package = seen.marks[0]
        if script.argument is None:
            for at, word in enumerate(seen.argv[:-1]):
                base = word.rpartition(b"/")[2]
                if base == script.file or (not script.file and base.endswith(script.name)):
                    script.argument = seen.argv[at + 1]
                    break

    def path_changed(
        self, pid: int, path: bytes, action: Action, directory: bool = False, slight: bool = False
    ) -> None:
        """Note one change."""
        # A directory is copied up for each entry that changes in it.
        record = self._records.next_record(
            0 if action is Action.ENTERED and (slight or directory) else _DEEDS[action]
        )
        if pid != self._run_key:
            self._start_run(pid, path)
        previous = self._last.get(pid)
        if action is Action.ATTRIBUTES:
            if directory:
                # overlayfs marks a directory and restores its times whenever it copies up one of its
                # entries (fs/overlayfs/copy_up.c): that says nothing about who changed the directory.
                if previous is not None and previous[1].rpartition(b"/")[0] == path.rstrip(b"/"):
                    self._records.put_weak(path, record)
                else:
                    self._held.setdefault(pid, {})[path] = record
                return
        elif pid in self._held:
            self._settle(pid, path if action is Action.ENTERED else None)
        self._last[pid] = (action, path)
        if action is Action.MOVED_AWAY or action is Action.MOVED_IN or action is Action.DELETED:
            self._records.put_subtree(path, record)
        self._records.put(path, record)

    def _settle(self, pid: int, entered: bytes | None) -> None:
        """Decide held attribute changes, now that the next act of their process is known."""
        parent = None if entered is None else entered.rpartition(b"/")[0]
        for path, record in self._held.pop(pid).items():
            if parent is not None and parent == path.rstrip(b"/"):
                self._records.put_weak(path, record)
            else:
                self._records.put_if_newer(path, record)

    def _start_run(self, pid: int, path: bytes) -> None:
        script = self._owner.get(pid, self.current)
        argv = self._argv.get(pid, ())
        if script is not None:
            self._run_key = pid
            origin = Origin(script, None, argv)
        else:
            if self.ordered:
                self.current = None
            self._run_key = None
            origin = self._dpkg_origin(path, argv)
        latest = self._records.latest_origin
        if latest is not origin and (script is None or latest != origin):
            self._records.begin_run(origin)

    def _dpkg_origin(self, path: bytes, argv: tuple[bytes, ...]) -> Origin:
        """Return dpkg's origin of a change; its package is told by the record that dpkg writes afterwards.

        dpkg finishes each package by rewriting or deleting its files in /var/lib/dpkg/info, or by running
        its postrm or postinst: what it did before, back to the last such mark, was for that package.
        """
        if path.startswith(_INFO):
            package = path[len(_INFO) :].rpartition(b".")[0].split(b":")[0]
            if package:
                self._name_dpkg(package)
                return Origin(None, package, argv)
        last = self._unnamed[-1] if self._unnamed else None
        if path.startswith(RECORDS_OF_DPKG):
            return Origin(None, None, argv)
        if last is None or last.argv != argv:
            last = Origin(None, None, argv)
            self._unnamed.append(last)
        return last

    def _name_dpkg(self, package: bytes) -> None:
        for origin in self._unnamed:
            origin.package = package
        self._unnamed.clear()

    def cause(self, path: bytes) -> Cause | None:
        """Return who made the state of ``path`` what it is; None when nothing was seen."""
        return next(iter(self.causes(path, frozenset())), None)

    def causes(self, path: bytes, kinds: frozenset[Kind]) -> tuple[Cause, ...]:
        """Return all who may have made ``path`` differ in ``kinds``, the last one first.

        One without package and script among them says that they were too many to keep.
        """
        for pid in tuple(self._held):
            self._settle(pid, None)
        origins, all_of_them = self._records.origins(path, kinds)
        if not origins:
            return () if self.only_package is None else (Cause(_text(self.only_package), None),)
        # Which script of a package deleted a file that others of its scripts had made anew is its own affair.
        by_package = Kind.DELETED in kinds
        found: dict[tuple[str | None, str | None], Cause] = {}
        for origin in origins:
            cause = self.cause_of(origin)
            found.setdefault((cause.package, None if by_package else cause.script), cause)
        if not all_of_them:
            found.setdefault((None, None), Cause(None, None))
        return tuple(found.values())

    def cause_of(self, origin: Origin) -> Cause:
        """Return an origin in the words of the report."""
        script = origin.script
        package = origin.package if script is None else script.package
        if package is None:
            package = self.only_package
        return Cause(_text(package), script.label() if script else None, origin.argv)


def _text(package: bytes | None) -> str | None:
    return None if package is None else package.decode("utf-8", "backslashreplace")


def causes(events: Iterable[Event]) -> dict[bytes, Cause]:
    """Return the cause of every path that occurs in ``events``."""
    attribution = Attribution()
    seen = list(events)
    attribution.apply(seen)
    paths = {event.path for event in seen if isinstance(event, PathChanged)}
    found = {path: attribution.cause(path) for path in paths}
    return {path: cause for path, cause in found.items() if cause is not None}
