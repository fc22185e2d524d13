# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of tools that manage volumes, pools, mappings and subvolumes; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from aptguard.rehearsal.storage_call import ACTS, ASKS, UNCLEAR, Call, Meaning, Reading

_LVM_ASKS: Final = frozenset(
    b"lvs vgs pvs lvdisplay vgdisplay pvdisplay lvscan vgscan pvscan lvmdiskscan lvmconfig dumpconfig config "
    b"fullreport formats segtypes systemid tags devtypes lastlog vgck vgcfgbackup pvck".split()
)
_LVM_DESTROYS: Final = frozenset(
    b"lvremove vgremove pvremove pvcreate vgcreate vgextend lvreduce vgreduce vgcfgrestore".split()
)
_LVM_ACTS: Final = frozenset(
    b"lvcreate lvextend lvresize lvrename lvconvert lvchange vgchange pvchange vgrename vgmerge vgsplit "
    b"vgexport vgimport vgimportclone pvmove pvresize vgmknodes lvmdevices lvpoll".split()
)
_LVM: Final = _LVM_ASKS | _LVM_DESTROYS | _LVM_ACTS


def _lvm(call: Call) -> Reading:
    if call.name == b"lvm":
        if not call.words:
            return UNCLEAR  # its commands come by standard input
        if call.words[0] not in _LVM:
            return ASKS if call.words[0] in (b"help", b"version") else ACTS
        call = call.without_first_word()
    if call.name in _LVM_ASKS or call.has(b"--test", b"-t", b"--help", b"--version"):
        return ASKS
    if call.name in _LVM_DESTROYS:
        return call.destroys([_below(b"/dev/", word) for word in call.words])
    if call.name in (b"lvchange", b"vgchange") and _deactivates(call.arguments):
        return UNCLEAR
    if call.name == b"lvresize" or (call.name == b"lvconvert" and call.words):
        return UNCLEAR  # smaller, merged with an older state, or without its mirror
    return ACTS


def _deactivates(arguments: Sequence[bytes]) -> bool:
    joined = b" ".join(arguments).replace(b"--activate=", b"-a").replace(b"--activate ", b"-a")
    return any(word in joined.replace(b"-a ", b"-a").split() for word in (b"-an", b"-aln", b"-aen"))


def _below(directory: bytes, word: bytes) -> bytes:
    return word if word.startswith(b"/") or not word else directory + word


def _dmsetup(call: Call) -> Reading:
    if b"remove_all" in call.words:
        return Reading(Meaning.DESTROYS, (b"/dev/mapper",))
    taking = {b"remove", b"wipe_table", b"clear"}
    if taking & set(call.words):
        return call.destroys([_below(b"/dev/mapper/", word) for word in call.words if word not in taking])
    asking = b"ls info table status deps targets splitname udevcookies report stats version help".split()
    return ASKS if not call.words or set(asking) & set(call.words) else ACTS


def _cryptsetup(call: Call) -> Reading:
    words = set(call.words)
    destroying = (
        b"erase luksErase luksFormat format reencrypt reencryption luksKillSlot luksRemoveKey "
        b"luksHeaderRestore"
    )
    if words & set(destroying.split()):
        files = [call.path(word) for word in call.words if word and word not in destroying.split()]
        return call.destroys(call.devices(call.words) or files)
    if words & set(b"close remove luksClose plainClose loopaesClose tcryptClose luksSuspend".split()):
        return UNCLEAR
    asking = b"status luksDump isLuks luksUUID benchmark tcryptDump bitlkDump fvault2Dump luksHeaderBackup"
    return ASKS if not words or words & set(asking.split()) else ACTS


def _zfs(call: Call) -> Reading:
    verb, targets = b"".join(call.words[:1]), call.words[1:]
    if verb in (b"destroy", b"rollback"):
        dry = verb == b"destroy" and call.has(b"-n", b"-nv", b"-vn")
        return ASKS if dry else call.destroys(targets)
    if verb in (b"receive", b"recv") and call.may_have(b"-F"):
        return call.destroys(targets)
    if verb in (b"unmount", b"umount", b"unload-key"):
        return UNCLEAR
    asking = b"list get diff holds userspace groupspace projectspace send version"
    if verb == b"mount" and not targets and not call.has(b"-a"):
        return ASKS
    return ASKS if not verb or verb in asking.split() else ACTS


def _zpool(call: Call) -> Reading:
    verb, targets = b"".join(call.words[:1]), call.words[1:]
    if verb in b"destroy labelclear create add attach replace remove split".split():
        return ASKS if verb != b"destroy" and call.has(b"-n") else call.destroys(targets)
    if verb in (b"export", b"offline", b"detach"):
        return UNCLEAR
    asking = b"list status get history iostat events version wait"
    if verb == b"import" and not targets and not call.has(b"-a"):
        return ASKS
    return ASKS if not verb or verb in asking.split() else ACTS


def _mdadm(call: Call) -> Reading:
    if call.may_have(b"--zero-superblock", b"--create", b"-C", b"--build", b"-B"):
        return call.destroys(call.devices(call.words) or call.words)
    assembles = call.may_have(b"--assemble", b"-A", b"--incremental", b"-I")
    if call.may_have(b"--stop", b"-S", b"--grow", b"-G") or (
        not assembles and call.has(b"--fail", b"--set-faulty", b"-f", b"--remove", b"-r")
    ):
        return UNCLEAR
    asking = (b"--detail", b"-D", b"--examine", b"-E", b"--query", b"-Q", b"--examine-bitmap", b"-X")
    more = (b"--detail-platform", b"--examine-badblocks", b"--monitor", b"--follow", b"-F")
    return ASKS if not call.arguments or (not assembles and call.may_have(*asking, *more)) else ACTS


def _losetup(call: Call) -> Reading:
    if call.may_have(b"-d", b"--detach", b"-D", b"--detach-all"):
        return UNCLEAR
    if call.has(b"-a", b"--all", b"-l", b"--list", b"-j", b"--associated", b"-J", b"--json"):
        return ASKS
    return ASKS if len(call.words) < (1 if call.may_have(b"-f", b"--find") else 2) else ACTS


# By group of commands; both may be shortened.
_BTRFS_ASKS: Final = (
    (b"filesystem", (b"show", b"df", b"du", b"usage", b"sync")),
    (b"device", (b"stats", b"usage", b"scan", b"ready")),
    (b"property", (b"get", b"list")),
    (b"qgroup", (b"show",)),
    (b"quota", (b"status",)),
    (b"scrub", (b"status",)),
    (b"balance", (b"status",)),
    (b"replace", (b"status",)),
)


def _btrfs(call: Call) -> Reading:
    words = call.words[1:] if call.has(b"--format") else call.words
    group, verb, targets = b"".join(words[:1]), b"".join(words[1:2]), words[2:]
    if _is(group, b"subvolume"):
        return _btrfs_subvolume(call, verb, targets)
    if (_is(group, b"device") and _is(verb, b"add")) or (_is(group, b"replace") and _is(verb, b"start")):
        return call.destroys(call.devices(targets))
    if _is(group, b"device") and _is(verb, b"delete", b"remove"):
        return UNCLEAR
    changes = (b"--repair", b"--init-csum-tree", b"--init-extent-tree", b"--clear-space-cache")
    if _is(group, b"check") and call.has(*changes):
        return UNCLEAR
    if not group or _is(group, b"help", b"version", b"inspect-internal", b"restore", b"send", b"check"):
        return ASKS
    if any(_is(group, full) and _is(verb, *verbs) for full, verbs in _BTRFS_ASKS):
        return ASKS
    names_it = _is(group, b"filesystem") and _is(verb, b"label") and len(targets) > 1
    return ASKS if _is(group, b"filesystem") and _is(verb, b"label") and not names_it else ACTS


def _btrfs_subvolume(call: Call, verb: bytes, targets: Sequence[bytes]) -> Reading:
    if not _is(verb, b"delete"):
        return ASKS if not verb or _is(verb, b"list", b"show", b"get-default", b"find-new", b"sync") else ACTS
    if call.has(b"-i", b"--subvolid"):
        return call.destroys([call.path(word) for word in targets[-1:] if word])
    named = [call.places.real(call.path(word)) for word in targets if word]
    # Where none stands the call fails on the machine as well.
    found = [path for path in named if call.places.may_be_subvolume(path)]
    return ACTS if named and not found and b"" not in targets else call.destroys(found)


def _is(word: bytes, *names: bytes) -> bool:
    """Whether the word is one of the names, which btrfs(8) lets be shortened."""
    return bool(word) and any(name.startswith(word) for name in names)


READERS: Final[dict[bytes, Callable[[Call], Reading]]] = {
    b"lvm": _lvm,
    **dict.fromkeys(sorted(_LVM), _lvm),
    b"dmsetup": _dmsetup,
    b"cryptsetup": _cryptsetup,
    b"zfs": _zfs,
    b"zpool": _zpool,
    b"mdadm": _mdadm,
    b"losetup": _losetup,
    b"btrfs": _btrfs,
}
