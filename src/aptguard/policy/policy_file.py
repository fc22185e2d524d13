# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading one policy file from disk without hanging, and as TOML; standard library only."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from typing import Any

from aptguard.policy.lines import Location, key_lines, table_before
from aptguard.policy.problem import PolicyProblem

LARGEST_FILE = 1 << 20  # bytes; a policy of thousands of rules has a fifth of that

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
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


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One file as TOML; ``lines`` gives the line of each key. ``masks`` is set for a link to /dev/null."""

    path: str
    plain: dict[str, Any] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    masks: bool = False

    def line(self, location: Location) -> int | None:
        """Return the line of ``location`` or, where it is not written, of the nearest table around it."""
        while location:
            if location in self.lines:
                return self.lines[location]
            location = location[:-1]
        return None


def read_policy_file(path: str) -> PolicyFile:
    """Return the policy file ``path``; PolicyFileError where it cannot be read or is no TOML.

    Waits for nothing: what is not a regular file is refused before it is opened (a link to /dev/null counts
    as an empty file, as for systemd's drop-ins).
    """
    try:
        if _is_null(os.stat(path)):
            return PolicyFile(path, masks=True)
        data = _read(path)
    except OSError as error:
        raise PolicyFileError(_unreadable(path, error)) from error
    return _parsed(path, data)


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


def _parsed(path: str, data: bytes) -> PolicyFile:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyFileError(
            PolicyProblem(path, f"byte 0x{data[error.start]:02x} is no UTF-8", "save the file as UTF-8", line)
        ) from error
    if text.startswith("\ufeff"):
        raise PolicyFileError(
            PolicyProblem(path, "it starts with a byte order mark", "save the file as UTF-8 without one", 1)
        )
    try:
        plain = tomllib.loads(text)
        lines = key_lines(text.replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:
        raise PolicyFileError(_no_toml(path, text, error)) from error
    return PolicyFile(path, plain, lines)


def _no_toml(path: str, text: str, error: Exception) -> PolicyProblem:
    if isinstance(error, RecursionError):
        return PolicyProblem(
            path, "its lists or tables are nested too deeply", "no key needs more than one list"
        )
    message = str(error)
    place = _AT_LINE.search(message)
    line = int(place[1]) if place else None
    if message.endswith("(at end of document)"):
        line = text.count("\n") + (not text.endswith("\n"))
    message = re.sub(r" \(at (?:line \d+, column \d+|end of document)\)$", "", message)
    key = table_before(text, line) if line is not None else ""
    wrong, right = _explained(message)
    return PolicyProblem(path, wrong, right, line, key)


def _explained(message: str) -> tuple[str, str]:
    """Return what is wrong and what would be right for a ``message`` of tomllib."""
    for beginning, wrong, right in (
        (
            "Cannot declare",
            "this table stands in the file twice",
            "keep one of the two, or give one another name",
        ),
        ("Cannot overwrite", "this key stands in the table twice", "keep one of the two"),
        ("Invalid date", "there is no such date", "write year-month-day, such as 2027-12-31"),
        ("Illegal character", "a control character stands here", "remove it"),
        ("Found invalid character", "a control character stands here", "remove it"),
        ("Invalid value", "no TOML value stands here", 'write text in double quotes, such as "block"'),
        ("Unclosed array", "a list is not closed", "close it with ]"),
        ("Unterminated string", "a string is not closed", "close it with the quotes it began with"),
        (
            "Unescaped '\\\\'",
            "a backslash means nothing here",
            "double it, or write the text in single quotes",
        ),
    ):
        if message.startswith(beginning):
            return wrong, right
    return f"this is no TOML ({message})", "write KEY = VALUE, or a header such as [rule.NAME]"
