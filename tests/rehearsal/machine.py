# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away machine to rehearse on: a Debian tree as the root of a mount namespace of its own.

The test process stays outside of it and is the witness: it sees the machine's files through
``/proc/PID/root``. The machine has more than one file system, as real ones do.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from aptguard.rehearsal.model import Limits, RehearsalRequest, RehearsalResult, Step
from aptguard.rehearsal.rehearse import rehearse

ENVIRONMENT = {
    b"PATH": b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    b"HOME": b"/root",
    b"LC_ALL": b"C.UTF-8",
    b"DEBIAN_FRONTEND": b"noninteractive",
    b"DPKG_FRONTEND_LOCKED": b"true",
}
LIMITS = Limits(seconds=60.0, leftover_seconds=0.5, upper_bytes=256 << 20)

SET_UP = r"""
mount -t tmpfs -o mode=0755 machine "$2"; cd "$2"; mkdir upper work root data
mount -t overlay machine -o "lowerdir=$1,upperdir=upper,workdir=work" root
cd root
mount --rbind /proc proc; mount --rbind /sys sys; mount --rbind /dev dev
mount -t tmpfs -o mode=0755 run run
mkdir -p srv/data run/systemd/system .old
mount -t tmpfs -o mode=0751 data srv/data
pivot_root . .old
exec chroot . /bin/sh -c 'umount -l /.old; rmdir /.old; echo up; exec cat'
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A running machine; ``pid`` is the process that holds it, ``namespace`` its mount namespace."""

    pid: int
    namespace: int

    def path(self, inside: str) -> str:
        """Return where the test process sees the absolute path ``inside``."""
        return f"/proc/{self.pid}/root{inside}"

    def write(self, inside: str, content: str = "kept\n", mode: int = 0o644) -> None:
        """Write a file, with its parent directories."""
        os.makedirs(os.path.dirname(self.path(inside)), exist_ok=True)
        with open(self.path(inside), "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(self.path(inside), mode)

    def read(self, inside: str) -> str:
        """Return the content of a file."""
        with open(self.path(inside), encoding="utf-8") as file:
            return file.read()

    def run(self, *command: str, pass_fds: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine for real: this is what a rehearsal must not do."""
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--", *command],
            env={name.decode(): value.decode() for name, value in ENVIRONMENT.items()},
            pass_fds=tuple(pass_fds),
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, archive: str) -> None:
        """Install a .deb of the test's own for real."""
        target = "/var/tmp/" + os.path.basename(archive)
        with open(archive, "rb") as source, open(self.path(target), "wb") as copy:
            copy.write(source.read())
        done = self.run("dpkg", "--force-unsafe-io", "--force-depends", "-i", target)
        assert done.returncode == 0, done.stdout + done.stderr

    def rehearse(
        self,
        *steps: Step,
        limits: Limits = LIMITS,
        environment: dict[bytes, bytes] | None = None,
        collect: tuple[bytes, ...] = (),
        silenced: tuple[bytes, ...] = (),
        stop_patterns: tuple[bytes, ...] = (),
        answers: dict[bytes, bytes] | None = None,
    ) -> RehearsalResult:
        """Rehearse the steps on this machine."""
        request = RehearsalRequest(
            steps,
            environment or ENVIRONMENT,
            limits=limits,
            collect=collect,
            silenced=silenced,
            stop_patterns=stop_patterns,
            answers=answers or {},
        )
        return rehearse(request, mount_namespace=self.namespace)

    def rehearse_shell(self, script: str, limits: Limits = LIMITS) -> RehearsalResult:
        """Rehearse a shell script in the place of dpkg."""
        return self.rehearse(shell(script), limits=limits)


def shell(script: str) -> Step:
    """Return a step that runs ``script``."""
    return Step((b"/bin/sh", b"-c", script.encode()))


@contextmanager
def running_machine(tree: str, mount_point: str) -> Iterator[Machine]:
    """Start a machine whose root is a copy-on-write view of ``tree``; it is gone afterwards."""
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", SET_UP, "sh", tree, mount_point],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "up\n", "the machine's root could not be set up"
        namespace = os.open(f"/proc/{holder.pid}/ns/mnt", os.O_RDONLY)
        try:
            yield Machine(holder.pid, namespace)
        finally:
            os.close(namespace)
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
