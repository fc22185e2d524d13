# SPDX-License-Identifier: GPL-3.0-or-later
"""The real thing, done to a copy: a command in a fresh overlay of the whole machine."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence

from aptguard.rehearsal import linux
from inside.measure import command

_PLACE = "/var/copies"


def command_in_copy(argv: Sequence[str], *, accept: tuple[int, ...] = (0,), bare: bool = False) -> float:
    """Run ``argv`` in a copy that is thrown away afterwards; return the milliseconds of the command alone.

    The copy is an overlay whose upper layer is where the machine's files are and, unlike a rehearsal's,
    takes each fsync there as the machine itself would. ``bare``: without /proc and /dev.
    """
    os.makedirs(_PLACE, exist_ok=True)
    place = tempfile.mkdtemp(dir=_PLACE)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, repr(_run(place, argv, accept, bare)).encode())
            os._exit(0)
        except BaseException as error:
            print(f"in a copy: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    shutil.rmtree(place)
    if not text:
        raise RuntimeError(f"{' '.join(argv)[:200]} could not be run in a copy")
    return float(text)


def _run(place: str, argv: Sequence[str], accept: tuple[int, ...], bare: bool) -> float:
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(b"none", b"/", b"", linux.MS_REC | linux.MS_PRIVATE)
    for name in ("upper", "work", "root"):
        os.mkdir(f"{place}/{name}", 0o755)
    root = os.fsencode(f"{place}/root")
    options = f"lowerdir=/,upperdir={place}/upper,workdir={place}/work,index=off,metacopy=off"
    linux.mount(b"copy", root, b"overlay", 0, options.encode())
    if not bare:
        for name in (b"/proc", b"/dev"):
            linux.mount(name, root + name, b"", linux.MS_BIND)
            # A script that goes wrong must find nothing but the copy; devices can be written to all the same.
            linux.mount(b"none", root + name, b"", linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY)
    return command(["chroot", os.fsdecode(root), *argv], accept=accept)
