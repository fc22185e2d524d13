# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what stands in ``alerts.json`` of the state directory; daemon and embedded engines may share it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator

from aptguard.alerts.standing import Standing
from aptguard.serialization import dumps, loads

FILE = "alerts.json"
_LOCK_SECONDS = 2.0


def change_standing(directory: str, change: Callable[[Standing], Standing]) -> tuple[Standing, bool]:
    """Apply ``change`` to what stands; return what stands now, and whether that is something else.

    A file that cannot be read counts as empty: an alert must not fail because of an old one. Raises OSError
    when the file cannot be written, TimeoutError when another process holds it for seconds.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, FILE)
    with _locked(path + ".lock"):
        standing = read_standing(directory)
        changed = change(standing)
        if changed != standing:
            write_atomically(path, dumps(changed) + "\n", mode=0o600)
    return changed, changed != standing


def read_standing(directory: str) -> Standing:
    """Return what stands by the file in ``directory``."""
    try:
        with open(os.path.join(directory, FILE), "rb") as file:
            return loads(Standing, file.read())
    except (OSError, ValueError):
        return Standing()


def write_atomically(path: str, text: str, *, mode: int) -> None:
    """Replace the file ``path`` as a whole: no reader ever sees a half of it; raises OSError.

    The new file is made in the same directory under a name that nobody can have taken (mkstemp(3)), so it
    is safe where the directory belongs to somebody else.
    """
    descriptor, name = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".aptguard-")
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        os.rename(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        give_up = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise TimeoutError(f"Another process has held {path} for too long.") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
