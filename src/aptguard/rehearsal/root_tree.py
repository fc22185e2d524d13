# SPDX-License-Identifier: GPL-3.0-or-later
"""Building the root directory of a rehearsal out of the machine's own mounts.

Runs in the init process, in a mount namespace of its own. All lower directories are opened before the
first mount: the workspace may then stand on any directory, and a lower is named by descriptor
(``/proc/self/fd/N``), so that no mount point's name ever needs escaping in an option string. The kernel
wants lowers that belong to the present mount namespace; descriptors from before unshare(2) do not work.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from aptguard.rehearsal import linux, tripwire
from aptguard.rehearsal.devices import (
    Devices,
    NoDeviceNodesError,
    bind_dev,
    mount_inside_dev,
    overlay_dev,
)
from aptguard.rehearsal.hollow_files import mark_directories
from aptguard.rehearsal.kernel_holdings import holdings
from aptguard.rehearsal.model import Limits, Unknown
from aptguard.rehearsal.mount_plan import (
    Cover,
    MountPlan,
    Planned,
    is_inside_a_tree,
    plan_mounts,
    why_uncovered,
)
from aptguard.rehearsal.mountinfo import Mount, is_below, read_mountinfo, visible_mounts
from aptguard.rehearsal.overlay import (
    WITHOUT_INDEX,
    WORST,
    LayerPlace,
    for_comparison,
    mount_overlay,
)
from aptguard.rehearsal.own_trees import (
    CONTROL_GROUPS,
    mount_control_groups,
    mount_proc,
    mount_sys,
    overlay_switches,
    overlay_sys,
)
from aptguard.rehearsal.small_copy import TooMuchToCopy, TreeCopy, copy_file, copy_tree, copy_variables
from aptguard.rehearsal.workspace import make_workspace
from aptguard.shown import shown

# File systems that hold files and directories only.
_ONLY_FILES = frozenset({b"vfat", b"msdos", b"exfat"})


@dataclass(slots=True)
class RootTree:
    """What was built.

    ``file_copies``: mount point of a file, its copy in the workspace, its original. ``tripwires``: mount
    point, reason, root directory; what happens at them comes out of ``tripwire_pipe``. ``hollow`` are paths
    of files that were copied without their content; their use comes out of ``hollow_group``.
    ``own_shared_memory``: the machine has none, and what is in /dev/shm lies outside of the workspace.
    """

    workspace: int
    mounts: tuple[Mount, ...]
    plan: MountPlan
    layers: list[LayerPlace] = field(default_factory=list)
    file_copies: list[LayerPlace] = field(default_factory=list)
    tripwires: list[tuple[bytes, str, int]] = field(default_factory=list)
    tripwire_pipe: int = -1
    hollow: list[bytes] = field(default_factory=list)
    hollow_group: int = -1
    own_shared_memory: bool = True
    unknowns: list[Unknown] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build_root_tree(limits: Limits, silent: Mapping[bytes, str], disk: int | None = None) -> RootTree:
    """Build the tree at ``root`` in the workspace, which becomes the working directory.

    ``silent`` are the mount points that must not be looked at, as their server does not answer. Raises
    OSError or ValueError when there is no way to rehearse here at all; whatever else cannot be covered is an
    Unknown of the result.
    """
    linux.mount(b"none", b"/", b"", linux.MS_REC | linux.MS_PRIVATE)
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = visible_mounts(read_mountinfo(file.read()))
    silent = {**silent, **holdings(mounts)}
    plan = plan_mounts(mounts, _files_among(mounts, silent), silent)
    sources = _Sources(plan)
    devices = Devices()
    tree = RootTree(make_workspace(limits, disk), mounts, plan, unknowns=sources.unknowns)
    for directory in (b"root", b"layers", b"files", b"copies"):
        os.mkdir(directory, 0o700)
    made = _make_all(tree, sources.opened)
    _attach(tree, [one for one in made if not is_inside_a_tree(one[0].point)])
    mount_proc(b"root/proc", devices, limits)
    switches = overlay_switches(b"root/proc")
    if switches is not None:
        tree.layers.append(switches)
    _place_sys(tree)
    in_trees = [one for one in made if is_inside_a_tree(one[0].point)]
    _place_devices(tree, devices, [planned.point for planned, _ in in_trees])
    tree.own_shared_memory = all(planned.point != b"/dev/shm" for planned, _ in in_trees)
    mount_inside_dev(b"root/dev", limits, shared_memory=tree.own_shared_memory)
    _attach(tree, in_trees)
    _lay_tripwires(tree)
    _mark_hollow_files(tree)
    devices.close()
    return tree


def _files_among(mounts: tuple[Mount, ...], silent: Mapping[bytes, str]) -> frozenset[bytes]:
    uncovered = [mount.point for mount in mounts if why_uncovered(mount, silent) is not None]
    files = set()
    for mount in mounts:
        # Only a bind mount of something inside a file system can be a file; asking a dead server hangs.
        if mount.root != b"/" and not any(is_below(mount.point, point) for point in uncovered):
            with contextlib.suppress(OSError):
                if not stat.S_ISDIR(os.lstat(mount.point).st_mode):
                    files.add(mount.point)
    return frozenset(files)


class _Sources:
    """A descriptor for each mount that the rehearsal shows."""

    def __init__(self, plan: MountPlan) -> None:
        self.opened: dict[bytes, int] = {}
        self.unknowns: list[Unknown] = []
        for planned in plan.mounts:
            match planned.cover:
                case Cover.OVERLAY | Cover.COPY | Cover.NAMES | Cover.FILE | Cover.READ_ONLY:
                    self._open(planned)
                case Cover.REPLACED | Cover.ALIAS | Cover.UNCOVERED | Cover.BELOW:
                    pass

    def _open(self, planned: Planned) -> None:
        # A file is copied; that is not to show in its access time.
        directory = os.O_NOATIME if planned.cover is Cover.FILE else os.O_DIRECTORY
        try:
            fd = os.open(
                planned.point, os.O_RDONLY | directory | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            )
            if linux.mount_id(fd) != planned.mount_id:
                raise OSError(116, "another file system stands there now", planned.point)
        except OSError as error:
            self.unknowns.append(_uncovered(planned, str(error)))
            return
        self.opened[planned.point] = fd


def _make_all(tree: RootTree, sources: dict[bytes, int]) -> list[tuple[Planned, bytes]]:
    """Make all overlays and copies in the workspace; return what is to be attached, parents first.

    An alias shows a part of an overlay that may stand deeper in the tree than the alias itself, and must not
    show what is mounted in there; so nothing is attached before all of it is made.
    """
    made: list[tuple[Planned, bytes]] = []
    for number, planned in enumerate(tree.plan.mounts):
        source = sources.get(planned.point)
        if source is None and planned.cover is not Cover.ALIAS:
            continue
        try:
            path = b"" if source is None else _make(tree, number, planned, source)
        except (OSError, TooMuchToCopy) as error:
            if planned.point == b"/":
                raise
            tree.unknowns.append(_uncovered(planned, str(error)))
            if source is None:
                continue
            # Shown read-only, so that a script at least sees what is there.
            path = _read_only_view(tree, number, planned, source)
            planned = replace(planned, cover=Cover.READ_ONLY)  # noqa: PLW2901
        if path is not None:
            made.append((planned, path))
    return made


def _attach(tree: RootTree, made: list[tuple[Planned, bytes]]) -> None:
    merged = {place.point: os.path.dirname(place.upper) + b"/merged/" for place in tree.layers}
    for planned, path in made:
        alias = merged.get(planned.base, b"layers/none/") + planned.inner
        shown_here = alias if planned.cover is Cover.ALIAS else path
        try:
            _bind(shown_here, (b"root" + planned.point).rstrip(b"/"), read_only=_is_read_only(planned))
        except OSError as error:
            if planned.point == b"/":
                raise
            tree.unknowns.append(_uncovered(planned, str(error)))


def _is_read_only(planned: Planned) -> bool:
    match planned.cover:
        case Cover.READ_ONLY:
            return True
        case Cover.ALIAS | Cover.FILE:
            return planned.read_only
        case Cover.OVERLAY | Cover.COPY | Cover.NAMES | Cover.UNCOVERED | Cover.BELOW | Cover.REPLACED:
            return False  # an overlay of a read-only mount refuses writing by itself


def _make(tree: RootTree, number: int, planned: Planned, source: int) -> bytes | None:
    """Make what is to stand at a mount point and return its path in the workspace, None for nothing."""
    match planned.cover:
        case Cover.OVERLAY:
            return _overlay(tree, number, planned, source, for_comparison(source))
        case Cover.COPY:
            fd, hollow = _copy(tree, number, planned, source, copy_tree)
            note = f"{shown(planned.point)} is rehearsed on a copy: overlayfs refuses its file system"
            if hollow:
                note += f" (without the content of {hollow} of its large files)"
            tree.notes.append(note)
            return _overlay(tree, number, planned, fd, fd)
        case Cover.NAMES:
            fd, _ = _copy(tree, number, planned, source, copy_variables)
            return _overlay(tree, number, planned, fd, fd)
        case Cover.FILE:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                return None
            copy = b"files/%d" % number
            copy_file(source, copy)
            tree.file_copies.append(LayerPlace(planned.point, copy, source))
            return copy
        case Cover.READ_ONLY:
            return _read_only_view(tree, number, planned, source)
        case Cover.UNCOVERED | Cover.BELOW | Cover.REPLACED | Cover.ALIAS:
            return None


def _copy(
    tree: RootTree, number: int, planned: Planned, source: int, copier: Callable[[int, bytes], TreeCopy]
) -> tuple[int, int]:
    """Return a descriptor of a copy of ``source``, and how many of its files came without content."""
    copy = b"copies/%d" % number
    hollow = copier(source, copy).without_content
    tree.hollow += [planned.point + b"/" + path for path in hollow]
    return os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), len(hollow)


def _overlay(tree: RootTree, number: int, planned: Planned, lower: int, original: int) -> bytes:
    """Mount an overlay over the directory ``lower`` and return the path of the merged directory."""
    home = b"layers/%d" % number
    options, refusal = mount_overlay(home, lower, read_only=planned.read_only)
    if options == WITHOUT_INDEX:
        tree.notes.append(
            f"below {shown(planned.point)} the names of one file are taken apart when it is changed: "
            f"the overlay has no index ({refusal})"
        )
    if options == WORST:
        what = f"renames of directories below {shown(planned.point)}"
        reason = f"the overlay cannot do them as the machine does ({refusal})"
        tree.unknowns.append(Unknown(what, reason, planned.point))
    if not planned.read_only:
        is_copy = planned.cover in (Cover.COPY, Cover.NAMES)
        caseless = planned.cover is Cover.COPY
        tree.layers.append(LayerPlace(planned.point, home + b"/upper", original, is_copy, caseless))
    return home + b"/merged"


def _place_sys(tree: RootTree) -> None:
    try:
        tree.layers.append(overlay_sys(b"root/sys"))
    except OSError as error:
        reason = f"there is no overlay of it ({error.strerror}); changes in it are not seen"
        tree.unknowns.append(Unknown("what scripts write in /sys", reason, b"/sys"))
        mount_sys(b"root/sys")
    if any(mount.point == CONTROL_GROUPS and mount.kind == b"cgroup2" for mount in tree.mounts):
        try:
            mount_control_groups(b"root" + CONTROL_GROUPS)
        except OSError as error:
            reason = f"the rehearsal has no control groups to show ({error.strerror})"
            tree.unknowns.append(Unknown("what scripts ask of control groups", reason, CONTROL_GROUPS))


def _place_devices(tree: RootTree, devices: Devices, mounted: list[bytes]) -> None:
    tripwires = [planned.point for planned in tree.plan.mounts if planned.cover is Cover.UNCOVERED]
    points = [point for point in (*mounted, *tripwires) if is_below(point, b"/dev")]
    try:
        tree.layers.append(overlay_dev(b"root/dev", devices, points))
    except NoDeviceNodesError as error:
        tree.notes.append(f"changes in /dev are not seen, for it has no device nodes of its own: {error}")
        bind_dev(b"root/dev", devices, points)


def _lay_tripwires(tree: RootTree) -> None:
    """Put a tripwire at each place that is not covered; where that fails too, it is unknown at once."""
    pipe = -1
    for planned in tree.plan.mounts:
        if planned.cover is not Cover.UNCOVERED:
            continue
        try:
            if pipe < 0:
                tree.tripwire_pipe, pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            root = tripwire.lay(b"root" + planned.point, pipe)
        except OSError as error:
            tree.unknowns.append(_uncovered(planned, f"{planned.reason} ({error.strerror})"))
            continue
        tree.tripwires.append((planned.point, planned.reason, root))
        tree.notes.append(
            f"{shown(planned.point)} is not rehearsed: {planned.reason}; to go there makes it unknown"
        )


def _mark_hollow_files(tree: RootTree) -> None:
    """Have it told who uses a file without content; where that fails, what scripts read there is unknown."""
    if not tree.hollow:
        return
    directories = {b"root" + os.path.dirname(path) for path in tree.hollow}
    try:
        tree.hollow_group = mark_directories(sorted(directories))
    except OSError as error:
        what = "what scripts read in files that were not copied"
        tree.unknowns.append(Unknown(what, f"it cannot be seen who opens them: {error.strerror}"))


def _read_only_view(tree: RootTree, number: int, planned: Planned, source: int) -> bytes:
    """Return the path of something that shows ``source`` and cannot be written to.

    A directory is no bind mount: through one, a socket or a FIFO leads to whoever listens on the machine.
    Where there is no other way an empty one is shown, unless the file system holds no such things.
    """
    itself = b"/proc/self/fd/%d" % source
    if planned.cover is Cover.FILE:
        return itself
    home = b"layers/%d-read-only" % number
    for directory in (home, home + b"/empty", home + b"/merged"):
        os.mkdir(directory)
        os.chmod(directory, 0o755)
    # Without an upper an overlay needs two lowers.
    where = b"lowerdir=%s:%s/empty" % (itself, home)
    try:
        linux.mount(b"overlay", home + b"/merged", b"overlay", linux.MS_NODEV | linux.MS_RDONLY, where)
    except OSError:
        if planned.kind in _ONLY_FILES:
            return itself
        tree.notes.append(f"{shown(planned.point)} is empty in the rehearsal: it cannot be shown safely")
    return home + b"/merged"


def _bind(source: bytes, target: bytes, *, read_only: bool) -> None:
    linux.mount(source, target, b"", linux.MS_BIND)
    if read_only:
        # A bind mount takes its flags only from a second call (mount(2), MS_BIND).
        flags = linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | linux.MS_NODEV
        linux.mount(b"none", target, b"", flags)


def _uncovered(planned: Planned, reason: str) -> Unknown:
    return Unknown(
        f"the file system at {shown(planned.point)}", reason + "; changes in it are not seen", planned.point
    )
