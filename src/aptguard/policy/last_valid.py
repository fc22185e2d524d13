# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of the last valid policy on disk; standard library only.

It is there for the day on which a file is broken, and spares reading the files anew while they say word for
word what they said when it was made: what checks them (pydantic) takes longer to load than all the rest.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable

from aptguard import __version__
from aptguard.policy.checks import CHECK_NAMES, DEFAULT_CHECKS
from aptguard.policy.model import Policy
from aptguard.policy.pattern_syntax import checked
from aptguard.policy.problem import Gravity, PolicyProblem
from aptguard.serialization import from_plain, to_plain

SCHEMA = 1
_LARGEST = 64 << 20  # bytes


def made_of(files: Iterable[tuple[str, str]]) -> str | None:
    """Return what tells a policy made of ``files`` (path and digest, in order) by this program from others.

    None where that cannot be told.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        with os.scandir(here) as entries:
            modules = sorted((entry.name, entry.stat()) for entry in entries if entry.name.endswith(".py"))
    except OSError:
        return None
    # Another program may read the same files in another way, also one of the same version, installed later.
    program = [(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for name, status in modules]
    return hashlib.sha256(json.dumps([__version__, program, list(files)]).encode()).hexdigest()


def save_last_valid(path: str, policy: Policy, sources: str | None = None) -> PolicyProblem | None:
    """Keep ``policy`` in ``path``, mode 0600, whole or not at all; return a warning where that failed.

    ``sources`` is what made_of() says of its files, None where it is not to stand for them. Writes nothing
    when the same is there already.
    """
    plain = to_plain(policy)
    kept = {"schema": SCHEMA, "policy": plain, "made_of": sources, "digest": _digest(plain)}
    data = json.dumps(kept, sort_keys=True).encode("ascii") + b"\n"
    try:
        with contextlib.suppress(OSError, ValueError):
            if _read(path) == data:
                return None
        _write(path, data)
    except OSError as error:
        return PolicyProblem(
            path,
            f"no copy of the valid policy could be kept: {error.strerror}",
            "make room, or let root write there",
            gravity=Gravity.WARNING,
        )
    return None


def load_made_of(path: str, sources: str) -> Policy | None:
    """Return the kept policy if it is whole and was made of just these ``sources``."""
    try:
        kept = json.loads(_read(path))
        plain = kept["policy"]
        if (kept["schema"], kept["made_of"], kept["digest"]) == (SCHEMA, sources, _digest(plain)):
            return from_plain(Policy, plain)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass  # load_last_valid says what is wrong with it, where that matters
    return None


def _digest(plain: object) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode("ascii")).hexdigest()


def load_last_valid(path: str) -> tuple[Policy | None, PolicyProblem | None]:
    """Return the kept policy, or None and what is wrong with the copy (nothing where there is none)."""
    try:
        return _policy(_read(path)), None
    except FileNotFoundError:
        return None, None
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error)
    return None, PolicyProblem(
        path,
        f"the last valid policy cannot be used: {reason}",
        "mend the policy files; it is then written anew",
    )


def _policy(data: bytes) -> Policy:
    plain = json.loads(data)
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        raise ValueError("it was kept by another version of aptguard")
    policy = from_plain(Policy, plain.get("policy"))
    for rule in policy.path_rules:
        for pattern in rule.patterns:
            checked(pattern.text)
    for exception in policy.exceptions:
        for pattern in exception.paths:
            checked(pattern.text)
    # what a newer version checks is checked, with its own severity
    known = {name: setting for name, setting in policy.checks.items() if name in CHECK_NAMES}
    policy.checks.clear()
    policy.checks.update(DEFAULT_CHECKS | known)
    return policy


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise ValueError("others than root could have written it")
        if status.st_size > _LARGEST:
            raise ValueError(f"it has {status.st_size} bytes")
        return file.read(_LARGEST)


def _write(path: str, data: bytes) -> None:
    directory = os.path.dirname(path) or "."
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    temporary = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # left by a process that died and had our number
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
