# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the stand-in for kmod, whose further names load, remove and list modules of the kernel.

modprobe is told to do all but the last step, so that it fails where it would on the machine (a module that is
not there). insmod and rmmod have no such option: they succeed. What asks runs as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aptguard.rehearsal.call_notes import ACTING_CALL, UNANSWERED_CALL, noted_as
from aptguard.rehearsal.devices import PRIVATE

_CHANGED: Final = PRIVATE + b"/modules-changed"
MODULE_PROGRAMS: Final = (b"kmod", b"modprobe", b"insmod", b"rmmod", b"lsmod", b"modinfo", b"depmod")
# modprobe(8); its long options may be shortened. /proc/modules is the machine's: it shows nothing of what was
# only said to be done.
_LINES: Final = b"""\
acts=
case "${0##*/}" in
modprobe)
    acts=yes
    for a; do case "$a" in
        --dry*|--show*|--resolve*|--dump*|--ver|--version|--help) acts=;;
        --*) ;;
        -*[nDcRVh]*) acts=;;
    esac; done;;
insmod|rmmod) case "$*" in *--version*|*--help*|-V|-h) ;; *) acts=yes;; esac;;
lsmod) [ ! -e @CHANGED@ ] || @ASKS@;;
kmod) case "$1" in list|lsmod) [ ! -e @CHANGED@ ] || @ASKS@;; esac;;
esac
[ -z "$acts" ] || { @ACTS@; : >@CHANGED@; } 2>/dev/null
case "$acts ${0##*/}" in
*" modprobe") exec "$o" -n "$@";;
"yes "*) exit 0;;
esac
exec "$o" "$@\""""


def module_lines(calls: bytes, caller: bytes) -> Mapping[bytes, bytes]:
    """Return for each program the lines that follow the recording of its call; ``$o`` is its original.

    ``calls`` and ``caller``: see noted_as.
    """
    lines = _LINES.replace(b"@CHANGED@", _CHANGED)
    lines = lines.replace(b"@ASKS@", noted_as(UNANSWERED_CALL, calls, caller))
    return dict.fromkeys(MODULE_PROGRAMS, lines.replace(b"@ACTS@", noted_as(ACTING_CALL, calls, caller)))
