# SPDX-License-Identifier: GPL-3.0-or-later
"""In a chroot: makes the root directory a mount point, which a rehearsal can replace by a copy.

Build and test programs (piuparts, an installer) run apt in a directory that is no mount point. mountinfo then
does not tell what is mounted there (proc_pid_mountinfo(5)), and nothing can be pivoted away from it.
"""

from __future__ import annotations

import os

from aptguard.rehearsal import linux

_DEEPEST = 2048  # directories that a path of PATH_MAX bytes can have


def root_is_mount_point() -> bool:
    """Return whether the root of this process is one; its own mountinfo has ``/`` only then."""
    with open("/proc/self/mountinfo", "rb") as file:
        return any(line.split(b" ", 5)[4:5] == [b"/"] for line in file)


def make_root_a_mount_point() -> None:
    """Enter a mount namespace of our own, in which our root directory is mounted on itself.

    Raises OSError. Nothing of it is seen outside of this process and its children.
    """
    linux.unshare(linux.CLONE_NEWNS)
    root = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _leave_chroot(root)
        # Else the mount below would be propagated to the namespace that we come from (mount_namespaces(7)).
        linux.mount(b"none", b"/", b"", linux.MS_REC | linux.MS_PRIVATE)
        os.fchdir(root)
    finally:
        os.close(root)
    path = os.getcwdb()
    linux.mount(path, path, b"", linux.MS_BIND | linux.MS_REC)
    os.chdir(path)  # looked up again: what is mounted there now
    os.chroot(b".")


def _leave_chroot(root: int) -> None:
    """Make the root of the mount namespace ours again: chroot(2), "This call does not change ..."."""
    os.fchdir(root)
    with os.scandir(b".") as entries:
        below = next((entry.name for entry in entries if entry.is_dir(follow_symlinks=False)), None)
    if below is None:
        raise OSError(2, "the root directory of this chroot has no directory")
    os.chroot(below)
    for _ in range(_DEEPEST):
        os.chdir(b"..")
    os.chroot(b".")
