# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a call of dpkg failed: the maintainer script that dpkg names, and its last words; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aptguard.rehearsal.model import Unknown
from aptguard.shown import shown

# dpkg's own sentence (src/main/script.c, lib/dpkg/subproc.c), in the words of Debian 12 and 13.
_SCRIPT = re.compile(
    rb"^ *(?:dpkg: warning: )?(?:installed|new|old) (\S+) package (pre|post)-(installation|removal) "
    rb"(?:maintainer )?script subprocess (.+)$"
)
_NAMES = {
    (b"pre", b"installation"): "preinst",
    (b"post", b"installation"): "postinst",
    (b"pre", b"removal"): "prerm",
    (b"post", b"removal"): "postrm",
}
# What dpkg says by itself, before the words of the script that failed.
_PROGRESS = (
    b"(Reading database",
    b"Selecting previously",
    b"Preparing to unpack",
    b"Unpacking ",
    b"Setting up ",
    b"Removing ",
    b"Purging configuration files",
    b"Processing triggers",
)
_ERROR = b"dpkg: error processing"
_LINES = 3
_LINE_BYTES = 200
_OPTIONS = (b"--force-", b"--no-triggers", b"--abort-after", b"--no-debsig", b"--status-fd")


def describe_failure(argv: Sequence[bytes], status: int, output: bytes) -> Unknown:
    """Return what did not go to its end when ``argv`` left with ``status`` (negative: a signal).

    ``output`` is what it and its scripts wrote; its last lines are repeated.
    """
    said: list[bytes] = []
    for line in output.splitlines():
        if found := _SCRIPT.match(line):
            script = f"{_NAMES[found[2], found[3]]} of {shown(found[1])}"
            return Unknown(script, f"it {shown(found[4])}{_words(said)}")
        if line.startswith(_PROGRESS):
            said.clear()
        elif line.strip() and not line.startswith(_ERROR):
            said.append(line)
    words = [word for word in argv[1:] if not word.startswith(_OPTIONS)]
    command = shown(b" ".join([argv[0].rsplit(b"/", 1)[-1], *words[:6]])[:_LINE_BYTES])
    how = f"exit status {status}" if status > 0 else f"signal {-status}"
    return Unknown(f"{command}{' ...' if len(words) > 6 else ''}", f"it ended with {how}{_words(said)}")


def _words(said: Sequence[bytes]) -> str:
    if not said:
        return " and said nothing"
    return " and said: " + " | ".join(shown(line.strip()[:_LINE_BYTES]) for line in said[-_LINES:])
