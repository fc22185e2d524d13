# SPDX-License-Identifier: GPL-3.0-or-later
"""``aptguard audit`` of installed packages, beside piuparts from Debian's archive on the same packages."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from typing import Any

from bench.inside.measure import row
from bench.machine import _aptguard
from testbed.guest import Guest
from testbed.server import install_aptguard
from testbed.trees import CODENAMES, bare_tree, guest_tree_with

TITLE = "Audit of installed packages, beside piuparts on the same ones"
HOW = (
    "milliseconds for one package, of whole runs in one booted guest: aptguard audit of the named packages, "
    "and of all; piuparts installs each and purges it in a chroot that is unpacked from a file made "
    "beforehand, with --skip-minimize and without upgrades"
)
VERSION = "12"
PACKAGES = ("bc", "hello", "sgml-base")
_CHROOT = "/var/tmp/piuparts.tar.gz"
_AIM = 1 / 50


def measured() -> dict[str, Any]:
    """Return title, way of measuring and rows."""
    tree = guest_tree_with(VERSION, (*PACKAGES, "piuparts"))
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as directory:
        archive = os.path.join(directory, "chroot.tar.gz")
        subprocess.run(["tar", "-C", bare_tree(VERSION), "-czf", archive, "."], check=True)
        with Guest(VERSION, tree=tree) as guest:
            install_aptguard(guest, _aptguard(directory))
            guest.copy_in(archive, _CHROOT)
            return {"title": TITLE, "how": HOW, "rows": list(_rows(guest))}


def _rows(guest: Guest) -> list[dict[str, Any]]:
    _audit(guest)  # the first run builds the index of file lists
    rows = []
    for package in PACKAGES:
        peer = _piuparts(guest, package)
        rows.append(row(f"{package} alone", [_audit(guest, package)[0]], [peer]))
    total, count = _audit(guest, *PACKAGES)
    peer = sum(one["peer"][0] for one in rows) / len(rows)
    rows.append(row(f"{count} packages", [total / count], [peer], aim="ratio", at_most=_AIM))
    total, count = _audit(guest)
    note = f"{count} packages in {total / 1000:.1f} s, {count * 1000 / total:.1f} a second"
    rows.append(row("all that are installed", [total / count], [peer], aim="ratio", at_most=_AIM, note=note))
    return rows


def _audit(guest: Guest, *packages: str) -> tuple[float, int]:
    """Return the milliseconds of an audit and how many packages it rehearsed."""
    started = time.perf_counter()
    done = guest.run(["aptguard", "audit", "--json", *packages], check=False, timeout=900)
    milliseconds = (time.perf_counter() - started) * 1000
    answer = json.loads(done.stdout)
    if packages and answer["unknown"]:
        raise RuntimeError(f"the audit could not tell: {answer['unknown']}")
    return milliseconds, answer["rehearsed"]


def _piuparts(guest: Guest, package: str) -> float:
    """Return the milliseconds in which piuparts tests one package of the archive; it must be content."""
    started = time.perf_counter()
    guest.run(
        [
            *("piuparts", "--apt", "--basetgz", _CHROOT, "--distribution", CODENAMES[VERSION]),
            *("--keep-sources-list", "--no-upgrade-test", "--skip-minimize", "--no-eatmydata"),
            "--no-check-valid-until",
            *("--log-file", f"/var/tmp/{package}.log", "--log-level", "error", package),
        ],
        timeout=900,
    )
    return (time.perf_counter() - started) * 1000
