# SPDX-License-Identifier: GPL-3.0-or-later
"""The wall of Landlock, by itself: a descriptor that leads past the root leads to no file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs_root

_PROGRAM = """
import json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
from aptguard.rehearsal import landlock, linux
outside = os.open(sys.argv[2], os.O_RDONLY)
file = os.open(sys.argv[2] + "/file", os.O_PATH)
os.chroot(sys.argv[3])
os.chdir("/")
linux.prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
missing = landlock.stay_below_root() if sys.argv[4] == "wall" else ""
def allowed(act):
    try: act()
    except OSError as error: return error.errno
    return "allowed"
print(json.dumps({"missing": missing,
    "open": allowed(lambda: os.open("file", os.O_RDONLY, dir_fd=outside)),
    "open again": allowed(lambda: os.truncate("/dev/fd/%d" % file, 0) if os.path.exists("/dev/fd") else
        os.open("file", os.O_WRONLY, dir_fd=outside)),
    "make": allowed(lambda: os.mkdir("new", dir_fd=outside)),
    "delete": allowed(lambda: os.unlink("file", dir_fd=outside)),
    "inside": allowed(lambda: (os.mkdir("a"), os.mkdir("b"), os.mkdir("a/c"), os.rename("a/c", "b/c"),
        os.truncate("mine", 0), os.link("mine", "b/mine"), os.unlink("mine")))}))
"""


def run(tmp_path: os.PathLike[str], how: str) -> dict[str, object]:
    directories = [os.path.join(tmp_path, name) for name in ("outside", "root")]
    for directory, name in zip(directories, ("file", "mine"), strict=True):
        os.mkdir(directory)
        with open(os.path.join(directory, name), "w", encoding="ascii") as file:
            file.write("content")
    command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), *directories, how]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert isinstance(answer, dict)
    if answer.pop("missing"):
        pytest.skip("the kernel has no Landlock, or none that allows renames between directories")
    return answer


def test_no_file_outside_of_the_root_is_reached_by_a_descriptor(tmp_path: os.PathLike[str]) -> None:
    answer = run(tmp_path, "wall")
    assert answer == {"open": 13, "open again": 13, "make": 13, "delete": 13, "inside": "allowed"}


def test_without_it_every_file_is_reached(tmp_path: os.PathLike[str]) -> None:
    assert set(run(tmp_path, "none").values()) == {"allowed"}
