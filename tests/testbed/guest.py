# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away Debian: ``Guest`` is booted with systemd as PID 1, ``Container`` has no init at all."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from testbed import cache
from testbed.trees import Tree, as_tree

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "holder.py")
READY = "/run/testbed-ready"
# What systemd-run says when PID 1 is too busy to take its call; nothing has been started then.
UNREACHED = "Failed to connect to"
UNREACHED_TRIES = 50

Completed = subprocess.CompletedProcess[str]


class GuestError(AssertionError):
    """A command in a guest that was to succeed did not, or the guest did not come up."""


class Container:
    """A Debian in namespaces of its own, with no service manager: as in a container or a rescue shell.

    ``root`` is ``overlay`` (on a tmpfs, the fastest), ``memory`` (a copy on a tmpfs: a root that is no
    overlay; takes 0.4 GB of memory) or ``copy`` (a copy on the cache's own file system, for code that
    needs the disk; 3 to 15 seconds).
    ``upper`` keeps what is written in a directory: how layers are made. ``network`` is ``host``
    (needed for Debian's archive) or ``private`` (a loopback of its own, nothing else).
    """

    boots = False

    def __init__(
        self,
        version: str,
        *,
        tree: str | Tree | None = None,
        root: str = "overlay",
        upper: str | None = None,
        network: str = "host",
    ) -> None:
        if root not in {"overlay", "memory", "copy"} or network not in {"host", "private"}:
            raise ValueError(
                f"{root=} {network=}: root is overlay, memory or copy; network is host or private"
            )
        self.version = version
        self._tree = tree
        self._root = root
        self._upper = upper
        self._network = network
        self._unshare: subprocess.Popen[bytes] | None = None
        self._unwind = contextlib.ExitStack()
        self.leader = 0

    def __enter__(self) -> Self:
        with self._unwind:
            self._start()
            self._unwind = self._unwind.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._unwind:
            if self.leader:
                with contextlib.suppress(OSError):
                    cache.keep_packages(self.path("/var/cache/apt/archives"), self.version)

    # ---------------------------------------------------------------- what tests use

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 120,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
    ) -> Completed:
        """Run an argv, or a script for ``bash -e``, as root in the guest, and return it with its streams.

        Text is UTF-8 with ``surrogateescape``. Without ``input`` the standard input is empty.

        :raises GuestError: ``check`` is set and the exit status is not 0; both streams are in it.
        :raises subprocess.TimeoutExpired: it took longer than ``timeout`` seconds.
        """
        argv = ["bash", "-ec", command] if isinstance(command, str) else list(command)
        for _ in range(UNREACHED_TRIES):
            done = subprocess.run(
                [*self._enter(), *self._wrapped(argv, timeout, env or {})],
                input="" if input is None else input,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=timeout + 10,
                check=False,
            )
            if not done.stderr.startswith(UNREACHED):
                break
            time.sleep(0.2)
        done.args = argv
        if check and done.returncode != 0:
            shown = command if isinstance(command, str) else shlex.join(argv)
            raise GuestError(
                f"in the guest (Debian {self.version}) this ended with {done.returncode}: {shown}\n"
                f"--- stdout\n{done.stdout[-6000:]}\n--- stderr\n{done.stderr[-6000:]}"
            )
        return done

    def on_terminal(self, argv: Sequence[str], *, timeout: float = 120, check: bool = True) -> Completed:
        """Run an argv on a terminal of its own; both streams come back as one, in ``stdout``."""
        return self.run(
            ["script", "--quiet", "--return", "--command", shlex.join(argv), "/dev/null"],
            timeout=timeout,
            check=check,
            env={"TERM": "xterm"},
        )

    def install(self, *packages: str, timeout: float = 600) -> Completed:
        """Install packages or ``.deb`` files of the guest with apt-get; asks for new lists if it must."""
        argv = ["apt-get", "-q", "-y", "--no-install-recommends", "install", *packages]
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        done = self.run(argv, timeout=timeout, env=env, check=False)
        if done.returncode != 0 and self._network == "host":
            self.run(["apt-get", "-q", "update"], timeout=300)
            done = self.run(argv, timeout=timeout, env=env)
        elif done.returncode != 0:
            raise GuestError(f"{shlex.join(argv)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
        return done

    def path(self, path: str) -> str:
        """Return where the host sees a path of the guest: for witnesses outside of it.

        Every component is the guest's own, but an absolute symbolic link leads to the host.
        """
        return f"/proc/{self.leader}/root/{path.lstrip('/')}"

    def upper(self) -> tuple[str, tuple[str, ...]]:
        """Return where the host sees all that was written on the guest's disk, and the layers below it."""
        assert self._unshare is not None
        holder = _children(self._unshare.pid)[0]
        below = as_tree(self.version, self._tree).layers
        return f"/proc/{holder}/root{self._upper or cache.cache_directory('mount-point') + '/upper'}", below

    def copy_in(self, source: str | os.PathLike[str], destination: str) -> str:
        """Copy a file or directory of the host into the guest and return ``destination``."""
        target = self.path(destination)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
        return destination

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write one file of the guest from outside."""
        target = self.path(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(target, mode)

    def read(self, path: str) -> str:
        """Return the text of one file of the guest, read from outside."""
        with open(self.path(path), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def exists(self, path: str) -> bool:
        """Tell from outside whether the guest has this path (a dangling link counts)."""
        return os.path.lexists(self.path(path))

    # ---------------------------------------------------------------- how it starts

    def _start(self) -> None:
        tree = as_tree(self.version, self._tree)
        token = f"{os.getpid():x}-{time.monotonic_ns():x}"
        spec: dict[str, Any] = {
            "work": cache.cache_directory("mount-point"),
            "empty": cache.cache_directory("empty"),
            "layers": [cache.cache_directory("packages", self.version), *tree.layers],
            "upper": self._upper,
            "workdir": None,
            "copy": f"{cache.cache_directory('mount-point')}/copy" if self._root == "memory" else None,
            "on_disk": self._root == "copy",
            "machine": f"aptguard-{token}"[:60],
            "hostname": f"debian{self.version}",
            "arguments": [*self._arguments()],
        }
        cache.kept_packages(self.version)
        if self._network == "private":
            spec["arguments"].insert(0, "--private-network")
        if self._root == "copy":
            spec["copy"] = f"{self._unwind.enter_context(cache.own_directory('copies'))}/root"
        if self._upper:
            spec["workdir"] = self._unwind.enter_context(
                tempfile.TemporaryDirectory(dir=os.path.dirname(self._upper), prefix=".work-")
            )
        command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        command += ["--mount-proc", sys.executable, "-I", HOLDER, json.dumps(spec)]
        self._unshare = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._unwind.callback(self._stop)
        assert self._unshare.stdout is not None
        answer = json.loads(self._unshare.stdout.readline() or '{"error": "it ended without a word"}')
        if "error" in answer:
            raise GuestError(f"the root of a Debian {self.version} could not be made: {answer['error']}")
        self._wait_until_up()

    def _arguments(self) -> list[str]:
        return ["--as-pid2", "/bin/sh", "-c", f"echo > {READY}; exec sleep infinity"]

    def _is_up(self) -> bool:
        return self.exists(READY)

    def _wait_until_up(self, seconds: float = 90) -> None:
        assert self._unshare is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._unshare.poll() is not None:
                break
            self.leader = self._find_leader()
            if self.leader and self._is_up():
                return
            time.sleep(0.02)
        raise GuestError(f"the guest (Debian {self.version}) did not come up; its console:\n{self.console()}")

    def _find_leader(self) -> int:
        """Return PID 1 of the guest as the host numbers it: unshare, then the holder, nspawn, and it."""
        assert self._unshare is not None
        for holder in _children(self._unshare.pid):
            for nspawn in _children(holder):
                for candidate in _children(nspawn):
                    if self._is_leader(candidate):
                        return candidate
        return 0

    def _is_leader(self, pid: int) -> bool:
        # nspawn is PID n of the holder's namespace; its child is a leader once it is 1 of its own.
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                numbers = next(line.split()[1:] for line in file if line.startswith("NSpid:"))
        except (OSError, StopIteration):
            return False
        return len(numbers) >= 3 and numbers[-1] == "1"

    def console(self) -> str:
        """Return what the guest and nspawn wrote to the console so far."""
        assert self._unshare is not None
        for holder in _children(self._unshare.pid):
            path = f"/proc/{holder}/root{cache.cache_directory('mount-point')}/console"
            with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
                return file.read()[-6000:]
        return "(nothing)"

    def _stop(self) -> None:
        """Let the holder end, which ends all in its namespaces; the standard input is the signal."""
        self.leader = 0
        process, self._unshare = self._unshare, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    # ---------------------------------------------------------------- how commands get in

    def _enter(self) -> list[str]:
        spaces = ["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        environment = [f"PATH={PATH}", "HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8"]
        return ["nsenter", "-t", str(self.leader), *spaces, "--", "env", "-i", *environment]

    def _wrapped(self, argv: list[str], timeout: float, env: Mapping[str, str]) -> list[str]:
        return [
            "env",
            *(f"{name}={value}" for name, value in env.items()),
            "timeout",
            "-k5",
            f"{timeout:g}",
            *argv,
        ]


class Guest(Container):
    """A Debian that systemd has booted: services, sockets, journal, timers, as on a server."""

    boots = True

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Return the entries of the guest's journal that match (``FIELD=value``), oldest first.

        A field that has several values in one entry is a list: systemd.journal-fields(7), JSON format.
        """
        self.run(["journalctl", "--sync"], check=False)
        text = self.run(["journalctl", "--no-pager", "--output=json", "--all", *matches], check=False).stdout
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def shut_down(self) -> None:
        """Stop all services in order and wait until the guest is off."""
        assert self._unshare is not None
        subprocess.run([*self._enter(), "systemctl", "poweroff"], capture_output=True, check=False)
        self.leader = 0
        self._unshare.wait(timeout=90)

    def _arguments(self) -> list[str]:
        return ["--boot"]

    def _is_up(self) -> bool:
        asked = subprocess.run(
            [*self._enter(), "systemctl", "is-system-running"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() in {"running", "degraded"}

    def _wrapped(self, argv: list[str], timeout: float, env: Mapping[str, str]) -> list[str]:
        # A unit of its own: cgroup, journal fields, and nothing left running when the time is over.
        variables = {"HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "dumb", **env}
        return [
            "systemd-run",
            "--quiet",
            "--wait",
            "--pipe",
            "--collect",
            "--property=KillMode=mixed",
            f"--property=RuntimeMaxSec={timeout:g}",
            "--working-directory=/",
            *(f"--setenv={name}={value}" for name, value in variables.items()),
            "--",
            # systemd would put in its own variables: systemd.service(5), COMMAND LINES.
            *(word.replace("$", "$$") for word in argv),
        ]


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []
