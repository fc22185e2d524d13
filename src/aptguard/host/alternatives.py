# SPDX-License-Identifier: GPL-3.0-or-later
"""The links that update-alternatives(1) keeps, read from its administrative directory."""

from __future__ import annotations

import os

from aptguard.host.errors import DpkgDatabaseError
from aptguard.shown import shown


def read_alternative(data: bytes) -> tuple[bytes, ...]:
    """Return the link paths of one alternative: the master's and each slave's.

    The file starts with the mode, the master link, then pairs of slave name and slave link up to an empty
    line (dpkg: utils/update-alternatives.c, alternative_load). Raises ValueError with a sentence.
    """
    lines = data.split(b"\n")
    if len(lines) < 3 or lines[0] not in (b"auto", b"manual"):
        raise ValueError("it does not begin with 'auto' or 'manual' and a link")
    links = [lines[1]]
    position = 2
    while position < len(lines) and lines[position]:
        if position + 1 >= len(lines):
            raise ValueError("the last slave has no link")
        links.append(lines[position + 1])
        position += 2
    for link in links:
        if not link.startswith(b"/"):
            raise ValueError(f"the link '{shown(link)[:80]}' is not absolute")
    return tuple(links)


def alternative_links(directory: bytes) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Return (all link paths, sentences on what could not be read) of ``directory``.

    A missing directory means that there are no alternatives. Raises DpkgDatabaseError when the directory
    itself cannot be listed.
    """
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        raise DpkgDatabaseError(f"Cannot list {shown(directory)}: {error.strerror}.") from error
    links: list[bytes] = []
    problems: list[str] = []
    for name in names:
        if name.endswith(b".dpkg-tmp"):
            continue
        path = directory + b"/" + name
        try:
            with open(path, "rb") as file:
                links.extend(read_alternative(file.read()))
        except (OSError, ValueError) as error:
            problems.append(f"The alternative {shown(path)} could not be read: {error}.")
    return tuple(links), tuple(problems)
