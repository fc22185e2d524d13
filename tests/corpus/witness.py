# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands on a guest's disk, read from outside of it: the layers below, and its upper directory.

Nothing of the guest is asked and none of the guard's own code is used: the upper directory of an overlay
holds all that was ever written, and the host sees it (Documentation/filesystems/overlayfs.rst: whiteouts are
character devices 0/0, an opaque directory hides what lies below).
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from functools import cache

_OPAQUE = "trusted.overlay.opaque"
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


@dataclass(slots=True)
class Entry:
    """One path: what lstat(2) says, and its content. ``stamp`` (inode, change time, size) is the same as
    long as nobody has touched the file; ``digest`` is read late where the layer is never written to."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    device: int
    target: str
    where: bytes
    stamp: tuple[int, int, int]
    digest: str = ""
    xattrs: dict[str, bytes] | None = None

    def content(self) -> str:
        """Return the digest of a regular file's bytes."""
        if self.kind == "file" and not self.digest:
            with open(self.where, "rb") as file:
                self.digest = hashlib.file_digest(file, "sha1").hexdigest()
        return self.digest

    def attributes(self) -> dict[str, bytes]:
        """Return the extended attributes that are not overlayfs' own."""
        if self.xattrs is None:
            self.xattrs = {
                name: os.getxattr(self.where, name, follow_symlinks=False)
                for name in os.listxattr(self.where, follow_symlinks=False)
                if not name.startswith("trusted.overlay.")
            }
        return self.xattrs


Listing = dict[bytes, Entry]


@dataclass(frozen=True, slots=True)
class Happened:
    """What became of the paths between two listings; ``touched`` differ in their times only."""

    deleted: frozenset[bytes] = frozenset()
    created: frozenset[bytes] = frozenset()
    changed: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    touched: frozenset[bytes] = frozenset()


@cache
def layers_below(layers: tuple[str, ...]) -> Listing:
    """Return what the layers hold, the uppermost first in ``layers``; they are never written to."""
    found: Listing = {}
    for layer in reversed(layers):
        _lay_over(found, os.fsencode(layer), {})
    return found


def listing(upper: str, layers: tuple[str, ...], before: Listing | None = None) -> Listing:
    """Return what the guest sees on its disk now: ``upper`` is read at once, with all contents.

    ``before`` is an earlier listing of the same guest: what nobody has touched since is not read again.
    """
    found = dict(layers_below(layers))
    _lay_over(found, os.fsencode(upper), before or {}, at_once=True)
    return found


def happened(before: Listing, after: Listing) -> Happened:
    """Return how the second listing differs from the first."""
    changed, touched = {}, set()
    for path in before.keys() & after.keys():
        old, new = before[path], after[path]
        if old is new:
            continue
        if parts := _parts(old, new):
            changed[path] = parts
        elif old.mtime_ns != new.mtime_ns and old.kind != "directory":
            touched.add(path)
    return Happened(
        frozenset(before.keys() - after.keys()),
        frozenset(after.keys() - before.keys()),
        changed,
        frozenset(touched),
    )


def _parts(old: Entry, new: Entry) -> tuple[str, ...]:
    """Name the ways in which two entries differ; times, and the size of a directory, are none."""
    if old.kind != new.kind:
        return ("type",)
    parts = [
        name
        for name in ("mode", "uid", "gid", "device", "target")
        if getattr(old, name) != getattr(new, name)
    ]
    if old.kind == "file" and (old.size != new.size or old.content() != new.content()):
        parts.append("content")
    if old.attributes() != new.attributes():
        parts.append("xattrs")
    return tuple(parts)


def _lay_over(found: Listing, top: bytes, before: Listing, *, at_once: bool = False) -> None:
    """Put one layer over what is found so far, as the kernel does."""
    waiting = [b""]
    while waiting:
        directory = waiting.pop()
        try:
            entries = list(os.scandir(top + directory + b"/"))
        except (FileNotFoundError, NotADirectoryError):
            continue  # it vanished while it was read
        for one in entries:
            path = directory + b"/" + one.name
            try:
                _put(found, path, one, before, at_once=at_once)
            except FileNotFoundError:
                continue
            if path in found and found[path].kind == "directory":
                waiting.append(path)


def _put(found: Listing, path: bytes, one: os.DirEntry[bytes], before: Listing, *, at_once: bool) -> None:
    status = one.stat(follow_symlinks=False)
    below = found.get(path)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        if below is not None:
            _hide(found, path, below)
        return
    kind = _TYPES[stat.S_IFMT(status.st_mode)]
    if below is not None and below.kind == "directory" and (kind != "directory" or _opaque(one.path)):
        _hide(found, path, below)
    entry = Entry(
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_mtime_ns,
        status.st_rdev,
        os.fsdecode(os.readlink(one.path)) if kind == "symlink" else "",
        one.path,
        (status.st_ino, status.st_ctime_ns, status.st_size),
    )
    if at_once:
        known = before.get(path)
        if known is not None and known.where == entry.where and known.stamp == entry.stamp:
            entry = known
        entry.content()
        entry.attributes()
    found[path] = entry


def _opaque(path: bytes) -> bool:
    try:
        return os.getxattr(path, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _hide(found: Listing, path: bytes, entry: Entry) -> None:
    del found[path]
    if entry.kind == "directory":
        for hidden in [other for other in found if other.startswith(path + b"/")]:
            del found[hidden]
