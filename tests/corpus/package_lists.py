# SPDX-License-Identifier: GPL-3.0-or-later
"""Shortens apt's lists to the packages that can be needed: apt reads all of them at each start."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable

_DEPENDS = re.compile(r"^(?:Pre-)?Depends: (.*)$", re.MULTILINE)
_PROVIDES = re.compile(r"^Provides: (.*)$", re.MULTILINE)
_NAME = re.compile(r"^Package: (.*)$", re.MULTILINE)


def shorten(directory: str, wanted: Iterable[str]) -> int:
    """Leave in the lists of ``directory`` only ``wanted`` and what they may depend on; return how many."""
    paths = glob.glob(os.path.join(glob.escape(directory), "*_Packages"))
    lists = {path: _stanzas(path) for path in paths}
    needs: dict[str, set[str]] = {}
    providers: dict[str, set[str]] = {}
    for stanza in (one for stanzas in lists.values() for one in stanzas):
        name = _named(stanza)
        for depends in _DEPENDS.findall(stanza):
            needs.setdefault(name, set()).update(_names(depends))
        for provides in _PROVIDES.findall(stanza):
            for virtual in _names(provides):
                providers.setdefault(virtual, set()).add(name)
    kept: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting += [*needs.get(name, ()), *providers.get(name, ())]
    for path, stanzas in lists.items():
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(f"{one}\n\n" for one in stanzas if _named(one) in kept))
    return len(kept)


def _stanzas(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return [one for one in file.read().split("\n\n") if one.strip()]


def _named(stanza: str) -> str:
    found = _NAME.search(stanza)
    return found[1] if found else ""


def _names(relation: str) -> set[str]:
    """Return the names in a relation, of all alternatives, without versions and architectures."""
    return {
        re.split(r"[\s(:\[]", one.strip(), maxsplit=1)[0] for one in re.split("[,|]", relation) if one.strip()
    }
