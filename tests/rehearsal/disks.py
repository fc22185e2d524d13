# SPDX-License-Identifier: GPL-3.0-or-later
"""Real file systems for a throw-away machine: made in a file, behind a loop device, mounted there alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rehearsal.machine import Machine
from testbed.features import missing_file_system

MIB = 1 << 20
# How each is made in an empty file, and how large the file has to be.
MAKERS: dict[str, tuple[list[str], int]] = {
    "ext4": (["mkfs.ext4", "-q", "-F"], 16 * MIB),
    "xfs": (["mkfs.xfs", "-q", "-f"], 320 * MIB),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], 128 * MIB),
    "f2fs": (["mkfs.f2fs", "-q", "-f"], 64 * MIB),
    "vfat": (["mkfs.vfat"], 16 * MIB),
}


def needs_file_system(kind: str) -> None:
    """Skip the running test, naming the file system, if the kernel has not got it."""
    reason = missing_file_system(kind)
    if reason:
        pytest.skip(reason)


def made(directory: Path, kind: str) -> str:
    """Return the path of a new image file that holds an empty file system."""
    needs_file_system(kind)
    command, size = MAKERS[kind]
    image = str(directory / f"{kind}-{len(os.listdir(directory))}.image")
    with open(image, "wb") as file:
        file.truncate(size)
    _run(*command, image)
    return image


def packed(directory: Path, kind: str, fill: Callable[[str], None]) -> str:
    """Return the path of an image of a file system that is made full and never written to."""
    needs_file_system(kind)
    program = {"squashfs": "mksquashfs", "erofs": "mkfs.erofs"}[kind]
    if shutil.which(program) is None:
        pytest.skip(f"the program {program} is not installed")
    source, image = directory / f"{kind}-source", str(directory / f"{kind}.image")
    source.mkdir()
    fill(str(source))
    if kind == "squashfs":
        _run(program, str(source), image, "-quiet", "-no-progress")
    else:
        _run(program, "--quiet", image, str(source))
    return image


def mount_image(machine: Machine, image: str, point: str, options: str = "") -> None:
    """Mount an image on the machine; the loop device goes when nothing shows the file system any more."""
    device = _run("losetup", "--find", "--show", image).strip()
    try:
        os.makedirs(machine.path(point), exist_ok=True)
        mount(machine, *(["-o", options] if options else []), device, point)
    finally:
        _run("losetup", "--detach", device)


def mount(machine: Machine, *arguments: str) -> None:
    """Call mount(8) on the machine."""
    done = machine.run("mount", *arguments)
    assert done.returncode == 0, done.stderr


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
