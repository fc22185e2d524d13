# SPDX-License-Identifier: GPL-3.0-or-later
"""The file by which dpkg-hook knows the dpkg calls of an allowed run of apt; standard library only.

It is readable by root alone, bound to apt's process by id and start time, replaced by the next run of that
process and removed at the end of the run (DPkg::Post-Invoke). Its first line is the outcome, its last one
``end``; between them stands one line for each thing that may be done: ``remove NAME:ARCH``,
``purge NAME:ARCH``, ``configure NAME:ARCH``, ``unpack /PATH``, ``option WORD``; or ``everything``. The second
line is ``unsettled`` where some removals are yet to be judged: such a call of dpkg is part of no allowed run.
"""

from __future__ import annotations

import contextlib
import os

from output import printable, say, write_all
from process import parent_and_start

TYPE_CHECKING = False  # without typing, which takes milliseconds to load
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

DIRECTORY = "/run/aptguard/approved"


def leave(run: str, data: bytes, reply: Mapping[str, Any]) -> bool:
    """Write the approval of ``run`` for apt's message ``data``; False when it cannot be left, which is said.

    dpkg-hook then asks the guard about each call.
    """
    content = "\n".join([f"outcome {printable(reply.get('outcome', ''))}", *_allowed(data, reply), "end", ""])
    path = f"{DIRECTORY}/{run}"
    try:
        for directory in (os.path.dirname(DIRECTORY), DIRECTORY):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
        _forget_dead_runs()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(f"{path}.new", flags, 0o600)
        try:
            write_all(descriptor, content.encode("utf-8", "surrogateescape"))
        finally:
            os.close(descriptor)
        os.rename(f"{path}.new", path)
    except OSError as error:
        say(f"aptguard: cannot leave its approval for dpkg in {DIRECTORY}: {printable(error)}\n")
        return False
    return True


def forget(run: str) -> str:
    """Remove the approval of ``run``; return the outcome that it recorded, empty without one."""
    path = f"{DIRECTORY}/{run}"
    outcome = ""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            outcome = file.readline().rstrip("\n").partition(" ")[2]
        os.unlink(path)
    except OSError:
        pass
    return outcome


def _allowed(data: bytes, reply: Mapping[str, Any]) -> Iterator[str]:
    """Yield what may be done; ``purge`` in the reply names the removals that were judged as purges.

    ``everything`` in the reply: nobody could list what is in a message that cannot be read.

    ``settle`` names those of which nobody could tell yet whether they will be purges: no word of them here,
    so that dpkg-hook asks again, when dpkg's selections tell.
    """
    if reply.get("everything") is True:
        yield "everything"
        return
    header, _, body = data.decode("utf-8", "surrogateescape").partition("\n\n")
    purges, settle = reply.get("purge"), reply.get("settle") or ()
    if settle:
        yield "unsettled"
    for line in body.split("\n"):
        fields = line.split(" ", 8)
        if len(fields) != 9:
            continue
        name, what = fields[0], fields[8]
        if what == "**REMOVE**":
            qualified = f"{name}:{fields[2]}"
            if qualified in settle:
                continue
            yield f"remove {qualified}"
            if not isinstance(purges, list) or qualified in purges:
                yield f"purge {qualified}"
        else:
            yield f"configure {name}:{fields[6]}"
            if what.startswith("/"):
                yield f"unpack {what}"
    for line in header.split("\n")[1:]:
        tag, _, value = line.partition("=")
        if tag.lower().startswith("dpkg::options::") and "%0a" not in value:
            yield f"option {_unquoted(value)}"


def _unquoted(value: str) -> str:
    first, *parts = value.encode("utf-8", "surrogateescape").split(b"%")
    whole = b"".join([first, *(bytes((int(part[:2], 16),)) + part[2:] for part in parts)])
    return whole.decode("utf-8", "surrogateescape")


def _forget_dead_runs() -> None:
    """Remove the approvals of processes that are gone: apt was killed."""
    for name in os.listdir(DIRECTORY):
        pid, _, started = name.removesuffix(".new").partition("-")
        if not pid.isdigit() or parent_and_start(int(pid))[1] != started:
            os.unlink(f"{DIRECTORY}/{name}")
