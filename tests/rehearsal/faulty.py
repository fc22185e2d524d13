# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper process with a fault: one call of the system, told by its line, fails or never returns.

Run in the place of helper.py as ``faulty.py PLAN ...``. PLAN is a file of JSON: ``{"source": directory,
"site": name or null, "hit": number, "act": "fail" | "stop"}``: the call that fails is the one that reaches
the site for the ``hit``-th time in its process. A site reads ``module.py:line caller function``; those that
were reached stand in ``PLAN.record``, with a part for each of helper, init process and scripts. A process
that stops at its site writes one byte into the file ``PLAN.stopped`` and sleeps until it is killed.
"""

from __future__ import annotations

import builtins
import json
import mmap
import os
import sys
import time
from collections.abc import Callable
from typing import Any

_OS = [
    "open",
    "mkdir",
    "mknod",
    "chdir",
    "chmod",
    "chown",
    "utime",
    "fstat",
    "lstat",
    "statvfs",
    "fstatvfs",
    "posix_spawn",
    "listdir",
    "setsid",
    "fork",
    "pipe2",
    "set_blocking",
    "dup2",
    "write",
    "memfd_create",
    "lseek",
    "execve",
    "pidfd_open",
    "readlink",
    "rename",
    "fchmod",
    "fchown",
    "symlink",
    "unlink",
    "listxattr",
    "setxattr",
    "getxattr",
    "makedirs",
    "waitpid",
    "kill",
    "waitstatus_to_exitcode",
    "pread",
    "close",
    "read",
]
_SIZE = 1 << 18


def main() -> int:
    plan_file = sys.argv[1]
    with open(plan_file, encoding="utf-8") as file:
        plan = json.load(file)
    sys.path.append(plan["source"])
    import fcntl
    import resource
    import select
    import signal
    import socket

    from aptguard.rehearsal import helper, linux

    helper._load_all()
    with open(plan_file + ".stopped", "w+b") as file:
        file.write(b"-")
        file.flush()
        stopped = mmap.mmap(file.fileno(), 1)
    # Mapped files: reached from every mount namespace, and whole when the process is killed.
    with open(plan_file + ".record", "w+b") as file:
        file.truncate(4 * _SIZE)
        records = [mmap.mmap(file.fileno(), _SIZE, offset=number * _SIZE) for number in range(4)]
    role = [0]

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            code = sys._getframe(1).f_code
            if "/aptguard/rehearsal/" in code.co_filename:
                line = sys._getframe(1).f_lineno
                site = f"{os.path.basename(code.co_filename)}:{line} {code.co_name} {name}"
                records[role[0]].write(site.encode() + b"\n")
                if site == plan["site"]:
                    plan["hit"] -= 1
                if site == plan["site"] and plan["hit"] == 0:
                    plan["site"] = None
                    if plan["act"] == "fail":
                        raise OSError(5, "a fault was injected")
                    stopped[0:1] = b"x"
                    while True:
                        time.sleep(60)
            result = real(*arguments, **named)
            if name == "fork" and result == 0:
                role[0] = min(role[0] + 1, 3)
            return result

        return call

    for name in _OS:
        setattr(os, name, wrapped(name, getattr(os, name)))
    for name, value in list(vars(linux).items()):
        if callable(value) and not isinstance(value, type) and not name.startswith("_"):
            setattr(linux, name, wrapped(name, value))
    for module, names in (
        (socket, ("socketpair", "send_fds", "recv_fds")),
        (resource, ("setrlimit",)),
        (signal, ("signal",)),
        (fcntl, ("fcntl", "ioctl")),
        (select, ("select", "poll")),
        (builtins, ("open",)),
    ):
        for name in names:
            setattr(module, name, wrapped(name, getattr(module, name)))
    return helper.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
