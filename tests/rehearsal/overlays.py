# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away overlays in a private mount namespace, for tests that run as root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from operations import unlock

from aptguard.changes.upper import ChangeSet, Ignore, Layer, copy_root_metadata, read_changes

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_BIND, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 0x1000, 2

OPTION_SETS = (
    "metacopy=on,redirect_dir=on,index=off",
    "metacopy=on,redirect_dir=on,index=on",
    "metacopy=off,redirect_dir=off,index=off",
    "metacopy=off,redirect_dir=off,index=on",
)


def in_private_mounts(function: Callable[[bytes], None]) -> None:
    """Run ``function`` with an empty tmpfs in a child whose mounts nobody else sees; its failure fails us."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        text = ""
        try:
            os.close(reading)
            check(_libc.unshare(CLONE_NEWNS), "unshare")
            mount(b"none", b"/", b"", MS_REC | MS_PRIVATE)
            os.makedirs("/tmp/aptguard-changes-tests", exist_ok=True)
            mount(b"tmpfs", b"/tmp/aptguard-changes-tests", b"tmpfs", 0)
            function(b"/tmp/aptguard-changes-tests")
        except BaseException:
            text = traceback.format_exc()
        with os.fdopen(writing, "w") as pipe:
            pipe.write(text)
        os._exit(1 if text else 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if text or status:
        pytest.fail(text or f"the child ended with wait status {status}", pytrace=False)


def check(result: int, call: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")


def mount(source: bytes, target: bytes, kind: bytes, flags: int = 0, options: bytes = b"") -> None:
    check(
        _libc.mount(source, target, kind, ctypes.c_ulong(flags), options or None),
        f"mount {target!r} {options!r}",
    )


def unmount(target: bytes) -> None:
    check(_libc.umount2(target, MNT_DETACH), f"umount {target!r}")


@dataclass
class Overlay:
    """A lower, an upper, a work and a merged directory; ``indexed`` tells whether index=on."""

    base: bytes
    lower: bytes
    upper: bytes
    merged: bytes
    indexed: bool
    mount_point: bytes = b"/"

    def read(self, *, limit: int = 1_000_000, ignore: Ignore | None = None) -> ChangeSet:
        with contextlib.ExitStack() as stack:

            def opened(path: bytes) -> int:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                return descriptor

            index = opened(self.base + b"/work/index") if self.indexed else None
            layer = Layer(self.mount_point, opened(self.upper), opened(self.lower), index)
            return read_changes([layer], limit=limit, ignore=ignore)


@contextlib.contextmanager
def overlay(
    base: bytes,
    build: Callable[[bytes], None],
    options: str = OPTION_SETS[0],
    *,
    lower: bytes | None = None,
    prepare: Callable[[bytes], None] = lambda upper: None,
) -> Iterator[Overlay]:
    """Yield a mounted overlay over what ``build`` made in the lower, and ``prepare`` in the upper."""
    room = base + b"/overlay"
    names = {name: room + b"/" + name for name in (b"upper", b"work", b"merged", b"lower")}
    for path in names.values():
        os.makedirs(path)
    below = lower or names[b"lower"]
    build(below)
    upper, source = os.open(names[b"upper"], os.O_RDONLY), os.open(below, os.O_RDONLY)
    copy_root_metadata(upper, source)
    os.close(upper)
    os.close(source)
    prepare(names[b"upper"])
    text = b"lowerdir=%b,upperdir=%b,workdir=%b,%b" % (
        below,
        names[b"upper"],
        names[b"work"],
        options.encode(),
    )
    try:
        mount(b"overlay", names[b"merged"], b"overlay", 0, text)
        try:
            yield Overlay(room, below, names[b"upper"], names[b"merged"], "index=on" in options)
        finally:
            unmount(names[b"merged"])
    finally:
        unlock(room)
        shutil.rmtree(room)
