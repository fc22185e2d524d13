# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away virtual machine: Debian's own kernel, booted by qemu, with the project's sources in it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from testbed import cache
from testbed.server import PROJECT
from testbed.vm_image import Image

# Where the agent unpacks the project, read-write and in memory.
SOURCES = "/run/testbed"
MEMORY_MIB = 2560
BOOT_SECONDS = 3600.0  # against a machine that hangs; a busy host makes one slow

_COMMON = ["-nodefaults", "-display", "none", "-no-reboot"]
_SOFTWARE = ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "qemu64"]
_HARDWARE = ["-accel", "kvm", "-cpu", "qemu64"]
_LEAN = " systemd.unit=testbed.service systemd.wants=dbus.socket" + "".join(
    f" systemd.mask={unit}"
    for unit in ("apparmor.service", "systemd-udev-trigger.service", "systemd-binfmt.service")
)
# What the kernel says once it has left its set-up code.
_ALIVE = b"Linux version"


class MachineError(AssertionError):
    """The machine did not come up, went away, or a command in it failed."""


@functools.cache
def acceleration(kernel: str) -> tuple[str, list[str]]:
    """Return the name and the arguments of what runs the processor: KVM where this kernel starts under it.

    A /dev/kvm that can be opened says little: some hosts' lets no unmodified kernel past its first code.
    """
    if os.environ.get("APTGUARD_VM_ACCELERATION", "") in {"", "kvm"} and os.access("/dev/kvm", os.W_OK):
        command = ["qemu-system-x86_64", "-M", "q35", *_HARDWARE, *_COMMON, "-m", "512", "-kernel", kernel]
        command += ["-append", "console=ttyS0 panic=-1", "-serial", "stdio"]
        with (
            contextlib.suppress(subprocess.TimeoutExpired),
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process,
        ):
            try:
                said, _ = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                said, _ = process.communicate()
            if _ALIVE in said:
                return "KVM", _HARDWARE
    return "TCG", _SOFTWARE


def pack_sources(target: str, more: Mapping[str, str]) -> None:
    """Write the project as a tar file, and with it ``more``: name in the project, file of the host."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as directory:
        for name, path in more.items():
            os.makedirs(os.path.dirname(f"{directory}/{name}"), exist_ok=True)
            shutil.copy2(path, f"{directory}/{name}")
        left_out = ["./build", "./.git", "./.hypothesis", "__pycache__", ".*_cache"]
        command = ["tar", "--create", f"--file={target}", *(f"--exclude={name}" for name in left_out)]
        subprocess.run([*command, "-C", PROJECT, ".", "-C", directory, "."], check=True)


class VirtualMachine:
    """One boot of an image; nothing that it writes to its root is kept.

    :param lean: boot without the servers, udev's devices and AppArmor's profiles: a third of the time.
    :param drives: more disks, as arguments of qemu's ``-blockdev`` (JSON) that name a node ``drive0`` ...;
        they are /dev/vdc and the following.
    """

    def __init__(
        self,
        image: Image,
        *,
        files: Mapping[str, str] | None = None,
        drives: Sequence[Mapping[str, Any]] = (),
        lean: bool = False,
        processors: int = 2,
    ) -> None:
        self.image = image
        self._files = files or {}
        self._drives = drives
        self._lean = lean
        self._processors = processors
        self._unwind = contextlib.ExitStack()
        self._directory = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._rest = b""
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with self._unwind:
            self._start()
            self._unwind = self._unwind.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwind.close()

    @property
    def witness(self) -> str:
        """The file on this host that /dev/virtio-ports/witness of the machine leads to."""
        return f"{self._directory}/witness"

    def run(
        self, script: str, *, timeout: float = 300, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a script for ``bash -e`` as root in the machine and return it with its streams.

        :raises MachineError: the machine is gone, or ``check`` is set and the exit status is not 0 (124
            when it took longer than ``timeout`` seconds).
        """
        self._send({"script": script, "timeout": timeout, "env": dict(env or {})})
        answer = self._receive(timeout + 120)
        done = subprocess.CompletedProcess(script, answer["status"], answer["stdout"], answer["stderr"])
        if check and done.returncode != 0:
            raise MachineError(
                f"in the machine (Debian {self.image.version}) this ended with {done.returncode}: {script}\n"
                f"--- stdout\n{done.stdout[-6000:]}\n--- stderr\n{done.stderr[-6000:]}"
            )
        return done

    def start(self, script: str, *, timeout: float = 300) -> None:
        """Start a script and do not wait for it: the machine is to lose its power meanwhile."""
        self._send({"script": script, "timeout": timeout})

    def cut_power(self) -> None:
        """End the machine at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def console(self) -> str:
        """Return the last of what the machine and qemu have said."""
        text = ""
        for name in ("console", "qemu"):
            with contextlib.suppress(OSError), open(f"{self._directory}/{name}", "rb") as file:
                text += file.read().decode("utf-8", "replace")[-5000:]
        return text

    def _start(self) -> None:
        self._directory = self._unwind.enter_context(cache.own_directory("vm-runs"))
        pack_sources(f"{self._directory}/sources.tar", self._files)
        listener = self._unwind.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"{self._directory}/control")
        listener.listen()
        listener.settimeout(60)
        output = self._unwind.enter_context(open(f"{self._directory}/qemu", "wb"))  # noqa: SIM115
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # The root's throw-away layer lies there.
            env={**os.environ, "TMPDIR": self._directory},
        )
        self._unwind.callback(self.cut_power)
        try:
            self._control, _ = listener.accept()
        except TimeoutError:
            raise MachineError(f"qemu did not start: {self.console()}") from None
        self._unwind.enter_context(self._control)
        self.facts = self._receive(BOOT_SECONDS)

    def _command(self) -> list[str]:
        _, processor = acceleration(self.image.kernel)
        directory, image = self._directory, self.image
        # It ends with the tests, however they end.
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-M", "q35", *processor]
        command += ["-smp", str(self._processors)]
        command += ["-m", str(MEMORY_MIB), *_COMMON, "-kernel", image.kernel, "-initrd", image.initrd]
        words = "console=ttyS0 quiet systemd.show_status=0 mitigations=off panic=-1"
        command += ["-append", words + (_LEAN if self._lean else "")]
        drives = [(image.disk, "on"), (f"{directory}/sources.tar", "on")]
        for number, (file, snapshot) in enumerate(drives):
            command += ["-drive", f"id=d{number},file={file},format=raw,if=none,snapshot={snapshot}"]
            command += ["-device", f"virtio-blk-pci,drive=d{number}"]
        for number, drive in enumerate(self._drives):
            command += ["-blockdev", json.dumps({"node-name": f"drive{number}", **drive})]
            command += ["-device", f"virtio-blk-pci,drive=drive{number}"]
        command += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
        for name, backend in (("control", "socket"), ("witness", "file")):
            command += ["-chardev", f"{backend},id={name},path={directory}/{name}"]
            command += ["-device", f"virtserialport,chardev={name},name={name}"]
        return [*command, "-serial", f"file:{directory}/console"]

    def _send(self, request: dict[str, Any]) -> None:
        assert self._control is not None
        self._control.sendall(json.dumps(request).encode("ascii") + b"\n")

    def _receive(self, seconds: float) -> dict[str, Any]:
        assert self._control is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            self._control.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                data = self._control.recv(1 << 16)
            except TimeoutError:
                raise MachineError(f"no answer in {seconds:g} s from the machine: {self.console()}") from None
            if not data:
                raise MachineError(f"the machine is gone: {self.console()}")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer
