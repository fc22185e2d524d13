# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a virtual machine: does what the tests outside ask for over a virtio port, one thing at a time.

Each request and each answer is one line of JSON. A command is a unit of its own, with a delegated control
group, so that nothing of it is left when its time is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any, BinaryIO

CONTROL = "/dev/virtio-ports/control"
WITNESS = "/dev/virtio-ports/witness"
UNIT = "testbed-command.service"
_STATES = {"running", "degraded"}


def find_ports() -> None:
    """Give the virtio ports their names, as udev does where it has been told of all devices."""
    os.makedirs(os.path.dirname(CONTROL), exist_ok=True)
    subprocess.run(["modprobe", "virtio_console"], check=False)
    deadline = time.monotonic() + 60
    while not os.path.exists(CONTROL) and time.monotonic() < deadline:
        for port in os.listdir("/sys/class/virtio-ports"):
            named = f"/sys/class/virtio-ports/{port}/name"
            with contextlib.suppress(OSError), open(named, encoding="ascii") as file:
                os.symlink(f"../{port}", f"{os.path.dirname(CONTROL)}/{file.read().strip()}")
        time.sleep(0.1)


def state(seconds: float = 120) -> str:
    """Return what ``systemctl is-system-running`` says once it has started, or when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        asked = subprocess.run(
            ["systemctl", "is-system-running"], capture_output=True, text=True, check=False
        )
        said = asked.stdout.strip()
        if said in _STATES or time.monotonic() > deadline:
            return said
        time.sleep(0.2)


def apparmor() -> str:
    """Return Y where the kernel enforces AppArmor's profiles, N where it does not, - without it."""
    try:
        with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "-"


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run ``request["script"]`` with bash; give up after ``request["timeout"]`` seconds (status 124)."""
    command = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={UNIT}"]
    for setting in ("Delegate=yes", "KillMode=control-group", "TasksMax=infinity", "SendSIGHUP=no"):
        command.append(f"--property={setting}")
    variables = {"HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "dumb", **request.get("env", {})}
    command += [f"--setenv={name}={value}" for name, value in variables.items()]
    command += ["--working-directory=/", "--", "bash", "-ec", request["script"].replace("$", "$$")]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            status = process.wait(timeout=request["timeout"])
        except subprocess.TimeoutExpired:
            status = 124
            subprocess.run(["systemctl", "kill", "--signal=KILL", UNIT], check=False)
            process.wait()
        return {"status": status, "stdout": _text(out), "stderr": _text(err)}


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "surrogateescape"))


def _send(port: BinaryIO, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode("ascii") + b"\n"
    while data:
        data = data[port.write(data) :]


def main() -> int:
    find_ports()
    with open(CONTROL, "r+b", buffering=0) as port:
        with open("/proc/uptime", encoding="ascii") as file:
            ready = {"state": state(), "release": os.uname().release, "apparmor": apparmor()}
            _send(port, {**ready, "uptime": float(file.read().split()[0])})
        rest = b""
        while True:
            rest += port.read(65536) or b""
            while b"\n" in rest:
                line, _, rest = rest.partition(b"\n")
                _send(port, run(json.loads(line)))


if __name__ == "__main__":
    sys.exit(main())
