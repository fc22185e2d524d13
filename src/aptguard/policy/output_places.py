# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package and script wrote a line of a rehearsal's output; pure, standard library only.

dpkg says what it is about to do before it runs a script (main/remove.c, unpack.c, configure.c, trigproc.c),
and runs one script at a time. The rehearsal sees to it that it says so in English.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from aptguard.rehearsal.model import ScriptRun

_HEADINGS = re.compile(
    rb"^(?:(Removing|Purging configuration files for|Setting up|Unpacking|Processing triggers for)"
    rb" (?P<package>[a-z0-9][a-z0-9+.-]+)(?::[a-z0-9-]+)? \("
    rb"|(Preparing to unpack) (?:[^\n]*/)?(?P<archive>[a-z0-9][a-z0-9+.-]+?)(?=[_.])[^\n]* \.\.\.)",
    re.MULTILINE,
)
_SCRIPTS: dict[bytes, tuple[str, ...]] = {
    b"Removing": ("prerm remove", "postrm remove", "prerm deconfigure"),
    b"Purging configuration files for": ("postrm purge",),
    b"Setting up": ("postinst configure", "config configure"),
    b"Preparing to unpack": ("prerm upgrade", "preinst install", "preinst upgrade"),
    b"Unpacking": ("postrm upgrade",),
    b"Processing triggers for": ("postinst triggered",),
}


class OutputPlaces:
    """``scripts`` are the runs that were seen; where none was, the package alone is told."""

    def __init__(self, output: bytes, scripts: Iterable[ScriptRun]) -> None:
        self._positions: list[int] = []
        self._headings: list[tuple[bytes, str]] = []
        self._seen = {(run.package, run.script) for run in scripts}
        for match in _HEADINGS.finditer(output):
            self._positions.append(match.start())
            package = match["package"] or match["archive"]
            self._headings.append((match[1] or match[3], package.decode("ascii")))

    def writer(self, position: int) -> tuple[str | None, str | None]:
        """Return the package and the script that wrote what begins at ``position``, None for what is unknown.

        Where several scripts of the package ran under one heading, the script is not known.
        """
        place = bisect_right(self._positions, position) - 1
        if place < 0:
            return None, None
        doing, package = self._headings[place]
        ran = [script for script in _SCRIPTS[doing] if (package, script) in self._seen]
        return package, ran[0] if len(ran) == 1 else None
