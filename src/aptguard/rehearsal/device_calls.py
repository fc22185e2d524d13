# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of tools that write to a device: its content, its partitions, its file system; pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aptguard.rehearsal.storage_call import ACTS, ASKS, UNCLEAR, Call, Meaning, Reading

_MAKERS: Final = (
    b"mkfs mke2fs mkdosfs mkntfs mkudffs mkswap mkfs.ext2 mkfs.ext3 mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat "
    b"mkfs.fat mkfs.msdos mkfs.exfat mkfs.ntfs mkfs.f2fs mkfs.bcachefs mkfs.minix "
    b"mkfs.jfs mkfs.reiserfs mkfs.nilfs2 mkfs.udf mkfs.ocfs2 mkfs.gfs2".split()
)


def _dd(call: Call) -> Reading:
    outputs = [word[3:] for word in call.arguments if word.startswith(b"of=")]
    devices = call.devices(outputs)
    if devices:
        return Reading(Meaning.DESTROYS, devices)
    return UNCLEAR if b"" in outputs else ASKS


def _shred(call: Call) -> Reading:
    devices = call.devices(call.words)
    return Reading(Meaning.DESTROYS, devices) if devices else ASKS


def _makes_file_system(call: Call) -> Reading:
    # What -n means differs from one to the next, a label or a dry run.
    dry = b"-N" if call.name == b"mkfs.xfs" else b"-n"
    documented = (b"mke2fs", b"mkfs.ext2", b"mkfs.ext3", b"mkfs.ext4", b"mkfs.xfs")
    return ASKS if call.name in documented and call.has(dry) else call.overwrites(call.words)


def _wipefs(call: Call) -> Reading:
    if call.has(b"--no-act", b"-n") or not call.may_have(b"--all", b"-a", b"--offset", b"-o"):
        return ASKS
    return call.overwrites(call.words)


def _overwrites(call: Call) -> Reading:
    return call.overwrites(call.words)


def _blkzone(call: Call) -> Reading:
    return ASKS if call.words[:1] in ([b"report"], [b"capacity"]) else call.overwrites(call.words[1:])


def _sgdisk(call: Call) -> Reading:
    asking = (
        b"-p",
        b"--print",
        b"-i",
        b"--info",
        b"-v",
        b"--verify",
        b"-b",
        b"--backup",
        b"-P",
        b"--pretend",
    )
    writing = [one for one in call.arguments if one.startswith(b"-") and not one.startswith(asking)]
    return call.overwrites(call.words) if writing and not call.has(b"--pretend", b"-P") else ASKS


def _sfdisk(call: Call) -> Reading:
    asking = (
        b"-l --list -d --dump -J --json -g --show-geometry -s --show-size -V --verify -F --list-free -T "
        b"--list-types -n --no-act"
    )
    return ASKS if call.has(*asking.split()) else call.overwrites(call.words)


def _fdisk(call: Call) -> Reading:
    return ASKS if call.has(b"-l", b"-lu", b"--list", b"-s", b"--getsz") else call.overwrites(call.words)


def _parted(call: Call) -> Reading:
    words = set(call.words)
    acting = b"mklabel mktable mkpart mkpartfs rm resizepart resize move rescue set disk_set name toggle"
    if words & set(acting.split()):
        return call.overwrites(call.words)
    if words & {b"print", b"p", b"unit", b"help", b"align-check"} or call.has(b"-l", b"--list", b"-lm"):
        return ASKS
    return call.alters(call.words)


def _tunes(call: Call) -> Reading:
    """Read a tool that changes settings of a file system, and shows them with certain options only."""
    shows = {b"tune2fs": (b"-l",), b"xfs_admin": (b"-l", b"-u"), b"resize2fs": (b"-P",)}
    options = [word for word in call.arguments if word.startswith(b"-")]
    if options and all(word in shows.get(call.name, ()) for word in options):
        return ASKS
    if call.name == b"e2label" and len(call.words) < 2:
        return ASKS
    return call.alters(call.words)


def _fstrim(_: Call) -> Reading:
    return ACTS  # gives back what holds nothing


def _nvme(call: Call) -> Reading:
    verb = b"".join(call.words[:1])
    if verb in b"format sanitize delete-ns write-zeroes write-uncor write dsm".split():
        return call.destroys(call.words[1:])
    return ASKS if verb in b"list list-subsys id-ctrl id-ns smart-log get-log version".split() else ACTS


def _hdparm(call: Call) -> Reading:
    destroying = (b"--security-erase", b"--trim-sector", b"--write-sector", b"--make-bad-sector")
    if any(word.startswith(destroying) for word in call.arguments):
        return call.destroys(call.devices(call.words))
    return ASKS if call.has(b"-I", b"-i", b"-g", b"-C") else ACTS


def _badblocks(call: Call) -> Reading:
    return call.overwrites(call.words) if call.may_have(b"-w") else ASKS


def _flash(call: Call) -> Reading:
    return call.destroys(call.devices(call.words))


READERS: Final[dict[bytes, Callable[[Call], Reading]]] = {
    b"dd": _dd,
    b"shred": _shred,
    **dict.fromkeys(_MAKERS, _makes_file_system),
    b"wipefs": _wipefs,
    b"blkdiscard": _overwrites,
    b"blkzone": _blkzone,
    b"sgdisk": _sgdisk,
    b"sfdisk": _sfdisk,
    b"fdisk": _fdisk,
    b"parted": _parted,
    **dict.fromkeys((b"tune2fs", b"e2label", b"resize2fs", b"xfs_admin", b"btrfstune"), _tunes),
    b"fstrim": _fstrim,
    b"nvme": _nvme,
    b"hdparm": _hdparm,
    b"badblocks": _badblocks,
    **dict.fromkeys((b"flash_erase", b"flashcp"), _flash),
}
