# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mounts of the machine are covered how in a rehearsal: a plan as data; pure.

An overlay never shows what is mounted below its lower directory, so each mounted file system needs a
layer of its own, or a destroyed file system looks like an empty directory. A mount that gets no layer is
named in the plan with the reason (Documentation/filesystems/overlayfs.rst).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from aptguard.changes.model import ViewName
from aptguard.rehearsal.mountinfo import Mount, is_below
from aptguard.rehearsal.views import is_view
from aptguard.shown import shown


class Cover(Enum):
    """What stands at a mount point in the rehearsal."""

    OVERLAY = "overlay"
    ALIAS = "alias"  # a bind mount of a directory that another overlay already shows
    COPY = "overlay of a copy"  # a small file system that overlayfs refuses
    NAMES = "overlay of its names"  # the same, where reading is dear: a copy without most of the content
    FILE = "copy of a file"
    READ_ONLY = "read-only"  # what an overlay was planned for and refused
    UNCOVERED = "uncovered"  # nothing is seen of it, but who goes there is: see tripwire
    BELOW = "below an uncovered one"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Planned:
    """One mount of the plan.

    ``read_only``: the machine itself refuses writing there. ``base`` and ``inner``: for an alias, the mount
    point of the overlay that shows it and the path below it (relative, may be empty).
    """

    point: bytes
    cover: Cover
    kind: bytes
    mount_id: int
    reason: str = ""
    read_only: bool = False
    base: bytes = b""
    inner: bytes = b""


@dataclass(frozen=True, slots=True)
class MountPlan:
    """All visible mounts, parents before children."""

    mounts: tuple[Planned, ...]

    def describe(self) -> str:
        """Return one line for each mount: what stands where, and why."""
        return "\n".join(
            f"{planned.cover.value:17} {shown(planned.point)} ({shown(planned.kind)})"
            + (f": {planned.reason}" if planned.reason else "")
            for planned in self.mounts
        )


# Trees of the kernel's own making which the rehearsal builds anew. What somebody mounts in them is covered as
# it is elsewhere: memory that programs share in /dev/shm, for one.
KERNEL_TREES = frozenset((b"/proc", b"/sys"))  # a change there has one name, wherever else they are mounted
_REPLACED_TREES = (*sorted(KERNEL_TREES), b"/dev")
# File systems without files of anybody's, or with some that only show the kernel's (lxcfs(1)).
KERNEL_KINDS = frozenset(
    b"proc sysfs cgroup cgroup2 devpts securityfs debugfs tracefs bpf pstore configfs fusectl "
    b"binfmt_misc rpc_pipefs nsfs selinuxfs nfsd mqueue hugetlbfs fuse.lxcfs".split()
)
# The kernel makes a new one for each mount, which shows the same, or terminals of its own; where namespaces
# were only said to be new, too.
SHOWS_NOTHING_NEW = frozenset((b"proc", b"devpts"))
# There is one of them for all namespaces, and mount(2) does not mount it twice at one place (EBUSY), but
# move_mount(2) does, by which libmount goes since 2.39. sysfs and mqueue are others in other namespaces of
# the network and of IPC.
ONE_FOR_ALL = frozenset(b"cgroup2 configfs debugfs fusectl pstore securityfs selinuxfs tracefs".split())
# update-binfmts(8) mounts and unmounts it, and does without; there are no files in it but the kernel's.
DONE_WITHOUT = b"/proc/sys/fs/binfmt_misc"
# Those of them in which somebody may keep something, and what; see kernel_holdings.
MAY_HOLD: Mapping[bytes, str] = MappingProxyType(
    {
        b"bpf": "programs and maps of the kernel's packet filter are kept there",
        b"configfs": "devices are set up there",
        b"fusectl": "connections to file systems in user space can be cut there",
        b"hugetlbfs": "programs keep large pages of memory there",
        b"mqueue": "message queues are kept there",
        b"pstore": "reports of crashes are kept there",
    }
)
# The firmware's variables: each reading is a call of the firmware (Documentation/filesystems/efivarfs.rst).
_FIRMWARE = b"efivarfs"
# Of the control groups, and of what an automounter mounts there, the rehearsal shows nothing.
_NEVER_SHOWN = (b"/sys/fs/cgroup", b"/proc/sys/fs/binfmt_misc")
# File systems that wait for a server; those in user space do too.
_NETWORK = frozenset(
    b"nfs nfs4 cifs smb3 smbfs ceph afs 9p ncpfs coda glusterfs gfs2 ocfs2 lustre virtiofs orangefs".split()
)
# How the kernel ends the root of a mount whose directory or file has been deleted (fs/d_path.c).
_GONE = b"//deleted"
# overlayfs refuses them as lower: their names compare or hash in their own way (ovl_dentry_weird()).
_REFUSED_BY_OVERLAY = frozenset(b"vfat msdos exfat ntfs ntfs3 hfs hfsplus hpfs jfs-ci".split())


def plan_mounts(
    mounts: tuple[Mount, ...], files: frozenset[bytes], silent: Mapping[bytes, str] = MappingProxyType({})
) -> MountPlan:
    """Return the plan for ``mounts``: visible ones, parents first.

    ``files`` are those mount points that are no directories, ``silent`` those whose server does not answer,
    with the reason.
    """
    planned: dict[int, Planned] = {}
    covered: list[Mount] = []
    uncovered = {
        mount.point: reason for mount in mounts if (reason := why_uncovered(mount, silent)) is not None
    }
    # Of two mounts of one file system the one that shows more of it gets the overlay, wherever it stands.
    for mount in sorted(mounts, key=lambda mount: (mount.point != b"/", len(mount.root))):
        entry = _plan_one(mount, mount.point in files, covered, uncovered)
        planned[mount.id] = entry
        if entry.cover is Cover.OVERLAY:
            covered.append(mount)
    return MountPlan(tuple(planned[mount.id] for mount in mounts))


def is_made_anew(mount: Mount) -> bool:
    """Whether the rehearsal has one of its own there, or none: trees and file systems of the kernel's.

    Also what hides a part of such a tree, as container engines do: a read-only mount in /proc or /sys.
    """
    if mount.kind in KERNEL_KINDS or mount.point in _REPLACED_TREES:
        return True
    if any(is_below(mount.point, hidden) for hidden in _NEVER_SHOWN):
        return True
    if is_below(mount.point, b"/dev"):
        return mount.kind == b"devtmpfs"
    return is_inside_a_tree(mount.point) and mount.read_only


def is_inside_a_tree(point: bytes) -> bool:
    """Whether ``point`` lies in /proc, /sys or /dev."""
    return any(is_below(point, tree) for tree in _REPLACED_TREES)


def needs_a_server(mount: Mount) -> bool:
    """Whether looking at it may wait for a server, and can be done at all."""
    if is_made_anew(mount) or _is_its_owners_alone(mount):
        return False
    return mount.kind in _NETWORK or _is_fuse(mount)


def why_uncovered(mount: Mount, silent: Mapping[bytes, str]) -> str | None:
    """Return why nothing can be seen of the file system ``mount``; None if it can."""
    if mount.kind in MAY_HOLD:
        return silent.get(mount.point)
    if mount.point == b"/" or is_made_anew(mount):
        return None
    if mount.kind == b"autofs":
        return "it is an automount point, and what would be mounted there cannot be rehearsed"
    if _is_its_owners_alone(mount):
        return "it is in user space (FUSE), and only the user who mounted it may look into it"
    return silent.get(mount.point)


def _is_fuse(mount: Mount) -> bool:
    return mount.kind in (b"fuse", b"fuseblk") or mount.kind.startswith((b"fuse.", b"fuseblk."))


def _is_its_owners_alone(mount: Mount) -> bool:
    return _is_fuse(mount) and not mount.super_options & {b"allow_other", b"user_id=0"}


def _plan_one(mount: Mount, is_file: bool, covered: list[Mount], uncovered: Mapping[bytes, str]) -> Planned:
    def made(cover: Cover, reason: str = "", base: bytes = b"", inner: bytes = b"") -> Planned:
        return Planned(
            mount.point, cover, mount.kind, mount.id, reason, mount.read_only, base=base, inner=inner
        )

    if mount.point == b"/":
        return made(Cover.OVERLAY)
    # A file there shows a device or the kernel's own (kcore hidden by the null device): nothing to look into.
    if mount.point not in uncovered and (is_made_anew(mount) or (is_file and is_inside_a_tree(mount.point))):
        return made(Cover.REPLACED, "the rehearsal has its own, or an empty place")
    above = [point for point in uncovered if is_below(mount.point, point) and point != mount.point]
    if above:
        return made(Cover.BELOW, f"it is reached only through {shown(above[0])}")
    if mount.point in uncovered:
        return made(Cover.UNCOVERED, uncovered[mount.point])
    base = _base_of(mount, covered)
    if base is not None:
        inner = mount.root[len(base.root.rstrip(b"/")) :].strip(b"/")
        return made(Cover.ALIAS, base=base.point, inner=inner)
    if is_file:
        return made(Cover.FILE)
    if mount.kind == _FIRMWARE:
        return made(Cover.NAMES)
    if mount.kind in _REFUSED_BY_OVERLAY:
        return made(Cover.COPY)
    return made(Cover.OVERLAY)


def _base_of(mount: Mount, covered: list[Mount]) -> Mount | None:
    """Return the covered mount of the same file system that shows all of ``mount``; the deepest."""
    fitting = [
        other
        for other in covered
        if other.device == mount.device
        and is_below(mount.root, other.root)
        and not mount.root.endswith(_GONE)
        and other.read_only <= mount.read_only
    ]
    return max(fitting, key=lambda other: len(other.root), default=None)


def reachable_names(
    path: bytes, layer: bytes, mounts: tuple[Mount, ...]
) -> tuple[tuple[bytes, ...], tuple[ViewName, ...]]:
    """Return the absolute paths that lead to what stands at ``path`` in the overlay at ``layer``.

    ``layer`` is a mount point, or /dev where the machine has not mounted anything there. ``path`` itself is
    the first where it leads there, and not to another file system that is mounted in between. ``mounts`` are
    the visible ones, parents first. A directory mounted in two places is one directory: what is deleted at
    one name is gone at the other. Names through a mere view of the system's own directories
    (aptguard.rehearsal.views) are returned apart from the others.
    """
    home = [mount for mount in mounts if is_below(layer, mount.point)][-1]
    inside = path[len(home.point.rstrip(b"/")) :].strip(b"/")
    physical = (home.root.rstrip(b"/") + b"/" + inside).rstrip(b"/") or b"/"
    names: list[tuple[bytes, Mount]] = []
    for mount in mounts:
        if mount is home:
            name = path
        elif mount.device == home.device and is_below(physical, mount.root) and not home.root.endswith(_GONE):
            rest = physical[len(mount.root.rstrip(b"/")) :].strip(b"/")
            name = (mount.point.rstrip(b"/") + b"/" + rest).rstrip(b"/") or b"/"
        else:
            continue
        if [other for other in mounts if is_below(name, other.point)][-1:] == [mount]:
            names.append((name, mount))
    own = names
    if len(names) > 1:
        own = [(name, mount) for name, mount in names if not is_view(mount, mounts)] or names
    views = tuple(
        ViewName(name, _top_of_view(mount, [other for _, other in own]))
        for name, mount in names
        if (name, mount) not in own
    )
    return tuple(sorted((name for name, _mount in own), key=lambda name: name != path)), views


def _top_of_view(view: Mount, others: list[Mount]) -> bytes:
    """Return the name in ``view`` of the largest directory that it shares with one of ``others``."""
    shared = min((max(view.root, other.root, key=len) for other in others), key=len)
    inside = shared[len(view.root.rstrip(b"/")) :].strip(b"/")
    return (view.point.rstrip(b"/") + b"/" + inside).rstrip(b"/")
