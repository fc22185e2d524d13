# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes in the upper layers, as fanotify reports them by file handle.

Every deletion in an overlay shows in its upper layer as a whiteout moved there from the work directory, every
copy-up as an entry, each with the pid of the process that did it. Nothing waits for the reader.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import termios
from collections.abc import Sequence
from fcntl import ioctl
from typing import Final, NamedTuple, Protocol

from aptguard.rehearsal import fanotify as fan
from aptguard.rehearsal.attribution import Action
from aptguard.rehearsal.upper_names import UpperNames, join

_EVENTS: Final = (
    fan.FAN_MODIFY
    | fan.FAN_ATTRIB
    | fan.FAN_MOVED_FROM
    | fan.FAN_MOVED_TO
    | fan.FAN_CREATE
    | fan.FAN_DELETE
    | fan.FAN_ONDIR
)
_REPORT: Final = fan.FAN_REPORT_FID | fan.FAN_REPORT_DIR_FID | fan.FAN_REPORT_NAME | fan.FAN_REPORT_TARGET_FID
_ARRIVED: Final = fan.FAN_CREATE | fan.FAN_MOVED_TO
_LEFT: Final = fan.FAN_MOVED_FROM | fan.FAN_DELETE
_BUFFER: Final = 256 * 1024
_WORK: Final = b"/work"  # OVL_WORKDIR_NAME, fs/overlayfs/overlayfs.h


class WatchedLayer(Protocol):
    """One overlay: where it is mounted in the sandbox, and a descriptor of its upper directory."""

    @property
    def mount_point(self) -> bytes:
        """Return the absolute path in the merged tree."""

    @property
    def upper(self) -> int:
        """Return a directory descriptor."""


class UpperChange(NamedTuple):
    """One change by ``pid``. ``harm``: what the lower layers have there went away by it, if they have it.

    ``slight``: nothing but an entry that was made; of a file that the lower layers have, only its copy.
    """

    pid: int
    path: bytes
    action: Action
    directory: bool
    harm: bool
    slight: bool = False


class UpperChanges:
    """The notification group on the workspace, a tmpfs that holds the upper layers.

    Raises OSError when the kernel cannot report them. ``uncovered`` are the mount points of layers that lie
    on another file system: a mark on that would report everything that the machine does there.
    """

    def __init__(self, workspace: int, layers: Sequence[WatchedLayer]) -> None:
        self._workspace = workspace
        self._names = UpperNames(self._look_up)
        self._prefixes: list[tuple[bytes, bytes]] = []
        self._whiteouts: set[bytes] = set()
        self._moved: bytes | None = None
        self.uncovered: list[bytes] = []
        device = os.fstat(workspace).st_dev
        for layer in layers:
            if os.fstat(layer.upper).st_dev != device:
                self.uncovered.append(layer.mount_point)
                continue
            self._names.add_root(fan.handle_of(layer.upper), layer.mount_point)
            prefix = os.readlink(b"/proc/self/fd/%d" % layer.upper)
            self._prefixes.append((prefix, layer.mount_point))
        flags = fan.FAN_NONBLOCK | fan.FAN_UNLIMITED_QUEUE | fan.FAN_UNLIMITED_MARKS | _REPORT
        self.fd = fan.init(flags)
        try:
            fan.mark(self.fd, fan.FAN_MARK_ADD | fan.FAN_MARK_FILESYSTEM, _EVENTS, workspace)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Leave the group; further calls do nothing."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def queued(self) -> int:
        """Return the number of events that wait: FIONREAD counts the fixed part of each (fanotify(7))."""
        answer = ioctl(self.fd, termios.FIONREAD, b"\0" * 4)
        return int.from_bytes(answer, sys.byteorder) // fan.EVENT_SIZE

    def read(self) -> list[fan.Event]:
        """Return the next events, none when nothing waits."""
        try:
            return fan.parse(os.read(self.fd, _BUFFER))
        except BlockingIOError:
            return []

    def understand(self, event: fan.Event) -> UpperChange | None:
        """Return what an event means for the merged tree; None if it means nothing there."""
        mask, pid, _, directory, name, target = event
        if directory is None:
            return None
        parent = self._names.path(directory)
        is_directory = bool(mask & fan.FAN_ONDIR)
        if is_directory and target is not None and name != b".":
            # The kernel may have merged arrival and departure into one event, at the place of the arrival:
            # then what follows happened there, unless the directory had come from a place we know.
            came_and_went = mask & _LEFT and self._names.knows(target)
            if mask & _ARRIVED and not came_and_went:
                self._names.moved(target, directory, name)
            elif mask & fan.FAN_MOVED_FROM:
                self._names.lost(target)
        if parent is None:
            return None
        action, harm = self._directory_action(event) if is_directory else self._file_action(event)
        slight = mask & _EVENTS & ~fan.FAN_ONDIR == fan.FAN_CREATE
        return UpperChange(pid, join(parent, name), action, is_directory, harm, slight)

    def _directory_action(self, event: fan.Event) -> tuple[Action, bool]:
        mask, target = event.mask, event.target
        if mask & fan.FAN_MOVED_FROM:
            self._moved = target
            return Action.MOVED_AWAY, True
        if mask & fan.FAN_DELETE:
            return Action.DELETED, False
        if mask & fan.FAN_MOVED_TO and target is not None and target == self._moved:
            return Action.MOVED_IN, False
        return Action.ENTERED if mask & _ARRIVED else Action.ATTRIBUTES, False

    def _file_action(self, event: fan.Event) -> tuple[Action, bool]:
        mask, target = event.mask, event.target
        if mask & fan.FAN_MOVED_TO and target is not None and self._is_whiteout(target):
            return Action.DELETED, True
        if mask & fan.FAN_DELETE:
            return Action.DELETED, False
        if mask & _ARRIVED:
            return Action.ENTERED, False
        if mask & fan.FAN_MOVED_FROM:
            return Action.DELETED, False
        return Action.CONTENT if mask & fan.FAN_MODIFY else Action.ATTRIBUTES, False

    def _is_whiteout(self, handle: bytes) -> bool:
        """Whether the object is overlayfs' whiteout, one inode shared by thousands of deletions."""
        if handle in self._whiteouts:
            return True
        try:
            fd = fan.open_by_handle(self._workspace, handle)
        except OSError:
            return False
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            self._whiteouts.add(handle)
            return True
        return False

    def _ignore(self, directory: int) -> None:
        """Ask for silence about overlayfs' work directory: two of three events of a deletion occur there."""
        flags = fan.FAN_MARK_ADD | fan.FAN_MARK_IGNORE | fan.FAN_MARK_IGNORED_SURV_MODIFY
        with contextlib.suppress(OSError):  # Linux before 6.0 tells it all
            fan.mark(self.fd, flags, _EVENTS | fan.FAN_EVENT_ON_CHILD, directory, b".")

    def _look_up(self, handle: bytes) -> bytes | None:
        """Return where in the merged tree a directory stands that no event has introduced."""
        try:
            fd = fan.open_by_handle(self._workspace, handle)
        except OSError:
            return None
        try:
            if os.fstat(fd).st_nlink == 0:
                return None
            path = os.readlink(b"/proc/self/fd/%d" % fd)
            if path.endswith(_WORK):
                self._ignore(fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        for prefix, mount_point in self._prefixes:
            if path == prefix:
                return mount_point
            if path.startswith(prefix + b"/"):
                return join(mount_point, path[len(prefix) + 1 :])
        return None
