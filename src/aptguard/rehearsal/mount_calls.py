# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that mount and unmount, or switch swap on and off; pure.

None of them can succeed in a rehearsal, so that a script always takes the way of their failure there. One
that would do something on the machine leaves open what the script does after it; one that fails there as
well, or only lists, is true as it is. The readings follow the manual pages of util-linux 2.38 to 2.41, fuse3
and systemd 252 to 257.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from aptguard.rehearsal.mount_plan import DONE_WITHOUT, ONE_FOR_ALL, SHOWS_NOTHING_NEW
from aptguard.rehearsal.storage_call import ACTS, ASKS, UNCLEAR, Call, Meaning, Reading

_WITH_A_VALUE: Final = frozenset(
    b"-L -N -o -O -t -T -U --label --namespace --options --source --target --target-prefix --test-opts "
    b"--types --uuid --fstab --options-mode --options-source --map-groups --map-users".split()
)
_HELPERS: Final = (
    b"nfs nfs4 cifs smb3 ntfs ntfs-3g lowntfs-3g fuse fuse3 zfs ceph glusterfs davfs sshfs ecryptfs overlay "
    b"vboxsf drbd fuseblk s3fs virtiofs".split()
)


def _mount(call: Call) -> Reading:
    if call.has(b"-h", b"--help", b"-V", b"--version", b"-f", b"--fake"):
        return ASKS
    if any(_only_alters(word) for word in call.arguments):
        return (
            ACTS  # mount(2) itself is told of, and said to be done where nothing hangs on it (refused_calls)
        )
    words, kinds = _sorted_out(call.arguments)
    targets = [word for word in call.arguments if word.split(b"=")[0] in (b"--source", b"--target")]
    labels = (b"-L", b"--label", b"-U", b"--uuid")
    if not words and not targets and not call.may_have(b"-a", b"--all") and not call.has(*labels):
        return ASKS  # it lists, as it does with -l
    paths = [call.path(word) for word in words if word]
    if len(words) == len(paths) == 2 and len(kinds) == 1 and _is_answered(call, kinds[0], paths[1]):
        return ACTS
    return Reading(Meaning.UNCLEAR, tuple(paths[-1:]))


def _is_answered(call: Call, kind: bytes, path: bytes) -> bool:
    """Whether mount(2) itself is answered here as the machine would, or is done without (refused_mounts)."""
    if (kind, path) == (b"binfmt_misc", DONE_WITHOUT):
        return True
    return kind in SHOWS_NOTHING_NEW | ONE_FOR_ALL and call.places.has_file_system(kind, path)


def _only_alters(word: bytes) -> bool:
    """Whether the word of a call of mount says that a mount which is there is altered, and none made."""
    options = word.removeprefix(b"-o").removeprefix(b"--options=").split(b",")
    return word.startswith(b"--make-") or b"remount" in options


def _sorted_out(arguments: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the words that are no values of options, and the kinds of file systems that are asked for."""
    words: list[bytes] = []
    kinds: list[bytes] = []
    rest: Iterator[bytes] = iter(arguments)
    for word in rest:
        name, _, value = word.partition(b"=")
        if word == b"--":
            words += rest
        elif word in _WITH_A_VALUE:
            value = next(rest, b"")
        elif word.startswith(b"-t"):
            name, value = b"-t", word[2:]
        elif not word.startswith(b"-"):
            words.append(word)
        if name in (b"-t", b"--types"):
            kinds += value.split(b",")
    return words, kinds


def _umount(call: Call) -> Reading:
    if call.has(b"-h", b"--help", b"-V", b"--version", b"--fake"):
        return ASKS
    if call.may_have(b"-a", b"--all"):
        return UNCLEAR
    return _takes_away(call, call.words)


def _takes_away(call: Call, words: Sequence[bytes]) -> Reading:
    if not all(words) or any(b"=" in word for word in words):
        return UNCLEAR  # empty here, or LABEL=..., whose device is not there in a rehearsal
    # By its source, too, which may be no path at all: umount server:/export
    named = {name for word in words for name in (call.path(word), word)}
    mounted = tuple(sorted(name for name in named if call.places.may_be_mounted(name)))
    return Reading(Meaning.UNCLEAR, mounted) if mounted else ACTS


def _fusermount(call: Call) -> Reading:
    if call.has(b"-h", b"--help", b"-V", b"--version") or not call.words:
        return ASKS
    return _takes_away(call, call.words) if call.may_have(b"-u", b"--unmount") else UNCLEAR


def _swapon(call: Call) -> Reading:
    asking = (b"-h", b"--help", b"-V", b"--version", b"-s", b"--summary", b"--show", b"--noheadings")
    labels = (b"-L", b"-U")
    if call.has(*asking) or not (call.words or call.may_have(b"-a", b"--all") or call.has(*labels)):
        return ASKS
    return UNCLEAR


def _swapoff(call: Call) -> Reading:
    if call.has(b"-h", b"--help", b"-V", b"--version") or not call.arguments:
        return ASKS
    return UNCLEAR if call.places.may_have_swap() else ACTS


def _systemd_mount(call: Call) -> Reading:
    if call.has(b"-h", b"--help", b"--version", b"--list"):
        return ASKS
    if call.has(b"-u", b"--umount", b"--unmount"):
        return _takes_away(call, call.words)
    return UNCLEAR


def _udisksctl(call: Call) -> Reading:
    verb = b"".join(call.words[:1])
    if verb in b"mount unmount unlock lock loop-setup loop-delete power-off".split():
        return UNCLEAR
    return ASKS


READERS: Final[dict[bytes, Callable[[Call], Reading]]] = {
    b"mount": _mount,
    b"umount": _umount,
    **{b"mount." + helper: _mount for helper in _HELPERS},
    **{b"umount." + helper: _umount for helper in _HELPERS},
    b"fusermount": _fusermount,
    b"fusermount3": _fusermount,
    b"pmount": _mount,
    b"pumount": _umount,
    b"systemd-mount": _systemd_mount,
    b"systemd-umount": _umount,
    b"udisksctl": _udisksctl,
    b"swapon": _swapon,
    b"swapoff": _swapoff,
}
