# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal has left: changes, wanted files, recorded calls. Read when nothing runs any more.

Everything is reached through descriptors that the init process sent, never through a path of the machine.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from aptguard.changes.compare import Attributes, metadata_kinds
from aptguard.changes.entry import Entry, names_in
from aptguard.changes.marks import marks_of
from aptguard.changes.model import Cause, Change, FileType, Kind, Node
from aptguard.changes.summary import tree_order
from aptguard.changes.syscalls import inode_attributes
from aptguard.rehearsal import linux
from aptguard.rehearsal.hollow_files import HollowFiles
from aptguard.rehearsal.lying_below import what_lay_below
from aptguard.rehearsal.model import DESTRUCTION, Effect, LyingBelow, Question, Unknown
from aptguard.rehearsal.mount_plan import KERNEL_TREES, reachable_names
from aptguard.rehearsal.mountinfo import Mount, is_below
from aptguard.rehearsal.observer import ObservedLayer, Observer
from aptguard.rehearsal.other_case import CaselessPlaces
from aptguard.rehearsal.questions import question_records, questions_path, read_questions
from aptguard.rehearsal.record_watch import Watched
from aptguard.rehearsal.recorders import calls_path, number_of_calls, read_calls
from aptguard.rehearsal.small_copy import xattr_names
from aptguard.rehearsal.storage_places import StoragePlaces
from aptguard.shown import shown

RECORDS = (calls_path(), *question_records())
_NOT_RELIABLE = "its record cannot be relied on: {}"
_LARGEST_FILE = 16 << 20
_MOST_FILES = 2000
_OTHER_CONTENT = frozenset((Kind.DELETED, Kind.TYPE, Kind.CONTENT, Kind.TARGET, Kind.DEVICE))
_MOST_NAMED = 20
# What a stand-in's file shows besides its content is not the program's either.
_STAND_IN_KINDS = frozenset({Kind.CONTENT, Kind.XATTRS, Kind.CAPABILITY, Kind.ACL, Kind.FLAGS})


@dataclass(slots=True)
class FileCopy:
    """A file that is a mount point: descriptors of its copy and of its original.

    Its attributes are compared with those that the copy had at first: it may not hold all of the original's.
    """

    point: bytes
    copy: int
    original: int
    before: Attributes = field(init=False)

    def __post_init__(self) -> None:
        self.before = attributes_of(self.copy)


@dataclass(slots=True)
class Scene:
    """The descriptors and facts that the init process sent."""

    workspace: int = -1
    merged: int = -1
    namespace: int = -1  # keeps the mounts when the last process in them has ended
    shared_memory: int = -1
    layers: list[ObservedLayer] = field(default_factory=list)
    files: list[FileCopy] = field(default_factory=list)
    hollow: HollowFiles = field(default_factory=HollowFiles)
    mounts: list[Mount] = field(default_factory=list)
    untouched: frozenset[bytes] = frozenset()
    altered: frozenset[bytes] = frozenset()
    earlier_causes: dict[bytes, tuple[Cause, ...]] = field(default_factory=dict)  # see RehearsalResult


def harvest_changes(
    scene: Scene, observer: Observer, limit: int
) -> tuple[tuple[Change, ...], bool, tuple[Unknown, ...]]:
    """Return the changes, whether they are all of them, and what could not be read."""
    from aptguard.changes.upper import Layer, read_changes

    unknowns: list[Unknown] = [*scene.hollow.take()]
    changes: list[Change] = []
    truncated = False
    for group in _groups(scene, [layer for layer in scene.layers if not _is_untouched(layer)]):
        layers = [Layer(layer.mount_point, layer.upper, layer.lower, layer.index) for layer in group]
        found = read_changes(
            layers, limit=max(1, limit - len(changes)), ignore=lambda path, _: path in scene.untouched
        )
        truncated |= found.truncated
        unknowns += [Unknown("a part of the changes", str(problem)) for problem in found.problems]
        written, unread = scene.hollow.judged(group, found.changes)
        unknowns += unread
        for change in written:
            layer = group[0].mount_point if len(group) == 1 else None
            changes += _named(change, None if layer in KERNEL_TREES else layer, scene, observer)
    for change in _file_changes(scene):
        changes += _named(change, change.path, scene, observer)
    unknowns += _hidden_in_links(scene, changes)
    caseless = CaselessPlaces(scene.layers)
    caseless.made(changes)
    unknowns += (one for one in caseless.unknowns if one not in observer.unknowns)
    changes.sort(key=tree_order)
    truncated |= len(changes) > limit
    if truncated:
        unknowns.insert(0, Unknown("a part of the changes", f"there are more than {limit}"))
    return tuple(changes[:limit]), not truncated, tuple(unknowns)


def _hidden_in_links(scene: Scene, changes: list[Change]) -> list[Unknown]:
    """Return an Unknown for each file of which one name is deleted and another stays, without an index.

    What was written under the deleted name before stands under the others on the machine; in an overlay
    without an index (its lower has no file handles, as in a container) it leaves no trace. A name of which
    another content is told hides none: dpkg deletes /usr/bin/perl5.36.0 and replaces /usr/bin/perl.
    """
    deepest_first = sorted(scene.layers, key=lambda layer: len(layer.mount_point), reverse=True)
    told = {change.path for change in changes if change.kinds & _OTHER_CONTENT}
    found: dict[bytes, Unknown] = {}
    for change in changes:
        if not change.deleted or change.before is None or len(found) >= _MOST_NAMED:
            continue
        if change.before.links < 2 or change.before.type is FileType.DIRECTORY:
            continue
        layer = next((one for one in deepest_first if is_below(change.path, one.mount_point)), None)
        if layer is None or layer.index is not None:
            continue
        names = {change.path, *change.other_names}
        if len(names) < change.before.links or not names <= told:
            reason = "one of its names is deleted, and what was written under it before cannot be seen"
            first = min(names)
            found.setdefault(first, Unknown(f"the file with the name {shown(first)}", reason, first))
    return list(found.values())


def _is_untouched(layer: ObservedLayer) -> bool:
    """Whether the upper holds nothing and its root is as the lower's: most layers, and quickly told.

    Of a copy more than its upper tells what happened to it: see HollowFiles.
    """
    try:
        if layer.is_copy or names_in(layer.upper) or (layer.index is not None and names_in(layer.index)):
            return False
        before, after = Entry(layer.lower, b"."), Entry(layer.upper, b".")
        xattrs = after.xattrs()
        return not metadata_kinds(before.attributes(), after.attributes(xattrs, marks_of(xattrs).protected))
    except OSError:
        return False  # who reads it in full says what is wrong


def _groups(scene: Scene, layers: list[ObservedLayer]) -> list[list[ObservedLayer]]:
    """Return the layers as they are read: together, as one limit then takes from all what lies deepest.

    Where the same file system is mounted in two places, one by one: then a path alone does not say where the
    change was made.
    """
    devices = [mount.device for mount in scene.mounts]
    shared = {device for device in devices if devices.count(device) > 1}
    points = {mount.point for mount in scene.mounts if mount.device in shared} - KERNEL_TREES
    if any(layer.mount_point in points for layer in layers):
        return [[layer] for layer in layers]
    return [layers] if layers else []


def _named(change: Change, layer: bytes | None, scene: Scene, observer: Observer) -> list[Change]:
    """Return ``change``, without our own part in it, once for each path that leads there."""
    ours = _without_our_part(change, scene)
    if ours is None:
        return []
    causes = tuple(observer.causes(ours.path, ours.kinds))
    if causes:
        ours = replace(ours, cause=causes[0])
    names: tuple[bytes, ...] = (ours.path,)
    if layer is not None:
        found, views = reachable_names(ours.path, layer, tuple(scene.mounts))
        names, ours = found or names, replace(ours, views=views)
    if len(causes) > 1:
        scene.earlier_causes.update(dict.fromkeys(names, causes[1:]))
    if layer is None:
        return [ours]
    return [
        replace(ours, path=name, other_names=(*ours.other_names, *(one for one in names if one != name)))
        for name in names
    ]


def _without_our_part(change: Change, scene: Scene) -> Change | None:
    """Return ``change`` without what the rehearsal itself did at the path; None when nothing is left."""
    if change.path in scene.altered:
        kinds = change.kinds - _STAND_IN_KINDS
        return replace(change, kinds=kinds) if kinds else None
    return change


def _file_changes(scene: Scene) -> Iterable[Change]:
    """Yield a change for each file mount point whose copy differs from the original."""
    for file in scene.files:
        before, after = os.fstat(file.original), attributes_of(file.copy)
        kinds = metadata_kinds(file.before, after)
        if before.st_size != after.stat.st_size or _content(file.copy) != _content(file.original):
            kinds.add(Kind.CONTENT)
        if kinds:
            yield Change(file.point, frozenset(kinds), _node(before), _node(after.stat))


def attributes_of(fd: int) -> Attributes:
    """Return all but the content of the open file ``fd``."""
    return Attributes(
        os.fstat(fd),
        {name: os.getxattr(fd, name) for name in xattr_names(fd)},
        inode_attributes(b"", directory=fd)[0],
    )


def _content(fd: int) -> bytes:
    return os.pread(fd, _LARGEST_FILE * 4, 0)


def _node(status: os.stat_result) -> Node:
    return Node(
        FileType.REGULAR,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_mtime_ns,
        links=status.st_nlink,
    )


def collect(merged: int, paths: Iterable[bytes]) -> tuple[dict[bytes, bytes | None], tuple[Unknown, ...]]:
    """Return the content of the wanted files as they are now, and what could not be read."""
    contents: dict[bytes, bytes | None] = {}
    unknowns: list[Unknown] = []
    for path in paths:
        try:
            _collect_one(merged, path, contents, within_directory=True)
        except FileNotFoundError:
            contents[path] = None
        except (OSError, ValueError) as error:
            unknowns.append(Unknown(f"the content of {shown(path)} after the run", str(error), path))
    return contents, tuple(unknowns)


def _collect_one(
    merged: int, path: bytes, contents: dict[bytes, bytes | None], *, within_directory: bool
) -> None:
    fd = linux.openat_in_root(merged, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            if status.st_size > _LARGEST_FILE:
                raise ValueError(f"it has {status.st_size} bytes, more than is read")
            with open(os.dup(fd), "rb") as file:
                contents[path] = file.read(_LARGEST_FILE)
        elif stat.S_ISDIR(status.st_mode) and within_directory:
            for name in sorted(os.listdir(fd))[:_MOST_FILES]:
                with contextlib.suppress(FileNotFoundError):
                    below = path.rstrip(b"/") + b"/" + os.fsencode(name)
                    _collect_one(merged, below, contents, within_directory=False)
        elif within_directory:
            raise ValueError("it is neither a file nor a directory")
    finally:
        os.close(fd)


def recorded(
    scene: Scene, changes: Iterable[Change], watched: Watched, cut_off: bool
) -> tuple[tuple[Effect, ...], tuple[Question, ...], tuple[Unknown, ...]]:
    """Return what the stand-ins recorded, and Unknowns for records that cannot be read or relied on.

    ``cut_off``: a stand-in may have been ended before it could record its call.
    """
    effects, unread = _effects(scene, changes, watched, cut_off)
    questions, unheard = _questions(scene.merged, watched)
    return effects, questions, (*unread, *unheard)


def _effects(
    scene: Scene, changes: Iterable[Change], watched: Watched, cut_off: bool
) -> tuple[tuple[Effect, ...], tuple[Unknown, ...]]:
    """Return what the stand-ins recorded, and what was written to a disk by its name.

    There is no disk inside, so that a file was made of it.
    """
    written = tuple(
        Effect(DESTRUCTION, f"would write to {shown(change.path)}", _words(change.cause), change.path)
        for change in changes
        if change.created and change.path.startswith(b"/dev/") and _is_disk(change.path)
    )
    what = "what was asked of running services and of devices"
    try:
        places = StoragePlaces(scene.merged, scene.layers)
        record = _record(scene.merged, calls_path())
        effects, all_of_them = read_calls(record, places)
    except (OSError, ValueError) as error:
        return written, (Unknown(what, f"its record cannot be read: {error}"),)
    reason = watched.spoilt.get(calls_path())
    missing = 0 if watched.executions is None or cut_off else watched.executions - number_of_calls(record)
    if not all_of_them:
        reason = "its record is damaged, or too long"
    elif reason is not None:
        reason = _NOT_RELIABLE.format(reason)
    elif missing > 0:
        reason = f"{missing} of {watched.executions} calls are missing in its record"
    return (*effects, *written), () if reason is None else (Unknown(what, reason),)


def lying_below(
    scene: Scene, changes: Iterable[Change], attempts: Iterable[Effect], prefixes: Sequence[bytes]
) -> LyingBelow | None:
    """Return how much lay below the directory for which the run ended early; None without ``prefixes``."""
    points = frozenset(mount.point for mount in scene.mounts)
    return what_lay_below(scene.layers, points, changes, attempts, prefixes)


def _is_disk(path: bytes) -> bool:
    """Whether a block device stands there on the machine, whose mounts this process sees."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False


def _words(cause: Cause | None) -> str | None:
    return None if cause is None else " ".join(filter(None, (cause.package, cause.script))) or None


def _questions(merged: int, watched: Watched) -> tuple[tuple[Question, ...], tuple[Unknown, ...]]:
    what = "what debconf was asked"
    try:
        questions = read_questions(_record(merged, questions_path()))
    except (OSError, ValueError) as error:
        return (), (Unknown(what, f"its record cannot be read: {error}"),)
    reasons = [watched.spoilt[path] for path in question_records() if path in watched.spoilt]
    return questions, tuple(Unknown(what, _NOT_RELIABLE.format(reason)) for reason in reasons[:1])


def _record(merged: int, path: bytes) -> bytes:
    found: dict[bytes, bytes | None] = {}
    _collect_one(merged, path, found, within_directory=False)
    return found.get(path) or b""
