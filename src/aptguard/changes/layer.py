# SPDX-License-Identifier: GPL-3.0-or-later
"""One overlaid mount: its upper and its lower directory, ready to be read; standard library only."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from aptguard.changes.entry import Entry
from aptguard.changes.index import indexed_inodes
from aptguard.changes.marks import is_bookkeeping, overlay_prefix
from aptguard.changes.syscalls import clone_without_submounts, mount_id, open_directory
from aptguard.shown import shown

_NAMESPACES = ("user.", "trusted.", "security.")


@dataclass(frozen=True, slots=True)
class Layer:
    """A mount that was overlaid.

    ``mount_point`` is its absolute path on the machine. ``upper`` and ``lower`` are descriptors of the
    overlay's upper directory and of the root of the overlaid mount; ``index`` one of the directory
    ``index`` in the overlay's work directory, when it is mounted with index=on: without it, a hard link
    changed under a name that was deleted afterwards leaves no trace.
    """

    mount_point: bytes
    upper: int
    lower: int
    index: int | None = None


def copy_root_metadata(upper: int, lower: int) -> None:
    """Give a new upper directory the owner, mode, extended attributes and times of the lower root.

    The root of an overlay shows the upper directory's own metadata: without this the rehearsal sees the
    wrong ones, and they are read as a change. Raises OSError.
    """
    source, goal = Entry(lower, b"."), Entry(upper, b".")
    os.chown(upper, source.stat.st_uid, source.stat.st_gid)
    os.chmod(upper, source.stat.st_mode & 0o7777)
    held = [name for name in _NAMESPACES if name not in _unheld(upper)]
    for name, value in source.xattrs().items():
        if not is_bookkeeping(name) and name.startswith((*held, "system.posix_acl_")):
            os.setxattr(goal.path, name, value)
    os.utime(upper, ns=(source.stat.st_atime_ns, source.stat.st_mtime_ns))


class OpenLayer:
    """A layer while it is being read; a context manager, the layer's own descriptors stay the caller's.

    ``problem`` is a sentence when nothing read from here could be trusted. ``unheld`` are prefixes of
    extended attributes that the upper file system cannot hold. ``indexed`` names, for each lower inode that
    was copied as a hard link, its copy in the index directory.
    """

    def __init__(self, layer: Layer) -> None:
        self.mount_point = layer.mount_point
        self.upper = layer.upper
        self.lower = layer.lower
        self.index = layer.index
        self.problem: str | None = None
        self.unheld: tuple[str, ...] = ()
        self.indexed: dict[tuple[int, int], bytes] = {}
        self._own_mount: int | None = None
        self._stack = ExitStack()

    def __enter__(self) -> OpenLayer:
        with ExitStack() as stack:
            try:
                self._prepare(stack)
            except OSError as error:
                self.problem = (
                    f"The changes below {shown(self.mount_point)} could not be read: {error.strerror}."
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _prepare(self, stack: ExitStack) -> None:
        os.lstat(b"/proc/self/fd/%d" % self.upper)
        if not _sees_trusted(self.upper):
            self.problem = (
                f"The changes below {shown(self.mount_point)} could not be read: overlayfs's marks in "
                "trusted.* attributes show only to a process with CAP_SYS_ADMIN in the first user namespace."
            )
            return
        self.unheld = _unheld(self.upper)
        try:
            self.lower = clone_without_submounts(self.lower)
            stack.callback(os.close, self.lower)
        except OSError:
            # Then an entry on another mount is noticed, rather than looked beneath.
            self._own_mount = mount_id(b"", directory=self.lower)
        if self.index is not None:
            self.indexed = indexed_inodes(self.index, self.lower)

    def full_path(self, relative: bytes) -> bytes:
        """Return the absolute path on the machine of a path relative to this mount."""
        if not relative:
            return self.mount_point
        return self.mount_point.rstrip(b"/") + b"/" + relative

    def relative_path(self, path: bytes) -> bytes:
        """Return an absolute path below this mount relative to it."""
        return path[len(self.mount_point.rstrip(b"/")) :].lstrip(b"/")

    def open_upper(self, relative: bytes) -> int:
        """Return a descriptor of the upper directory at this path; raises OSError."""
        return open_directory(self.upper, relative)

    def open_lower(self, relative: bytes) -> int:
        """Return a descriptor of the lower directory at this path; raises OSError, EXDEV on another mount."""
        return open_directory(self.lower, relative)

    def copy_of(self, lower: Entry) -> Entry | None:
        """Return the copy that the index holds of a lower entry; it shows under every name of the inode."""
        name = self.indexed.get(lower.inode) if self.indexed else None
        return None if name is None or self.index is None else Entry(self.index, name)

    def lower_entry(self, directory: int, name: bytes) -> Entry | None:
        """Return the lower entry of this name, None without one; raises OSError, EXDEV on another mount."""
        try:
            entry = Entry(directory, name)
        except FileNotFoundError:
            return None
        if self._own_mount is not None and mount_id(entry.path) != self._own_mount:
            raise OSError(errno.EXDEV, "another mount covers it", name)
        return entry


def _sees_trusted(directory: int) -> bool:
    """Whether trusted.* attributes show: the kernel hides them silently from a reader without the right.

    Removing one that does not exist changes nothing, and EPERM or ENODATA tells (xattr(7)).
    """
    try:
        os.removexattr(directory, f"{overlay_prefix()}aptguard")
    except OSError as error:
        return error.errno == errno.ENODATA
    return True


def _unheld(directory: int) -> tuple[str, ...]:
    """Return the attribute namespaces the file system cannot hold (tmpfs: user.* before Linux 6.6)."""
    unheld = []
    for prefix in _NAMESPACES:
        try:
            os.getxattr(directory, f"{prefix}aptguard")
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                unheld.append(prefix)
    return tuple(unheld)
