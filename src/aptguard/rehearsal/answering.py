# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network file systems and file systems in user space answer; asked before a rehearsal begins.

Whoever asks one whose server is silent waits, and often cannot even be killed: FUSE lets nobody go whose
request the server has read (fs/fuse/dev.c, request_wait_answer()). So a process of its own asks, outside of
the rehearsal's pid namespace, which could not end before such a process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time

from aptguard.rehearsal import linux
from aptguard.rehearsal.mount_plan import needs_a_server, why_uncovered
from aptguard.rehearsal.mountinfo import Mount, is_below, read_mountinfo, visible_mounts

_SECONDS = 1.0
_BUSY_SECONDS = 0.3
_NO_ANSWER = "its server does not answer"
# fusectl (Documentation/filesystems/fuse/fuse.rst): a directory for each connection, by device number.
_CONNECTIONS = "/sys/fs/fuse/connections"


def silent_mounts(mountinfo: bytes) -> dict[bytes, str]:
    """Return the mount points whose server does not answer within a second, or only with an error; and why.

    ValueError when ``mountinfo`` cannot be read, OSError when no process can be started.
    """
    asked: dict[int, tuple[int, bytes]] = {}  # pidfd: pid, mount point
    silent: dict[bytes, str] = {}
    try:
        mounts = visible_mounts(read_mountinfo(mountinfo))
        uncovered = [mount.point for mount in mounts if why_uncovered(mount, {}) is not None]
        for mount in mounts:
            # Nobody goes below an uncovered place, and the way there may trigger an automount.
            if not needs_a_server(mount) or any(is_below(mount.point, point) for point in uncovered):
                continue
            if _has_waited_long(mount):
                silent[mount.point] = _NO_ANSWER
                continue
            pid = os.fork()
            if pid == 0:
                _ask(mount.point)
            asked[os.pidfd_open(pid)] = pid, mount.point
        deadline = time.monotonic() + _SECONDS
        while asked:
            ready, _, _ = select.select(list(asked), [], [], max(0.0, deadline - time.monotonic()))
            for pidfd in ready or list(asked):
                pid, point = asked.pop(pidfd)
                os.close(pidfd)
                if pidfd not in ready:
                    os.kill(pid, signal.SIGKILL)  # it ends when it can; nobody waits for it
                    silent[point] = _NO_ANSWER
                    continue
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                if code != 0:
                    silent[point] = f"its server answers with an error: {os.strerror(abs(code))}"
    finally:
        for pid, _ in asked.values():
            os.kill(pid, signal.SIGKILL)
    return silent


def _ask(point: bytes) -> None:
    """Look at the root directory in all ways that its server is asked about; never returns."""
    code = errno.EIO
    try:
        # If it stays, then without a hold on anything of ours.
        linux.close_range(0)
        os.statvfs(point)
        os.stat(point)
        with contextlib.suppress(NotADirectoryError), os.scandir(point) as found:
            next(found, None)
        code = 0
    except OSError as error:
        code = min(error.errno or errno.EIO, 125)
    finally:
        os._exit(code)


def _has_waited_long(mount: Mount) -> bool:
    """Whether others wait for an answer, and go on waiting: then asking would only add one who waits."""
    number = mount.device.partition(b":")
    connection = f"{_CONNECTIONS}/{int(number[0]) << 20 | int(number[2])}/waiting"
    for _ in range(int(_BUSY_SECONDS / 0.01)):
        try:
            with open(connection, "rb") as file:
                waiting = int(file.read())
        except (OSError, ValueError):
            return False  # no connection of FUSE, or fusectl is not mounted
        if waiting == 0:
            return False
        time.sleep(0.01)
    return True
