# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes into /proc and control groups that were refused, read from what the scripts' programs said; pure.

They set parameters of the kernel, as sysctl(8) does, whose calls are recorded. Who hides the message
hides the attempt too.
"""

from __future__ import annotations

import re

from aptguard.rehearsal.model import Effect
from aptguard.shown import shown

# dash, bash, GNU coreutils: the path, perhaps in quotes, and the words of strerror(EROFS).
_FILE = rb"((?:/proc|/sys/fs/cgroup)/[^\s:'\"\xe2]+)"
_REFUSED = re.compile(_FILE + rb"(?:'|\"|\xe2\x80\x99)?: Read-only file system")
_MOST_NAMED = 50


def settings_refused(output: bytes | bytearray) -> tuple[Effect, ...]:
    """Return an effect of the kind ``kernel`` for each file that a script would have written to."""
    paths = dict.fromkeys(bytes(match[1]) for match in _REFUSED.finditer(output))
    return tuple(
        Effect("kernel", f"would set {shown(path)}", None, path) for path in list(paths)[:_MOST_NAMED]
    )
