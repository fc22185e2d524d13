# SPDX-License-Identifier: GPL-3.0-or-later
"""The call of dpkg that a hook belongs to, where the hook itself could not see it.

In a pid namespace of its own (pid_namespaces(7)), with the /proc of another one or with none, the hook takes
another process for dpkg. The kernel tells the daemon who really asked (unix(7), SO_PEERCRED), and dpkg
is above that.
"""

from __future__ import annotations

from aptguard.guard.run_watch import parent_run

_MOST = 4  # the client, its shell script, dpkg; and a shell between where the configuration is without exec


def dpkg_above(pid: int) -> tuple[str, tuple[str, ...]] | None:
    """Return the run (``PID-STARTTIME``) and the words of the dpkg that the process ``pid`` was started by.

    None where there is none, or it cannot be seen from here either.
    """
    run = f"{pid}-"
    for _ in range(_MOST):
        above = parent_run(run)
        if above == run:
            return None
        run = above
        words = _words(run.partition("-")[0])
        if words and words[0].rpartition("/")[2] == "dpkg":
            return run, words
    return None


def _words(pid: str) -> tuple[str, ...]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")[:-1]
    except OSError:
        return ()
    return tuple(word.decode("utf-8", "surrogateescape") for word in words)
