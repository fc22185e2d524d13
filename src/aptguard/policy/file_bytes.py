# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of one policy file, read without waiting for anything; standard library only."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat

from aptguard.policy.problem import PolicyProblem

LARGEST_FILE = 1 << 20  # bytes; a policy of thousands of rules has a fifth of that

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


class PolicyFileError(Exception):
    """A file that cannot be used; ``problem`` says why."""

    def __init__(self, problem: PolicyProblem) -> None:
        super().__init__(problem.sentence())
        self.problem = problem


def read_bytes(path: str) -> bytes | None:
    """Return what is in the policy file ``path``, None for a link to /dev/null; else PolicyFileError.

    Waits for nothing: what is not a regular file is refused before it is opened.
    """
    try:
        return None if _is_null(os.stat(path)) else _read(path)
    except OSError as error:
        raise PolicyFileError(_unreadable(path, error)) from error


def digest(data: bytes | None) -> str:
    """Return what tells the result of read_bytes from every other one."""
    return "nothing" if data is None else hashlib.sha256(data).hexdigest()


def _is_null(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)


def _read(path: str) -> bytes:
    _require_regular(path, os.stat(path))
    # O_NONBLOCK: the file may have been replaced by a named pipe since
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        _require_regular(path, status)
        if status.st_size > LARGEST_FILE:
            raise _too_large(path, status.st_size)
        data = b""
        while len(data) <= LARGEST_FILE and (more := os.read(descriptor, LARGEST_FILE + 1 - len(data))):
            data += more
    finally:
        os.close(descriptor)
    if len(data) > LARGEST_FILE:
        raise _too_large(path, len(data))
    return data


def _require_regular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise PolicyFileError(
            PolicyProblem(
                path, f"it is {kind}, not a file", "put a regular TOML file in its place or remove it"
            )
        )


def _too_large(path: str, size: int) -> PolicyFileError:
    return PolicyFileError(
        PolicyProblem(path, f"it has {size} bytes or more", f"a policy file has at most {LARGEST_FILE} bytes")
    )


def _unreadable(path: str, error: OSError) -> PolicyProblem:
    reason = error.strerror or str(error)
    if error.errno == errno.ENOENT:
        with contextlib.suppress(OSError):
            target = os.readlink(path)
            return PolicyProblem(
                path, f"it is a symbolic link to {target}, which does not exist", "mend or remove the link"
            )
        return PolicyProblem(path, "it does not exist", "check the name")
    if error.errno == errno.EACCES:
        return PolicyProblem(
            path, "it may not be read", "read it as root, or give root permission to read it"
        )
    return PolicyProblem(path, f"it cannot be read: {reason}", "mend or remove it")
