# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system that stops at a random moment, and a client killed at one, lose nothing that was answered."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from testbed import answers

pytestmark = pytest.mark.needs_root

# What Debian's kernels have and this machine's may not: only where `make test-vm` runs.
FILE_SYSTEMS = ("ext4", "xfs", "f2fs") if os.environ.get("APTGUARD_TEST_VM") else ("ext4",)
_MKFS = {"ext4": ["-q", "-F"], "xfs": ["-q"], "f2fs": ["-q"]}
# linux/fs.h: the file system takes no more writes from this moment on, as without power; of its journal
# only what had been flushed is left. EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN and F2FS_IOC_SHUTDOWN are the same.
_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSHING = 2
_CUTS = 8


class Writer:
    """A client that writes the ledger in ``directory``."""

    def __init__(self, directory: str, seed: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, answers.__file__, directory, seed],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdout is not None
        self._pipe = self.process.stdout.fileno()
        self._said = b""

    def wait_for(self, count: int) -> None:
        """Return when it was given ``count`` answers."""
        while self._said.count(b"\n") < count:
            more = os.read(self._pipe, 1 << 16)
            assert more, self.process.communicate()
            self._said += more

    def answered(self) -> list[str]:
        """Return what it was told up to now."""
        while select.select([self._pipe], [], [], 0)[0]:
            more = os.read(self._pipe, 1 << 16)
            if not more:
                break
            self._said += more
        return self._said.decode().splitlines()


def cut_at_random(directory: str, seed: str, cut: Callable[[Writer], None]) -> list[str]:
    """Return what was answered before the cut: an fsync(2) that a shut-down overtakes may seem to succeed."""
    chance = random.Random(seed)
    writer = Writer(directory, seed)
    try:
        writer.wait_for(chance.randint(1, 60))
        time.sleep(chance.uniform(0, 0.004))
        answered = writer.answered()
        cut(writer)
        return answered
    finally:
        writer.process.kill()
        writer.process.communicate()


@contextmanager
def mounted(image: str, directory: str) -> Iterator[str]:
    """Mount the image, which replays its journal; the ledger's directory in it."""
    subprocess.run(["mount", "-o", "loop", image, directory], check=True)
    try:
        ledger = f"{directory}/ledger"
        with suppress(FileExistsError):
            os.mkdir(ledger, 0o700)
        yield ledger
    finally:
        subprocess.run(["umount", directory], check=True)


def shut_down(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _SHUTDOWN, ctypes.c_uint32(_WITHOUT_FLUSHING))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_a_file_system_that_stops_at_random_points_loses_no_answer(tmp_path: Path, kind: str) -> None:
    program = f"mkfs.{kind}"
    if shutil.which(program) is None:
        pytest.skip(f"the program {program} is not installed")
    image, directory = str(tmp_path / "image"), str(tmp_path / "mounted")
    os.mkdir(directory)
    with open(image, "wb") as file:
        file.truncate(320 << 20)
    subprocess.run([program, *_MKFS[kind], image], check=True, stdout=subprocess.DEVNULL)
    with mounted(image, directory) as ledger:
        os.sync()
    seed = os.urandom(4).hex()
    answered: list[str] = []
    for number in range(_CUTS):
        with mounted(image, directory) as ledger:
            answered += cut_at_random(ledger, f"{seed} {number}", lambda _: shut_down(directory))
        with mounted(image, directory) as ledger:
            assert answers.lost(ledger, answered) == [], f"seed {seed}, cut {number}"
    assert len(answered) > _CUTS


def test_a_client_that_is_killed_at_random_points_loses_no_answer(tmp_path: Path) -> None:
    seed, ledger = os.urandom(4).hex(), str(tmp_path / "ledger")
    answered: list[str] = []
    for number in range(_CUTS):
        answered += cut_at_random(ledger, f"{seed} {number}", lambda writer: writer.process.kill())
        assert answers.lost(ledger, answered) == [], f"seed {seed}, kill {number}"
