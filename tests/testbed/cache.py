# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory in which trees and downloaded packages are kept from one test run to the next."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

DEFAULT_DIRECTORY = "/var/tmp/aptguard-testbed"

# Part of every key: raise it when a change of the recipe must not meet a tree made by the old one.
RECIPE = "1"


def cache_directory(*parts: str) -> str:
    """Return a directory below the cache (``APTGUARD_TESTBED``, or its default), made if it is not there."""
    directory = os.path.join(os.environ.get("APTGUARD_TESTBED", DEFAULT_DIRECTORY), *parts)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    return directory


def key(*parts: str) -> str:
    """Return a short name for a set of ingredients; another ingredient gives another name."""
    return hashlib.sha256("\0".join((RECIPE, *parts)).encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold one lock of the cache; the kernel lets go of it when the process ends, however it ends."""
    path = os.path.join(cache_directory("locks"), name)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def made_once(kind: str, name: str, make: Callable[[str], None]) -> str:
    """Return the directory ``kind/name`` of the cache, having ``make(directory)`` fill it the first time.

    It appears whole or not at all: it is filled under another name and renamed, so that a build
    that was killed is never taken for a finished one.
    """
    parent = cache_directory(kind)
    finished = os.path.join(parent, name)
    if os.path.isdir(finished):
        return finished
    with locked(f"{kind}-{name}"):
        if os.path.isdir(finished):
            return finished
        unfinished = os.path.join(parent, f".unfinished-{name}")
        remove_tree(unfinished)
        make(unfinished)
        os.rename(unfinished, finished)
    return finished


def remove_tree(directory: str) -> None:
    """Delete a directory of the cache and nothing that is mounted in it."""
    if os.path.lexists(directory):
        subprocess.run(["rm", "-rf", "--one-file-system", directory], check=True)


@contextlib.contextmanager
def own_directory(kind: str) -> Iterator[str]:
    """A new directory below ``kind``; those that killed processes have left are deleted first."""
    parent = cache_directory(kind)
    with locked(kind):
        for name in os.listdir(parent):
            if not os.path.exists(f"/proc/{name.split('-')[0]}"):
                remove_tree(os.path.join(parent, name))
        directory = tempfile.mkdtemp(dir=parent, prefix=f"{os.getpid()}-")
    os.chmod(directory, 0o755)
    try:
        yield directory
    finally:
        remove_tree(directory)


def keep_packages(archives: str, version: str) -> None:
    """Copy downloaded ``.deb`` files into the cache, so that the archive is asked for each only once.

    Those that a test has built are not kept: apt would take them for another test's package of the same name.
    """
    kept = kept_packages(version)
    incoming = cache_directory("incoming")
    try:
        names = [name for name in os.listdir(archives) if name.endswith(".deb")]
    except FileNotFoundError:
        return
    for name in names:
        wanted = os.path.join(kept, name)
        if not os.path.exists(wanted) and not _is_built_by_a_test(os.path.join(archives, name)):
            passing = os.path.join(incoming, f"{os.getpid()}-{name}")
            shutil.copyfile(os.path.join(archives, name), passing)
            os.chmod(passing, 0o644)
            os.rename(passing, wanted)


def _is_built_by_a_test(archive: str) -> bool:
    words = ["dpkg-deb", "--field", archive, "Maintainer"]
    maintainer = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    return b"example.org" in maintainer or not maintainer


def kept_packages(version: str) -> str:
    """Return the directory of kept ``.deb`` files of one Debian version."""
    return cache_directory("packages", version, "var", "cache", "apt", "archives")
