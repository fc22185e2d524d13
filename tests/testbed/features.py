# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine must offer for the tests that need more than Python: each returns a reason, or None."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile

MUST_WORK = "APTGUARD_MUST_WORK"


def must_work() -> bool:
    """Tell whether a skipped test is to count as a failed one."""
    return os.environ.get(MUST_WORK, "") not in {"", "0"}


@functools.cache
def missing_root() -> str | None:
    """Return why this process cannot make namespaces and overlays as root, or None if it can."""
    if os.geteuid() != 0:
        return "this test needs root (run: sudo make test)"
    missing = _missing_programs({"unshare": "util-linux", "mount": "mount", "dpkg-deb": "dpkg"})
    if missing:
        return missing
    return _missing_overlay()


@functools.cache
def missing_guest() -> str | None:
    """Return why no throw-away Debian can be booted here, or None if one can."""
    reason = missing_root()
    if reason:
        return reason
    return _missing_programs(
        {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}
    )


@functools.cache
def missing_file_system(kind: str) -> str | None:
    """Return that the kernel has no file system of this name, or None if it has (or can load) it."""
    if shutil.which("modprobe") is not None:
        for name in (f"fs-{kind}", kind):
            subprocess.run(["modprobe", "--quiet", name], capture_output=True, check=False)
    with open("/proc/filesystems", encoding="ascii") as file:
        if kind in file.read().split():
            return None
    return f"the kernel {os.uname().release} has no file system {kind}"


def _missing_programs(packages: dict[str, str]) -> str | None:
    for program, package in packages.items():
        if shutil.which(program) is None:
            return f"the program {program} is not installed (Debian package {package})"
    return None


def _missing_overlay() -> str | None:
    script = (
        'mount -t tmpfs t "$1" && mkdir "$1/l" "$1/u" "$1/w" "$1/m" && '
        'mount -t overlay o -o "lowerdir=$1/l,upperdir=$1/u,workdir=$1/w" "$1/m"'
    )
    with tempfile.TemporaryDirectory(prefix="aptguard-feature-") as directory:
        tried = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-ec", script, "sh", directory],
            capture_output=True,
            text=True,
            check=False,
        )
    if tried.returncode != 0:
        return f"mount and process namespaces with an overlay cannot be had here: {tried.stderr.strip()}"
    return None
