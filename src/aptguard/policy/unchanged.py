# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy in force for a process: read again only when a file of it has changed."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from aptguard.policy.file_bytes import PolicyFileError, digest, read_bytes
from aptguard.policy.last_valid import load_made_of, made_of
from aptguard.policy.layers import PolicyPaths, find_layers
from aptguard.policy.loaded import LoadedPolicy
from aptguard.policy.real_places import with_real_places

_SETTLED_NS = 2_000_000_000  # what changed more recently may change again within its clock's tick

_Version = tuple[int, ...] | None
_Key = tuple[tuple[str, _Version, _Version], ...]


def load_unless_kept(paths: PolicyPaths) -> LoadedPolicy:
    """Return the same as load.load_as_written, without reading what the kept copy was made of."""
    layers = find_layers(paths)
    if not layers.problems:
        try:
            sources = made_of([(path, digest(read_bytes(path))) for path in layers.in_force])
        except PolicyFileError:
            sources = None  # to be told by the reader
        kept = None if sources is None else load_made_of(paths.last_valid, sources)
        if kept is not None:
            return LoadedPolicy(kept)
    # At its first use: it takes as long to load as half of the guard.
    from aptguard.policy.load import load_as_written

    return load_as_written(paths)


class PolicyFiles:
    """The policy in ``paths``. A change of any file or directory of it holds at the next call."""

    def __init__(self, paths: PolicyPaths) -> None:
        self._paths = paths
        # One value, for threads: a key never stands beside what was read for another.
        self._kept: tuple[_Key, LoadedPolicy] | None = None

    def load(self) -> LoadedPolicy:
        """Return the same as load_policy; only what has no problems at all is kept for the next call."""
        key = self._present_key()
        kept = self._kept
        if kept is not None and kept[0] == key:
            loaded = kept[1]
        else:
            loaded = load_unless_kept(self._paths)
            # The key is older than the reading: a change in between makes the next call read again.
            self._kept = None if key is None or loaded.problems else (key, loaded)
        # Where links lead may have changed without any change of the policy's files.
        return replace(loaded, policy=with_real_places(loaded.policy))

    def _present_key(self) -> _Key | None:
        layers = find_layers(self._paths)
        places = (self._paths.vendor, self._paths.admin, self._paths.admin_file, self._paths.last_valid)
        files = tuple(dict.fromkeys((*places, *layers.vendor, *layers.admin)))
        try:
            return tuple((path, _version(path, follow=False), _version(path, follow=True)) for path in files)
        except _UnsettledError:
            return None


class _UnsettledError(Exception):
    """A file has changed just now."""


def _version(path: str, *, follow: bool) -> _Version:
    try:
        status = os.stat(path, follow_symlinks=follow)
    except OSError:
        return None
    if abs(time.time_ns() - status.st_ctime_ns) < _SETTLED_NS:
        raise _UnsettledError
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_uid,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
